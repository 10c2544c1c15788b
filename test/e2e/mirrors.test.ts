// Copies of requests: whom they reach, what they are judged by, and that the request itself never notices.

import assert from 'node:assert/strict'
import { after, afterEach, before, test } from 'node:test'
import { type HttpMesh, type Instance, startHttpMesh, startInstance } from './http-world.ts'

const route = (name: string, mirrors: string) => `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ${name}, namespace: test}
spec:
  hosts: [${name}]
  http:
    - route: [{destination: {host: ${name}}}]
      headers: {request: {set: {x-routed: "yes"}}}
      ${mirrors}`

const DENY = `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: closed, namespace: test}
spec:
  selector: {matchLabels: {serving.knative.dev/service: closed}}
  action: DENY
  rules: [{to: [{operation: {paths: ["/*"]}}]}]`

let mesh: HttpMesh
let shop: Instance
let copy: Instance
let closed: Instance
const copies: string[] = []

before(async () => {
  shop = await startInstance(answer('main'))
  copy = await startInstance((received) => {
    const out = answer('copy')(received)
    if (out !== null) copies.push(received)
    return out
  })
  closed = await startInstance(answer('closed'))
  mesh = await startHttpMesh(
    {
      shop: shop.address,
      none: shop.address,
      copy: copy.address,
      gone: '127.0.0.1:1',
      denied: shop.address,
      closed: closed.address,
      dead: shop.address,
    },
    {
      limits: { maxBodyBufferBytes: 4_096 },
      more: [
        route('shop', 'mirror: {host: copy}'),
        route('none', 'mirror: {host: copy}\n      mirrorPercentage: {value: 0}'),
        route('denied', 'mirror: {host: closed}'),
        route('dead', 'mirror: {host: gone}'),
        DENY,
      ].join('\n---\n'),
    },
  )
})
afterEach(async () => {
  copies.length = 0
  await mesh.counted({ requestsInFlight: 0, mirrorsInFlight: 0 })
})
after(async () => {
  await mesh?.stop()
  for (const instance of [shop, copy, closed]) instance?.close()
})

test('a copy goes to the mirror, as the route wrote it, with the host that Envoy gives it', async () => {
  assert.match(await ask('shop', 'GET', '/a?b'), /200 OK.*main$/s)
  await mesh.counted({ mirrored: 1, mirrorsInFlight: 0 })
  assert.match(copies[0]!, /^GET \/a\?b HTTP\/1\.1\r\n/)
  assert.match(copies[0]!, /\r\nhost: shop\.test\.localhost-shadow\r\n/i)
  assert.match(copies[0]!, /\r\nx-routed: yes\r\n/)
})

test('a body is copied whole, whatever its framing; one that is too long to hold is not', async () => {
  await ask('shop', 'POST', '/', 'content-length: 5\r\n', 'hello')
  await ask('shop', 'POST', '/', 'transfer-encoding: chunked\r\n', '5\r\nhello\r\n0\r\n\r\n')
  await mesh.counted({ mirrored: 3, mirrorsInFlight: 0 })
  assert.ok(copies[0]!.endsWith('\r\n\r\nhello'))
  assert.ok(copies[1]!.endsWith('\r\n\r\n5\r\nhello\r\n0\r\n\r\n'))
  assert.match(await ask('shop', 'POST', '/', 'content-length: 5000\r\n', 'x'.repeat(5_000)), /main$/)
  await mesh.counted({ mirrored: 3, mirrorsDropped: 1 })
})

test('where no request is to be copied none is', async () => {
  await ask('none', 'GET', '/')
  await mesh.counted({ mirrored: 3, mirrorsDropped: 1 })
  assert.equal(copies.length, 0)
})

test('the policies of whom it goes to hold, and a mirror that cannot be reached harms nobody', async () => {
  assert.match(await ask('denied', 'GET', '/'), /200 OK.*main$/s)
  await mesh.counted({ mirrorsDropped: 2 })
  assert.equal(closed.connections.length, 0)
  assert.match(await ask('dead', 'GET', '/'), /200 OK.*main$/s)
})

async function ask(fn: string, method: string, path: string, fields = '', body = ''): Promise<string> {
  const client = await mesh.client()
  client.send(
    `${method} ${path} HTTP/1.1\r\nhost: ${fn}.test.localhost\r\nconnection: close\r\n${fields}\r\n${body}`,
  )
  const text = await client.receive()
  client.close()
  return text
}

function answer(body: string) {
  return (received: string): string | null => {
    const end = received.indexOf('\r\n\r\n') + 4
    if (end < 4) return null
    const length = Number(/content-length: (\d+)/i.exec(received)?.[1] ?? 0)
    const whole = received.includes('chunked')
      ? received.endsWith('0\r\n\r\n')
      : received.length - end >= length
    return whole ? `HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n\r\n${body}` : null
  }
}
