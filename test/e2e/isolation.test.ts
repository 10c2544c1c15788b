// A mesh whose instances are isolated: they call each other as their policies allow, and reach nothing past their sidecars.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { request } from 'node:http'
import { after, before, test } from 'node:test'
import { WHERE_ISOLATED } from '../../src/runtime/isolation/isolation-testing.ts'
import { startTestMesh, type TestMesh } from '../start-mesh.ts'
import { askMesh, Client, functionManifest, type InstanceRow, meshConfig, settled, until } from './cluster.ts'

// Sends a request as it is told, past the proxy that its variables name; or says how a connection goes.
const CALLER = `
import { Agent, get } from 'node:http'
import { connect } from 'node:net'
const direct = new Agent()
export default { async fetch(request) {
  const { pathname, searchParams } = new URL(request.url)
  if (pathname === '/call') return new Promise((resolve) => {
    get(searchParams.get('url'), { agent: direct }, async (answer) => {
      let text = ''
      for await (const part of answer) text += part
      resolve(new Response(answer.statusCode + ' ' + text))
    }).on('error', ({ code }) => resolve(new Response(code)))
  })
  if (pathname === '/fetch') {
    const answer = await fetch(searchParams.get('url'))
    return new Response(answer.status + ' ' + await answer.text())
  }
  if (pathname === '/connect') return new Promise((resolve) => {
    const socket = connect({ host: searchParams.get('host'), port: Number(searchParams.get('port')), timeout: 700 })
    const end = (text) => { resolve(new Response(text)); socket.destroy() }
    socket.on('connect', () => end('CONNECTED')).on('error', ({ code }) => end(code)).on('timeout', () => end('TIMEOUT'))
  })
  if (pathname === '/eat') { const all = []; for (;;) all.push(Buffer.alloc(4 << 20, 1)) }
  return new Response(JSON.stringify({ user: process.getuid(), mesh: process.env.MAYFLY_URL, home: process.env.HOME }))
} }
`
const CALLEE = `require('http').createServer((q, s) => s.end('callee ' + q.url + ' ' + process.getuid()))
.listen(process.env.PORT, '127.0.0.1')`

const POLICY = JSON.stringify({
  apiVersion: 'security.istio.io/v1',
  kind: 'AuthorizationPolicy',
  metadata: { name: 'callers', namespace: 'test' },
  spec: {
    selector: { matchLabels: { 'serving.knative.dev/service': 'callee' } },
    action: 'DENY',
    rules: [{ from: [{ source: { notPrincipals: ['cluster.local/ns/test/sa/caller'] } }] }],
  },
})

function service(name: string, container: object): string {
  return JSON.stringify({
    apiVersion: 'serving.knative.dev/v1',
    kind: 'Service',
    metadata: { name, namespace: 'test' },
    spec: {
      template: {
        metadata: { annotations: { 'autoscaling.knative.dev/min-scale': '1' } },
        spec: { containers: [container] },
      },
    },
  })
}

let mesh: TestMesh
let client: Client

if (!('skip' in WHERE_ISOLATED)) {
  before(async () => {
    mesh = await startTestMesh(
      {
        'caller.mjs': CALLER,
        'callee.cjs': CALLEE,
        'mesh.yaml': meshConfig({ engines: 2, defaultAuthorization: 'allow' }),
        'policy.yaml': POLICY,
        'caller.yaml': functionManifest({ name: 'caller', image: 'file:./caller.mjs' }),
        'stranger.yaml': functionManifest({ name: 'stranger', image: 'file:./caller.mjs' }),
        'callee.yaml': service('callee', { image: 'host', command: [process.execPath, 'callee.cjs'] }),
        'hog.yaml': service('hog', {
          image: 'file:./caller.mjs',
          resources: { limits: { memory: '128Mi' } },
        }),
      },
      ['--isolate', 'on'],
    )
    client = new Client(mesh)
  })
  after(async () => {
    client.close()
    await settled(mesh)
    await mesh.stop()
  })
}

const ask = async (path: string, name = 'caller') => (await client.get(path, name)).body
const call = (url: string, name?: string) => ask(`/call?url=${encodeURIComponent(url)}`, name)

test('names lead to the sidecar without any proxy, and with one', WHERE_ISOLATED, async () => {
  for (const url of ['http://callee/a', 'http://callee.test/a', 'http://callee.test.svc.cluster.local/a']) {
    assert.match(await call(url), /^200 callee \/a 19\d{8}$/, url)
    assert.match(await ask(`/fetch?url=${encodeURIComponent(url)}`), /^200 callee \/a 19\d{8}$/, url)
  }
  const { mesh: url } = JSON.parse(await ask('/'))
  assert.match(await call(`${url}/callee/b`), /^200 callee \/b /)
})

test('who calls is known by the network that it is in', WHERE_ISOLATED, async () => {
  assert.match(await call('http://callee.test/', 'stranger'), /^403 /)
  assert.match(await call('http://callee.test/', 'caller'), /^200 /)
  assert.match(await call('http://www.example.com/'), /^ENOTFOUND$/)
})

test('each instance is a user of its own', WHERE_ISOLATED, async () => {
  const users = await Promise.all(
    ['caller', 'stranger', 'hog'].map(async (name) => JSON.parse(await ask('/', name)).user),
  )
  assert.equal(new Set(users).size, 3)
  for (const user of users) assert.ok(user >= 1_900_000_000)
})

test(
  'past the sidecar there is nothing: no instance, no gateway, no metrics, no egress address',
  WHERE_ISOLATED,
  async () => {
    const rows = await askMesh<(InstanceRow & { address: string })[]>(mesh, 'instances')
    const callee = rows.find((row) => row.function === 'test/callee')!
    assert.match(callee.address, /^198\.1[89]\..*:8080$/)
    const urls = [
      `http://${callee.address}`,
      callee.egress,
      mesh.functions['test/stranger']!.egress,
      mesh.gateway,
      mesh.metrics,
    ]
    for (const url of urls) {
      const { hostname, port } = new URL(url)
      for (const host of [hostname, '192.0.0.2', '127.0.0.1']) {
        const outcome = await ask(`/connect?host=${host}&port=${port}`)
        assert.match(outcome, /^E|^TIMEOUT$/, `${host}:${port}`)
      }
    }
  },
)

test('an instance that uses too much memory is replaced, and the log says why', WHERE_ISOLATED, async () => {
  const of = async () =>
    (await askMesh<InstanceRow[]>(mesh, 'instances')).find(
      (row) => row.function === 'test/hog' && row.state === 'ready',
    )?.id
  const before = await until(of, (id) => id !== undefined)
  const { status } = await client.get('/eat', 'hog')
  assert.ok(status >= 500)
  await until(of, (id) => id !== undefined && id !== before)
  const asked = request({ socketPath: mesh.adminSocket, path: '/v1/logs?function=test/hog&tail=100' })
  asked.end()
  const [answer] = await once(asked, 'response')
  let logs = ''
  for await (const part of answer.setEncoding('utf8')) logs += part
  assert.match(logs, /the instance was killed: it used more memory than its limit, 134217728 bytes/)
})
