// Metrics and spans are alike whatever a mesh's division into nodes: each side of a call is reported where it is judged, once.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { startCollector, type TestCollector } from '../otlp-traces.ts'
import { parsePrometheus, samplesOf } from '../prometheus-text.ts'
import type { TestMesh } from '../start-mesh.ts'
import { Client, type TestServer } from './cluster.ts'
import { startNodes, startSeeing } from './nodes-world.ts'

let server: TestServer
const meshes = new Map<number, { mesh: TestMesh; collector: TestCollector }>()
before(async () => {
  server = await startSeeing()
  for (const nodes of [1, 2]) {
    const collector = await startCollector()
    const config = {
      extensionProviders: [{ name: 'otel', opentelemetry: { service: '127.0.0.1', port: collector.port } }],
      defaultProviders: { tracing: ['otel'] },
      defaultConfig: { tracing: { sampling: 100 } },
    }
    meshes.set(nodes, { collector, mesh: await startNodes(server, nodes, '', [], config) })
  }
})
after(async () => {
  for (const { mesh, collector } of meshes.values()) {
    await mesh.stop()
    collector.close()
  }
  await server.close()
})

async function run(mesh: TestMesh): Promise<void> {
  const outside = new Client(mesh)
  for (let i = 0; i < 3; i++) assert.equal((await outside.get('/outside')).status, 200)
  outside.close()
  const inside = new Client({ port: Number(new URL(mesh.functions['test/caller']!.egress).port) })
  const call = { path: '/inside', headers: { host: 'fn' } }
  for (let i = 0; i < 2; i++) assert.equal((await inside.send(call)).status, 200)
  inside.close()
}

test('each side of each call is counted once, with its labels', async () => {
  for (const [nodes, { mesh }] of meshes) {
    await run(mesh)
    const families = parsePrometheus(await (await fetch(mesh.metrics)).text())
    const rows = samplesOf(families, 'istio_requests_total')
      .map(({ labels, value }) => {
        const {
          reporter,
          source_workload,
          source_principal,
          destination_workload,
          connection_security_policy,
        } = labels
        return `${reporter} ${source_workload} (${source_principal}) ${destination_workload} ${connection_security_policy}: ${value}`
      })
      .sort()
    const fromGateway = nodes === 1 ? 'none' : 'mutual_tls'
    const caller = 'caller (spiffe://cluster.local/ns/test/sa/caller)'
    assert.deepEqual(
      rows,
      [
        `destination ${caller} fn mutual_tls: 2`,
        `destination mayfly-gateway (unknown) fn ${fromGateway}: 3`,
        `source ${caller} fn unknown: 2`,
        'source mayfly-gateway (unknown) fn unknown: 3',
      ],
      `${nodes} nodes`,
    )
  }
})

test('a call between functions has a client and a server span, whichever nodes they are on', async () => {
  for (const [nodes, { collector }] of meshes) {
    // The gateway's own span stands apart where the function is on another node.
    const wanted = nodes === 1 ? 3 + 4 : 6 + 4
    await collector.has(wanted)
    assert.equal(
      collector.spans.length,
      wanted,
      `${nodes} nodes: ${JSON.stringify(collector.spans.map(({ service, kind }) => [service, kind]))}`,
    )
    const clients = collector.spans.filter(({ kind }) => kind === 'client')
    assert.deepEqual(
      clients.map(({ service }) => service),
      ['caller.test', 'caller.test'],
    )
    for (const { spanId, traceId } of clients) {
      const [inner, ...more] = collector.spans.filter(({ parentId }) => parentId === spanId)
      assert.deepEqual(
        [inner!.kind, inner!.service, inner!.traceId, more.length],
        ['server', 'fn.test', traceId, 0],
      )
    }
    const roots = collector.spans.filter(({ parentId, kind }) => parentId === '' && kind === 'server')
    assert.equal(roots.length, 3)
    if (nodes === 1) continue
    for (const { spanId } of roots) {
      assert.deepEqual(
        collector.spans.filter(({ parentId }) => parentId === spanId).map(({ kind }) => kind),
        ['server'],
      )
    }
  }
})
