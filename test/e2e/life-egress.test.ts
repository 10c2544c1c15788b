// The addresses from which functions call: each speaks for its owner, and for nobody once the owner is gone.

import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { RawClient } from '../raw-client.ts'
import { startTestMesh, type TestMesh } from '../start-mesh.ts'
import {
  askMesh,
  functionManifest,
  type InstanceRow,
  meshConfig,
  settled,
  startServer,
  type TestServer,
  until,
} from './cluster.ts'

const POLICY = JSON.stringify({
  apiVersion: 'security.istio.io/v1',
  kind: 'AuthorizationPolicy',
  metadata: { name: 'callers', namespace: 'test' },
  spec: {
    selector: { matchLabels: { 'serving.knative.dev/service': 'callee' } },
    rules: [
      {
        from: [
          { source: { principals: ['cluster.local/ns/test/sa/outer', 'cluster.local/ns/test/sa/inner'] } },
        ],
      },
    ],
  },
})
const KEPT = { 'autoscaling.knative.dev/min-scale': '1' }
const CALL = 'GET / HTTP/1.1\r\nhost: callee\r\n\r\n'

let mesh: TestMesh
let server: TestServer

before(async () => {
  server = await startServer((_, answer) => answer.end('called'))
  mesh = await startTestMesh({
    'fn.ts': `export default { fetch: () => new Response('ok') }`,
    'mesh.yaml': meshConfig({ engines: 2, defaultAuthorization: 'deny' }),
    'policy.yaml': POLICY,
    'callee.yaml': functionManifest({ name: 'callee', image: `endpoint:${server.address}` }),
    'outer.yaml': functionManifest({ name: 'outer', image: 'endpoint:127.0.0.1:9' }),
    'inner.yaml': functionManifest({ name: 'inner', image: 'file:./fn.ts', annotations: KEPT }),
    'stranger.yaml': functionManifest({ name: 'stranger', image: 'file:./fn.ts', annotations: KEPT }),
  })
})

after(async () => {
  await settled(mesh)
  await mesh.stop()
  await server.close()
})

const portOf = (url: string) => Number(new URL(url).port)
const instances = () => askMesh<InstanceRow[]>(mesh, 'instances')
const ready = async (name: string, but = '') =>
  until(
    async () =>
      (await instances()).find(
        (row) => row.function === `test/${name}` && row.state === 'ready' && row.id !== but,
      ),
    (row) => row !== undefined,
  ) as Promise<InstanceRow>

async function call(port: number): Promise<string> {
  const client = await RawClient.connect(port)
  client.send(CALL.replace('\r\n\r\n', '\r\nconnection: close\r\n\r\n'))
  return client.receive()
}

function refuses(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' })
    socket.once('connect', () => {
      socket.destroy()
      resolve(false)
    })
    socket.once('error', () => resolve(true))
  })
}

test('each address speaks for its owner alone', async () => {
  const [inner, stranger] = [await ready('inner'), await ready('stranger')]
  const functions = Object.values(mesh.functions).map(({ egress }) => egress)
  assert.equal(new Set([...functions, inner.egress, stranger.egress]).size, functions.length + 2)
  for (let i = 0; i < 4; i++) {
    assert.match(await call(portOf(inner.egress)), /^HTTP\/1\.1 200 .*called$/s)
    assert.match(await call(portOf(mesh.functions['test/outer']!.egress)), /^HTTP\/1\.1 200 .*called$/s)
    assert.match(await call(portOf(stranger.egress)), /^HTTP\/1\.1 403 /)
  }
})

test("a killed instance's address is closed, and its successor has another", async () => {
  const { id, pid, egress } = await ready('inner')
  process.kill(pid, 'SIGKILL')
  const next = await ready('inner', id)
  assert.notEqual(next.egress, egress)
  await until(
    () => refuses(portOf(egress)),
    (refused) => refused,
  )
  assert.match(await call(portOf(next.egress)), /^HTTP\/1\.1 200 .*called$/s)
})

test('when a function is deleted its address refuses, also on connections that are open, and passes to nobody', async () => {
  const port = portOf(mesh.functions['test/outer']!.egress)
  const open = await RawClient.connect(port)
  open.send(CALL)
  await open.receive(/called$/)
  open.clear()
  rmSync(join(mesh.dir, 'outer.yaml'))
  await until(
    () => refuses(port),
    (refused) => refused,
  )
  open.send(CALL)
  assert.match(await open.receive(/\r\n\r\n/), /^HTTP\/1\.1 4\d\d /)
  open.close()
  const names = Array.from({ length: 20 }, (_, i) => `new-${i}`)
  for (const name of names) {
    mesh.write(`${name}.yaml`, functionManifest({ name, image: 'endpoint:127.0.0.1:9' }))
  }
  const rows = await until(
    () => askMesh<{ name: string; egress: string | null }[]>(mesh, 'functions'),
    (all) => names.every((name) => all.find((row) => row.name === name)?.egress),
  )
  assert.ok(rows.every((row) => portOf(row.egress!) !== port))
  assert.equal(await refuses(port), true)
})
