// Retries, bounds, outlier detection and mirrors where the gateway's node chooses instances on another one.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { startTestMesh, type TestMesh } from '../start-mesh.ts'
import { Client, functionManifest, meshConfig, startServer, type TestServer } from './cluster.ts'

const POLICIES = `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: fn, namespace: test}
spec:
  hosts: [fn]
  http:
    - route: [{destination: {host: fn}}]
      retries: {attempts: 2, retryOn: 5xx, backoff: 1ms}
      mirror: {host: copy}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: fn, namespace: test}
spec: {host: fn, trafficPolicy: {connectionPool: {http: {http2MaxRequests: 1}}}}`

let mesh: TestMesh
let client: Client
let fn: TestServer
let copy: TestServer
const attempts: (string | undefined)[] = []
const copies: string[] = []
let failing = 0
const held: (() => void)[] = []

before(async () => {
  fn = await startServer((incoming, outgoing) => {
    attempts.push(incoming.headers['x-envoy-attempt-count'] as string | undefined)
    if (incoming.url === '/wait') return void held.push(() => outgoing.end('late'))
    outgoing.statusCode = failing-- > 0 ? 503 : 200
    outgoing.end('done')
  })
  copy = await startServer((incoming, outgoing) => {
    copies.push(`${incoming.method} ${incoming.url} ${incoming.headers.host}`)
    outgoing.end()
  })
  mesh = await startTestMesh(
    {
      'mesh.yaml': meshConfig({ defaultAuthorization: 'allow', engines: 1 }),
      'fn.yaml': functionManifest({ name: 'fn', image: `endpoint:${fn.address}` }),
      'copy.yaml': functionManifest({ name: 'copy', image: `endpoint:${copy.address}` }),
      'policies.yaml': POLICIES,
    },
    ['--nodes', '2'],
  )
  client = new Client(mesh)
})

after(async () => {
  client?.close()
  await mesh?.stop()
  await Promise.all([fn, copy].map((server) => server?.close()))
})

test('attempts go out over the nodes, and the last answer comes back', async () => {
  failing = 2
  assert.equal((await client.get('/', 'fn')).status, 200)
  assert.deepEqual(attempts.splice(0), ['1', '2', '3'])
  failing = 3
  assert.equal((await client.get('/', 'fn')).status, 503)
  failing = 0
  attempts.length = 0
})

test('the sender counts what is under way', async () => {
  const waiting = client.get('/wait', 'fn')
  while (held.length === 0) await new Promise(setImmediate)
  const refused = await client.get('/', 'fn')
  assert.equal(refused.status, 503)
  assert.equal(refused.headers['x-envoy-overloaded'], 'true')
  for (const answer of held.splice(0)) answer()
  assert.equal((await waiting).body, 'late')
})

test('copies reach the mirror on the other node', async () => {
  copies.length = 0
  await client.get('/copied', 'fn')
  while (copies.length === 0) await new Promise(setImmediate)
  assert.match(copies[0]!, /^GET \/copied fn\.test\.localhost.*-shadow/)
})
