// Routes in a real mesh: what instances get, what clients get, and whose policies judge.

import assert from 'node:assert/strict'
import { request } from 'node:http'
import { after, before, test } from 'node:test'
import { endpointFunction, startTestMesh, type TestMesh } from '../start-mesh.ts'
import { type Instance, startInstance } from './http-world.ts'

let cart: Instance
let other: Instance

/** Answers with who it is and the head that it got. */
function tellsHead(name: string) {
  return (received: string) => {
    if (!received.endsWith('\r\n\r\n')) return null
    // As many fields as a head may have.
    const many = received.includes('/other/many') ? 'x-many: 1\r\n'.repeat(126) : ''
    const body = `${name}\n${received}`
    return `HTTP/1.1 200 OK\r\nserver: ${name}\r\n${many}content-length: ${body.length}\r\n\r\n${body}`
  }
}

const ROUTES = JSON.stringify({
  apiVersion: 'networking.istio.io/v1',
  kind: 'VirtualService',
  metadata: { name: 'cart', namespace: 'test' },
  spec: {
    hosts: ['cart'],
    http: [
      {
        name: 'old',
        match: [{ uri: { prefix: '/old/' } }],
        rewrite: { uri: '/new/' },
        route: [{ destination: { host: 'cart' } }],
        headers: {
          request: { set: { 'x-route': 'old' } },
          response: { remove: ['server'], set: { 'x-by': 'mesh' } },
        },
      },
      { match: [{ uri: { prefix: '/moved' } }], redirect: { uri: '/here', redirectCode: 302 } },
      { match: [{ uri: { prefix: '/closed' } }], route: [{ destination: { host: 'closed' } }] },
      {
        name: 'led',
        match: [{ uri: { prefix: '/other' } }],
        route: [{ destination: { host: 'other' } }],
        headers: { response: { set: { 'x-by': 'cart routes' } } },
      },
      {
        match: [{ uri: { prefix: '/slow' } }],
        fault: {
          abort: { httpStatus: 503, percentage: { value: 100 } },
          delay: { fixedDelay: '150ms', percentage: { value: 100 } },
        },
        route: [{ destination: { host: 'cart' } }],
      },
      {
        match: [{ uri: { prefix: '/late' } }],
        fault: { delay: { fixedDelay: '150ms', percentage: { value: 100 } } },
        route: [{ destination: { host: 'cart' } }],
      },
      { name: 'plain', match: [{ uri: { prefix: '/plain' } }], route: [{ destination: { host: 'cart' } }] },
    ],
  },
})

const CLOSED = `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: closed, namespace: test}
spec:
  selector: {matchLabels: {serving.knative.dev/service: closed}}
  action: ALLOW
  rules:
    - from: [{source: {principals: ['cluster.local/ns/test/sa/front']}}]
`

const CONFIG = `
apiVersion: mayfly.dev/v1
kind: MeshConfig
metadata: {name: mesh}
spec: {engines: 1, defaultAuthorization: allow, accessLogFile: /dev/stdout, accessLogEncoding: JSON}
`

/** Over two nodes, one engine takes the route and another one judges what protects the function. */
const DIVISIONS = [1, 2]
const meshes = new Map<number, TestMesh>()

before(async () => {
  cart = await startInstance(tellsHead('cart'))
  other = await startInstance(tellsHead('other'))
  const functions = { cart: cart.address, other: other.address, closed: other.address, front: cart.address }
  const services = Object.entries(functions).map(([name, address]) => endpointFunction(name, address))
  const manifests = [CONFIG, ...services, ROUTES, CLOSED].join('\n---\n')
  for (const nodes of DIVISIONS)
    meshes.set(nodes, await startTestMesh({ 'mesh.yaml': manifests }, ['--nodes', String(nodes)]))
})
after(async () => {
  for (const mesh of meshes.values()) await mesh.stop()
  cart?.close()
  other?.close()
})

