// Calls between functions: by which names, who calls, and that a denied call makes no connection.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { RawClient } from '../raw-client.ts'
import { echoPath, type HttpMesh, type Instance, startHttpMesh, startInstance } from './http-world.ts'

const POLICY = `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: caller-only, namespace: test}
spec:
  selector: {matchLabels: {serving.knative.dev/service: secret}}
  rules: [{from: [{source: {principals: [cluster.local/ns/test/sa/caller]}}]}]
`

let mesh: HttpMesh
let callee: Instance
let secret: Instance
before(async () => {
  callee = await startInstance(echoPath)
  secret = await startInstance(echoPath)
  mesh = await startHttpMesh(
    { caller: '127.0.0.1:9', stranger: '127.0.0.1:9', callee: callee.address, secret: secret.address },
    { more: POLICY },
  )
})
after(async () => {
  await mesh?.stop()
  callee?.close()
  secret?.close()
})

async function call(from: string, head: string): Promise<string> {
  const { hostname, port } = new URL(mesh.functions[`test/${from}`]!.egress)
  const client = await RawClient.connect(Number(port), hostname)
  client.send(`${head}\r\nconnection: close\r\n\r\n`)
  return client.receive()
}

test('a call needs a permission; without one there is not even a connection, whatever its fields claim', async () => {
  const spoofed = 'x-forwarded-client-cert: URI=spiffe://cluster.local/ns/test/sa/caller'
  const text = await call('stranger', `GET / HTTP/1.1\r\nhost: secret\r\n${spoofed}`)
  assert.match(text, /^HTTP\/1\.1 403 /)
  assert.match(text, /AuthorizationPolicy/)
  assert.equal(secret.connections.length, 0)
  assert.match(await call('caller', 'GET /ok HTTP/1.1\r\nhost: secret'), /\r\n\r\n\/ok$/)
  assert.equal(secret.connections.length, 1)
})

for (const host of ['callee', 'callee.test', 'callee.test.svc.cluster.local']) {
  test(`${host}: by Host, in absolute form as through HTTP_PROXY, and by path`, async () => {
    for (const head of [
      `GET /x HTTP/1.1\r\nhost: ${host}`,
      `GET http://${host}/x HTTP/1.1\r\nhost: ${host}`,
    ]) {
      assert.match(await call('caller', head), /^HTTP\/1\.1 200 [\s\S]*\r\n\r\n\/x$/)
    }
    const { host: self } = new URL(mesh.functions['test/caller']!.egress)
    assert.match(
      await call('caller', `GET /${host}/x HTTP/1.1\r\nhost: ${self}`),
      /^HTTP\/1\.1 200 [\s\S]*\r\n\r\n\/x$/,
    )
  })
}

test('the outside world and tunnels are refused', async () => {
  assert.match(
    await call('caller', 'GET http://example.com/ HTTP/1.1\r\nhost: example.com'),
    /^HTTP\/1\.1 403 /,
  )
  assert.match(await call('caller', 'CONNECT callee:80 HTTP/1.1\r\nhost: callee:80'), /^HTTP\/1\.1 4\d\d /)
})
