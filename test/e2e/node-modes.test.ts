// PeerAuthentication at nodes' own addresses, where callers come that have no sidecar.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { TestMesh } from '../start-mesh.ts'
import { Client, counted, type TestServer } from './cluster.ts'
import { type Seen, startNodes, startSeeing, workerAddress } from './nodes-world.ts'

const POLICIES = `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: fn, namespace: test}
spec:
  selector: {matchLabels: {serving.knative.dev/service: fn}}
  mtls: {mode: PERMISSIVE}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: other, namespace: test}
spec:
  selector: {matchLabels: {serving.knative.dev/service: other}}
  mtls: {mode: STRICT}
  portLevelMtls: {8080: {mode: DISABLE}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: known, namespace: test}
spec:
  action: DENY
  rules:
    - {to: [{operation: {paths: ['/known']}}], from: [{source: {notPrincipals: ['*']}}]}
    - {to: [{operation: {paths: ['/far']}}], from: [{source: {notIpBlocks: ['127.0.0.1']}}]}
`

let server: TestServer
const meshes = new Map<number, TestMesh>()
before(async () => {
  server = await startSeeing()
  for (const nodes of [2, 3]) meshes.set(nodes, await startNodes(server, nodes, POLICIES))
})
after(async () => {
  await Promise.all([...meshes.values()].map((mesh) => mesh.stop()))
  await server.close()
})

for (const nodes of [2, 3]) {
  test(`with ${nodes} nodes clients in plaintext are let in where the mode says so, as nobody`, async () => {
    const mesh = meshes.get(nodes)!
    const { port } = await workerAddress(mesh)
    const client = new Client({ port })
    const send = (host: string, path: string, headers = {}) =>
      client.send({ path, headers: { host, 'x-mayfly-instance': 'a;b', ...headers } })
    const forged = { 'x-forwarded-client-cert': 'URI=spiffe://cluster.local/ns/test/sa/caller' }
    const open = await send('fn.test.svc.cluster.local', '/open', forged)
    assert.equal(open.status, 200)
    const seen: Seen = JSON.parse(open.body)
    assert.equal(seen.headers['x-forwarded-client-cert'], undefined)
    assert.equal(seen.headers['x-mayfly-instance'], undefined)
    assert.equal(seen.headers.host, 'fn.test.svc.cluster.local')
    assert.equal((await send('fn.test', '/open')).status, 200)
    assert.equal((await send('fn.test', '/known')).status, 403)
    assert.equal((await send('fn.test', '/far')).status, 200)
    assert.equal((await send('other.test', '/open')).status, 200)
    assert.equal((await send('caller.test', '/open')).status, 403)
    for (const host of ['fn', 'nobody.test', 'fn.test.localhost', 'fn.test.example.com']) {
      assert.equal((await send(host, '/open')).status, 404, host)
    }
    assert.ok((await counted(mesh, 'plaintextAccepted')) > 0)
    client.close()
  })

  test(`with ${nodes} nodes nobody has an identity at a port without mutual TLS`, async () => {
    const mesh = meshes.get(nodes)!
    const client = new Client(mesh)
    const port = Number(new URL(mesh.functions['test/caller']!.egress).port)
    const send = (host: string, path: string) => client.send({ path, port, headers: { host } })
    assert.equal((await send('fn', '/known')).status, 200)
    assert.equal((await send('other', '/open')).status, 200)
    assert.equal((await send('other', '/known')).status, 403)
    const { body } = await send('other', '/open')
    assert.equal((JSON.parse(body) as Seen).headers['x-forwarded-client-cert'], undefined)
    client.close()
  })
}