interface Answer {
  status: number
  headers: NodeJS.Dict<string | string[]>
  body: string
}

/** A request to cart: through the gateway, or from a function by its egress address. */
function callIn(mesh: TestMesh, path: string, from?: string): Promise<Answer> {
  const url = from === undefined ? mesh.gateway : mesh.functions[`test/${from}`]!.egress
  const host = from === undefined ? 'cart.test.localhost' : 'cart.test'
  return new Promise((resolve, reject) => {
    const sent = request(new URL(path, url), { headers: { host } }, (response) => {
      let body = ''
      response.on('data', (bytes) => {
        body += bytes
      })
      response.on('end', () => resolve({ status: response.statusCode!, headers: response.headers, body }))
    })
    sent.on('error', reject)
    sent.end()
  })
}

for (const nodes of DIVISIONS) {
  const mesh = () => meshes.get(nodes)!
  const call = (path: string, from?: string) => callIn(mesh(), path, from)

  test(`${nodes} nodes: a route rewrites the path, sets fields, and its name is logged`, async () => {
    const { status, headers, body } = await call('/old/a?q=1')
    assert.equal(status, 200)
    assert.match(body, /^cart\nGET \/new\/a\?q=1 HTTP\/1\.1\r\n/)
    assert.match(body, /\r\nx-route: old\r\n/)
    assert.match(body, /\r\nx-envoy-original-path: \/old\/a\?q=1\r\n/)
    assert.equal(headers.server, undefined)
    assert.equal(headers['x-by'], 'mesh')
    const line = JSON.parse(await mesh().line('stdout', /"route_name":"old".*"path":"\/old\/a\?q=1"/))
    assert.equal(line.route_name, 'old')
  })

  test(`${nodes} nodes: a redirect never reaches an instance`, async () => {
    const { status, headers, body } = await call('/moved?x=1')
    assert.deepEqual([status, headers.location, body], [302, 'http://cart.test.localhost/here?x=1', ''])
  })

  test(`${nodes} nodes: what takes no route is 404`, async () => {
    const { status } = await call('/none')
    assert.equal(status, 404)
    const line = JSON.parse(await mesh().line('stdout', /"path":"\/none"/))
    assert.equal(line.response_flags, 'NR')
  })

  test(`${nodes} nodes: another function answers, judged by its own policies`, async () => {
    const got = await call('/other/x')
    assert.equal(got.status, 200)
    assert.match(got.body, /^other\nGET \/other\/x HTTP\/1\.1\r\n/)
    assert.match(got.body, /\r\nhost: cart\.test\.localhost\r\n/)
    assert.equal(got.body.match(/x-forwarded-for/g)?.length, 1)
    assert.equal(got.headers['x-by'], 'cart routes')
    assert.doesNotMatch(got.body, /x-mayfly/)
    await mesh().line('stdout', /"route_name":"led".*"path":"\/other\/x"/)

    assert.equal((await call('/other/many')).status, 200)

    const outside = await call('/closed')
    assert.equal(outside.status, 403)
    assert.match(outside.body, /^test\/closed refuses GET \/closed from a client without identity/)
    assert.equal((await call('/closed', 'other')).status, 403)
    assert.equal((await call('/closed', 'front')).status, 200)
  })

  test(`${nodes} nodes: delays hold back what goes on and what is aborted`, async () => {
    for (const [path, status, flags] of [
      ['/slow', 503, 'DI,FI'],
      ['/late', 200, 'DI'],
    ] as const) {
      const begun = performance.now()
      const got = await call(path)
      assert.equal(got.status, status)
      assert.ok(performance.now() - begun >= 149, path)
      const line = JSON.parse(await mesh().line('stdout', new RegExp(`"path":"${path}"`)))
      // Over two nodes the instance's node writes the line, and knows nothing of the delay before.
      if (nodes > 1 && status === 200) continue
      assert.deepEqual(new Set(line.response_flags.split(',')), new Set(flags.split(',')))
    }
  })
}
