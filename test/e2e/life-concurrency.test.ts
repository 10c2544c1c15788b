// How many requests an instance gets at once, when several engines share it.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { startTestMesh, type TestMesh } from '../start-mesh.ts'
import {
  askMesh,
  Client,
  counted,
  type EngineRow,
  functionManifest,
  meshConfig,
  settled,
  until,
} from './cluster.ts'
import { burst, fresh } from './load.ts'

const WORK_MS = 20

/** Answers how many requests it had at once, this one included, who it is, and how long it took. */
const BUSY = `
let now = 0
export default {
  async fetch() {
    const seen = ++now
    const startedAt = performance.now()
    await new Promise((resolve) => setTimeout(resolve, ${WORK_MS}))
    now--
    return Response.json({ seen, pid: process.pid, workMs: performance.now() - startedAt })
  },
}`

let mesh: TestMesh
let client: Client

before(async () => {
  const image = 'file:./busy.ts'
  const scale = (max: string) => ({ 'autoscaling.knative.dev/max-scale': max })
  mesh = await startTestMesh({
    'busy.ts': BUSY,
    'mesh.yaml': meshConfig({ engines: 2, limits: { maxQueuedRequests: 50 } }),
    'one.yaml': functionManifest({ name: 'one', image, concurrency: 1, annotations: scale('1') }),
    'three.yaml': functionManifest({ name: 'three', image, concurrency: 1, annotations: scale('3') }),
    'five.yaml': functionManifest({ name: 'five', image, concurrency: 5, annotations: scale('1') }),
    'bounded.yaml': functionManifest({ name: 'bounded', image, concurrency: 1, annotations: scale('1') }),
  })
  client = new Client(mesh)
})

after(async () => {
  await settled(mesh)
  client.close()
  await mesh.stop()
})

test('both engines take connections', async () => {
  await burst(40, () => fresh(mesh, 'five'))
  const rows = await askMesh<EngineRow[]>(mesh, 'engines')
  assert.equal(rows.length, 2)
  for (const { engine, counters } of rows) assert.ok(counters!.requests! > 0, `${engine} took none`)
})

test('with containerConcurrency 1 and one instance, requests come one by one, and the instance is kept busy', async () => {
  await client.get('/', 'one')
  const ratios: number[] = []
  // Half as long again as the work took, in one of three tries: the machine may be busy with something else.
  while (ratios.length < 3 && !(Math.min(...ratios) < 1.5)) {
    const startedAt = performance.now()
    const answers = await burst(60, () => fresh(mesh, 'one'))
    const tookMs = performance.now() - startedAt
    const bodies = answers.map(
      ({ body }) => JSON.parse(body) as { seen: number; pid: number; workMs: number },
    )
    assert.deepEqual([...new Set(bodies.map(({ seen }) => seen))], [1])
    assert.equal(new Set(bodies.map(({ pid }) => pid)).size, 1)
    ratios.push(tookMs / bodies.reduce((sum, { workMs }) => sum + workMs, 0))
  }
  assert.ok(Math.min(...ratios) < 1.5, `${ratios} of the time that the work took`)
})

test('with max-scale 3, three instances share the load, each with one request at a time', async () => {
  await client.get('/', 'three')
  // No more than the bound of one engine's queue, to which chance may lead them all.
  const bodies = (await burst(45, () => fresh(mesh, 'three'))).map(({ body }) => JSON.parse(body))
  assert.deepEqual([...new Set(bodies.map(({ seen }) => seen))], [1])
  assert.equal(new Set(bodies.map(({ pid }) => pid)).size, 3)
})

test('a limit above one is used and never passed', async () => {
  await client.get('/', 'five')
  const seen = (await burst(60, () => fresh(mesh, 'five'))).map(({ body }) => JSON.parse(body).seen as number)
  assert.equal(Math.max(...seen), 5)
})

test('beyond the bound of the queue the answer is 503 at once, and it is counted', async () => {
  await client.get('/', 'bounded')
  const before = await counted(mesh, 'queueFull')
  const startedAt = performance.now()
  let refusedAfterMs = 0
  const answers = await Promise.all(
    Array.from({ length: 200 }, async () => {
      const answer = await fresh(mesh, 'bounded')
      if (answer.status === 503) refusedAfterMs = performance.now() - startedAt
      return answer
    }),
  )
  const refused = answers.filter(({ status }) => status === 503)
  const served = answers.filter(({ status }) => status === 200)
  assert.equal(refused.length + served.length, 200)
  // Each of the two engines has a queue of 50.
  assert.ok(served.length >= 50, `${served.length} were served`)
  assert.ok(refused.length >= 200 - 2 * 50 - WORK_MS, `${refused.length} were refused`)
  assert.equal((await counted(mesh, 'queueFull')) - before, refused.length)
  for (const { body, headers } of refused) {
    assert.match(body, /^50 requests wait for this function already/)
    assert.equal(headers['retry-after'], '1')
  }
  assert.ok(refusedAfterMs < 50 * WORK_MS, `the last refusal came after ${refusedAfterMs} ms`)
})

test('every slot that was taken comes back, and no connection stays', async () => {
  await settled(mesh)
  client.close()
  await until(
    () => counted(mesh, 'connectionsOpen'),
    (open) => open === 0,
  )
  for (const name of ['one', 'three', 'five', 'bounded']) {
    for (let i = 0; i < 4; i++) assert.equal((await fresh(mesh, name)).status, 200)
  }
})
