// Calls between functions of one node where there are others: both sides are judged in one engine, without a connection to the node.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { startTestMesh, type TestMesh } from '../start-mesh.ts'
import {
  type Answer,
  Client,
  counted,
  functionManifest,
  meshConfig,
  startServer,
  type TestServer,
  until,
} from './cluster.ts'

const POLICIES = `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ask, namespace: test}
spec:
  action: CUSTOM
  provider: {name: check}
  selector: {matchLabels: {serving.knative.dev/service: fn}}
  rules: [{to: [{operation: {paths: [/checked*]}}]}]
---
apiVersion: mayfly.dev/v1
kind: RateLimitPolicy
metadata: {name: few, namespace: test}
spec:
  selector: {matchLabels: {serving.knative.dev/service: fn}}
  limits:
    - {name: few, requests: 3, unit: hour, key: [{header: x-who}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: fn, namespace: test}
spec:
  hosts: [fn]
  http:
    - route: [{destination: {host: fn}}]
      retries: {attempts: 2, retryOn: "503,reset", backoff: 1ms}`

let mesh: TestMesh
let fn: TestServer
let check: TestServer
let client: Client
const seen: string[] = []
let failing = 0

before(async () => {
  fn = await startServer((incoming, outgoing) => {
    seen.push(`${incoming.url} ${incoming.headers['x-envoy-attempt-count']}`)
    if (incoming.url === '/cut') return void incoming.socket.destroy()
    outgoing.statusCode = failing-- > 0 ? 503 : 200
    incoming.pipe(outgoing)
  })
  check = await startServer((incoming, outgoing) => {
    // A decision that does not come in the turn of the event loop in which it was asked for.
    setImmediate(() => {
      outgoing.statusCode = incoming.url?.endsWith('no') ? 401 : 200
      outgoing.end()
    })
  })
  const [host, port] = check.address.split(':')
  const config = meshConfig({ defaultAuthorization: 'allow' }).replace(
    'spec: {',
    `spec: {accessLogFile: /dev/stdout, accessLogFormat: "%REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS%", extensionProviders: [{name: check, envoyExtAuthzHttp: {service: ${host}, port: ${port}}}],`,
  )
  // By their names `fn` and `near` are on one of the two nodes with functions, `distant` is on the other.
  const functions = ['fn', 'near', 'distant'].map((name) =>
    functionManifest({ image: `endpoint:${fn.address}`, name }),
  )
  mesh = await startTestMesh(
    { 'mesh.yaml': config, 'functions.yaml': functions.join('\n---\n'), 'policies.yaml': POLICIES },
    ['--nodes', '3'],
  )
  client = new Client(mesh)
})

after(async () => {
  client?.close()
  await mesh?.stop()
  await Promise.all([fn, check].map((server) => server?.close()))
})

function call(from: string, path: string, who: string, body = ''): Promise<Answer> {
  const port = Number(new URL(mesh.functions[`test/${from}`]!.egress).port)
  const headers = { host: 'fn', 'x-who': who, 'content-length': String(body.length) }
  return client.send({ method: 'POST', path, port, headers, body })
}

async function connections(): Promise<number> {
  return (await counted(mesh, 'tlsHandshakes')) + (await counted(mesh, 'tlsResumed'))
}

test('a call on one node makes no connection between nodes, one to another node does', async () => {
  assert.equal((await call('near', '/near', 'first', 'body')).body, 'body')
  assert.equal(await connections(), 0)
  assert.equal((await call('distant', '/distant', 'first', 'body')).body, 'body')
  // Either end of it counts.
  assert.equal(await connections(), 2)
})

test('what protects the function is judged once for each request, and has its word', async () => {
  const before = await connections()
  const statuses: number[] = []
  for (let i = 0; i < 4; i++) statuses.push((await call('near', '/limited', 'second')).status)
  assert.deepEqual(statuses, [200, 200, 200, 429])
  const refused = await call('near', '/limited', 'second', 'a body that nobody reads')
  assert.equal(refused.status, 429)
  assert.match(String(refused.headers['retry-after']), /^\d+$/)
  assert.equal(await connections(), before)
})

test('a decision that has to be waited for lets the request go on, or refuses it', async () => {
  seen.length = 0
  const body = 'x'.repeat(100_000)
  assert.equal((await call('near', '/checked-yes', 'third', body)).body, body)
  assert.equal((await call('near', '/checked-no', 'third', body)).status, 401)
  assert.deepEqual(seen, ['/checked-yes 1'])
})

test('who goes away while it is waited for leaves nothing behind', async () => {
  const port = Number(new URL(mesh.functions['test/near']!.egress).port)
  const gone = fetch(`http://127.0.0.1:${port}/checked-gone`, {
    headers: { host: 'fn' },
    signal: AbortSignal.timeout(1),
  })
  await assert.rejects(gone)
  await until(
    () => counted(mesh, 'requestsInFlight'),
    (count) => count === 0,
  )
  assert.equal((await call('near', '/after', 'fourth')).status, 200)
})

test('each attempt is judged, and what it is answered may lead to another', async () => {
  seen.length = 0
  failing = 1
  assert.equal((await call('near', '/again', 'fifth')).status, 200)
  assert.deepEqual(seen, ['/again 1', '/again 2'])
  // Of three in an hour two are used.
  assert.equal((await call('near', '/last', 'fifth')).status, 200)
  assert.equal((await call('near', '/over', 'fifth')).status, 429)
  seen.length = 0
  assert.equal((await call('near', '/cut', 'sixth')).status, 502)
  assert.deepEqual(seen, ['/cut 1', '/cut 2', '/cut 3'])
})

test('the function has one line in the access log, and its caller has one', async () => {
  assert.equal((await call('near', '/line', 'seventh')).status, 200)
  for (let i = 0; i < 3; i++) await call('near', '/line', 'seventh')
  const lines = () => mesh.stdout.filter((line) => line.startsWith('/line '))
  await until(
    () => Promise.resolve(lines().length),
    (count) => count >= 8,
  )
  assert.deepEqual(lines().sort(), [
    ...Array.from({ length: 6 }, () => '/line 200 -'),
    '/line 429 RL',
    '/line 429 RL',
  ])
})
