// Certificates that live for seconds: new ones are made, and neither a connection nor a request is lost by it.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { askMesh, Client, counted, until } from './cluster.ts'
import { startNodes, startSeeing } from './nodes-world.ts'

interface IdentityRow {
  principal: string
  epoch: number
  notAfter: number
  engines: string[]
}

test('certificates are renewed at half their life, under load and without a failure', async () => {
  const server = await startSeeing()
  const mesh = await startNodes(server, 2, '', ['--certificate-lifetime', '4'])
  const clients = Array.from({ length: 6 }, () => new Client(mesh))
  try {
    const egress = Number(new URL(mesh.functions['test/caller']!.egress).port)
    const statuses = new Map<number, number>()
    let ended = false
    const load = Promise.all(
      clients.map(async (client, index) => {
        while (!ended) {
          const port = index % 2 === 0 ? mesh.port : egress
          const host = index % 2 === 0 ? 'fn.test.localhost' : 'fn'
          const { status } = await client.send({ path: '/', port, headers: { host } })
          statuses.set(status, (statuses.get(status) ?? 0) + 1)
        }
      }),
    )
    const gateway = 'cluster.local/ns/mayfly-system/sa/gateway'
    const read = async () =>
      (await askMesh<IdentityRow[]>(mesh, 'identities')).find((one) => one.principal === gateway)
    const first = await until(read, (row) => row !== undefined)
    const handshakes = await counted(mesh, 'tlsHandshakes')
    const renewed = await until(read, (row) => row!.notAfter > first!.notAfter)
    // Twice its life: whoever went on with the first certificate would have been refused.
    await until(read, (row) => row!.notAfter > renewed!.notAfter + 3_000)
    ended = true
    await load
    assert.deepEqual([...statuses.keys()], [200])
    assert.ok(statuses.get(200)! > 100)
    assert.ok((await counted(mesh, 'tlsHandshakes')) >= handshakes)
    assert.equal(await counted(mesh, 'tlsHandshakesFailed'), 0)
    assert.equal(await counted(mesh, 'tlsPeersRefused'), 0)
  } finally {
    for (const client of clients) client.close()
    await mesh.stop()
    await server.close()
  }
})
