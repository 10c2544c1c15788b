// Instances that start on demand, fail to start, crash, and are kept.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { startTestMesh, type TestMesh } from '../start-mesh.ts'
import {
  askMesh,
  Client,
  counted,
  functionManifest,
  type InstanceRow,
  meshConfig,
  settled,
  until,
} from './cluster.ts'
import { burst, fresh } from './load.ts'

const GOOD = `
export default {
  fetch(request) {
    if (new URL(request.url).pathname === '/crash') process.exit(3)
    return new Response(String(process.pid))
  },
}`
const BROKEN = `throw new Error('the price list is missing')`

let mesh: TestMesh
let client: Client

before(async () => {
  const image = 'file:./good.ts'
  mesh = await startTestMesh({
    'good.ts': GOOD,
    'broken.ts': BROKEN,
    'slow-start.ts': `await new Promise((resolve) => setTimeout(resolve, 300))\n${GOOD}`,
    'mesh.yaml': meshConfig({ engines: 2 }),
    'cold.yaml': functionManifest({ name: 'cold', image }),
    'slow.yaml': functionManifest({ name: 'slow', image: 'file:./slow-start.ts' }),
    'few.yaml': functionManifest({
      name: 'few',
      image: 'file:./slow-start.ts',
      concurrency: 10,
      annotations: { 'autoscaling.knative.dev/max-scale': '2' },
    }),
    'crash.yaml': functionManifest({ name: 'crash', image }),
    'broken.yaml': functionManifest({ name: 'broken', image: 'file:./broken.ts' }),
    'kept.yaml': functionManifest({
      name: 'kept',
      image,
      annotations: { 'autoscaling.knative.dev/min-scale': '2' },
    }),
  })
  client = new Client(mesh)
})

after(async () => {
  await settled(mesh)
  client.close()
  await mesh.stop()
})

const rowsOf = async (name: string) =>
  (await askMesh<InstanceRow[]>(mesh, 'instances')).filter((row) => row.function === `test/${name}`)

test('nothing runs that nobody asked for, but the least number that a function is to have', async () => {
  const rows = await until(
    () => askMesh<InstanceRow[]>(mesh, 'instances'),
    (some) => some.length >= 2 && some.every((row) => row.state === 'ready'),
  )
  assert.deepEqual(
    rows.map((row) => row.function),
    ['test/kept', 'test/kept'],
  )
})

test('of a hundred first requests at once each is answered, by one instance where that is enough', async () => {
  const answers = await burst(100, () => fresh(mesh, 'slow'))
  assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200])
  assert.equal(new Set(answers.map(({ body }) => body)).size, 1)
})

test('a hundred first requests wait for the few instances that there may be', async () => {
  const answers = await burst(100, () => fresh(mesh, 'few'))
  assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200])
  // Whether the first instance is done before the second one is ready, nobody can say.
  assert.ok(new Set(answers.map(({ body }) => body)).size <= 2)
  assert.equal((await rowsOf('few')).length, 2)
})

test('an instance that crashes fails the request on it, once, and the next one starts anew', async () => {
  const first = await client.get('/', 'crash')
  const crashed = await client.get('/crash', 'crash')
  assert.equal(crashed.status, 502)
  const second = await client.get('/', 'crash')
  assert.equal(second.status, 200)
  assert.notEqual(second.body, first.body)
  assert.equal((await rowsOf('crash')).length, 1)
})

test('the least number of instances is there again after one was killed', async () => {
  const [one] = await rowsOf('kept')
  process.kill(one!.pid, 'SIGKILL')
  await until(
    () => rowsOf('kept'),
    (rows) => rows.length === 2 && rows.every((row) => row.state === 'ready' && row.pid !== one!.pid),
  )
})

test('a function that does not start answers 503 with the reason, tries more seldom, and serves once it is mended', async () => {
  const startedAt = performance.now()
  const first = await client.get('/', 'broken')
  assert.equal(first.status, 503)
  assert.match(first.body, /^the function does not start: .*the price list is missing/s)
  assert.match(first.headers['retry-after'] ?? '', /^[1-9]\d*$/)
  assert.ok(performance.now() - startedAt < 5_000)
  const starts = () => mesh.stderr.filter((line) => line.includes('test/broken does not start')).length
  const refusals = await counted(mesh, 'startsFailed')
  const answers = await burst(20, () => fresh(mesh, 'broken'))
  assert.deepEqual([...new Set(answers.map(({ status }) => status))], [503])
  assert.equal((await counted(mesh, 'startsFailed')) - refusals, 20)
  // The pauses between starts double from 100 ms on, so in this second there can't be more than four.
  const before = starts()
  const until1s = performance.now() + 1_000
  while (performance.now() < until1s) {
    assert.equal((await client.get('/', 'broken')).status, 503)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  const more = starts() - before
  assert.ok(more >= 1 && more <= 4, `${more} starts in a second`)
  mesh.write('broken.ts', GOOD)
  await until(
    () => client.get('/', 'broken'),
    ({ status }) => status === 200,
  )
})
