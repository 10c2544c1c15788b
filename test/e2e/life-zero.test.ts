// Instances that nobody needs any more end, and begin again when they are asked for.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isThere } from '../cli/process-family.ts'
import { startTestMesh, type TestMesh } from '../start-mesh.ts'
import { askMesh, functionManifest, type InstanceRow, meshConfig, settled, until } from './cluster.ts'
import { burst, fresh } from './load.ts'

/** Knative's shortest window, in milliseconds. */
const WINDOW_MS = 6_000
const CODE = `export default { async fetch() {
  await new Promise((resolve) => setTimeout(resolve, 50))
  return new Response(String(process.pid))
} }`

test('after a window without requests all instances but the least number end; the next request starts one', async () => {
  const image = 'file:./fn.ts'
  const window = { 'autoscaling.knative.dev/window': `${WINDOW_MS / 1000}s` }
  const mesh = await startTestMesh({
    'fn.ts': CODE,
    'mesh.yaml': meshConfig({ engines: 2 }),
    'zero.yaml': functionManifest({ name: 'zero', image, annotations: window }),
    'many.yaml': functionManifest({
      name: 'many',
      image,
      concurrency: 1,
      annotations: {
        ...window,
        'autoscaling.knative.dev/min-scale': '1',
        'autoscaling.knative.dev/max-scale': '3',
      },
    }),
  })
  const first = await fresh(mesh, 'zero')
  assert.equal(first.status, 200)
  const pids = new Set((await burst(30, () => fresh(mesh, 'many'))).map(({ body }) => Number(body)))
  const lastAt = performance.now()
  assert.equal(pids.size, 3)
  const { egress } = (await rowsOf(mesh, 'zero'))[0]!
  // Two ticks of 2 s beyond the window at the most, and the end of a process: the bound is that of `until`.
  await until(
    async () => [await rowsOf(mesh, 'zero'), await rowsOf(mesh, 'many')].map((rows) => rows.length),
    ([zero, many]) => zero === 0 && many === 1,
  )
  assert.ok(performance.now() - lastAt >= WINDOW_MS - 2_000, 'they ended within the window')
  await until(
    async () => [Number(first.body), ...pids].filter(isThere).length,
    (left) => left === 1,
  )
  await assert.rejects(fetch(egress), /fetch failed/, 'its address is closed with it')
  const again = await burst(20, () => fresh(mesh, 'zero'))
  assert.deepEqual([...new Set(again.map(({ status }) => status))], [200])
  assert.notEqual(again[0]!.body, first.body)
  assert.equal((await fresh(mesh, 'many')).status, 200)
  await settled(mesh)
  await mesh.stop()
})

async function rowsOf(mesh: TestMesh, name: string): Promise<InstanceRow[]> {
  const rows = await askMesh<InstanceRow[]>(mesh, 'instances')
  return rows.filter((row) => row.function === `test/${name}`)
}
