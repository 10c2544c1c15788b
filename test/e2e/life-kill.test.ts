// Instances and engines that are killed under load: only the requests on them fail, and service goes on.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { startTestMesh, type TestMesh } from '../start-mesh.ts'
import {
  askMesh,
  Client,
  type EngineRow,
  functionManifest,
  type InstanceRow,
  meshConfig,
  settled,
  until,
} from './cluster.ts'
import { burst, fresh, type Load, load, type Outcome } from './load.ts'

const WORK_MS = 10
const WIDTH = 12

/** Works for a moment; tells how many requests it had at once. */
const FUNCTION = `
let now = 0
export default {
  async fetch() {
    const seen = ++now
    await new Promise((resolve) => setTimeout(resolve, ${WORK_MS}))
    now--
    return Response.json({ seen, pid: process.pid })
  },
}`

/** Calls the function beside it. */
const CALLER = `export default { fetch: () => fetch('http://shared/') }`

let mesh: TestMesh
let client: Client

before(async () => {
  const image = 'file:./fn.ts'
  const scale = { 'autoscaling.knative.dev/min-scale': '2', 'autoscaling.knative.dev/max-scale': '2' }
  mesh = await startTestMesh({
    'fn.ts': FUNCTION,
    'caller.ts': CALLER,
    'mesh.yaml': meshConfig({ engines: 2 }),
    'shared.yaml': functionManifest({ name: 'shared', image, annotations: scale }),
    'limited.yaml': functionManifest({ name: 'limited', image, concurrency: 2, annotations: scale }),
    'caller.yaml': functionManifest({ name: 'caller', image: 'file:./caller.ts' }),
  })
  client = new Client(mesh)
})

after(async () => {
  await settled(mesh)
  client.close()
  await mesh.stop()
})

const engines = () => askMesh<EngineRow[]>(mesh, 'engines')
const instances = async (name: string) =>
  (await askMesh<InstanceRow[]>(mesh, 'instances')).filter(
    (row) => row.function === `test/${name}` && row.state === 'ready',
  )

async function warmedUp(running: Load): Promise<void> {
  await until(
    async () => running.outcomes.filter(succeeded).length,
    (count) => count > 5 * WIDTH,
  )
}

/** Resolves once requests that were asked for after now have been answered by each connection. */
async function goesOn(running: Load): Promise<void> {
  const since = performance.now()
  await until(
    async () => running.outcomes.filter((one) => one.askedAt > since && succeeded(one)).length,
    (count) => count > 5 * WIDTH,
  )
}

function succeeded(outcome: Outcome): boolean {
  return outcome.kind === 'answered' && outcome.status === 200
}

/** What failed, each held against the moment of the kill: nothing else than what was under way then may fail. */
function assertOnlyUnderWay(outcomes: readonly Outcome[], killedAt: number): Outcome[] {
  const failed = outcomes.filter((one) => !succeeded(one))
  for (const one of failed) {
    const text = JSON.stringify({
      ...one,
      askedAt: one.askedAt - killedAt,
      answeredAt: one.answeredAt - killedAt,
    })
    // The kill takes effect a moment after it was sent.
    assert.ok(one.askedAt < killedAt + 50 && one.answeredAt > killedAt, text)
    if (one.kind === 'answered') assert.ok(one.status === 502 || one.status === 503, text)
  }
  assert.ok(failed.length <= WIDTH, `${failed.length} failed of at most ${WIDTH} under way`)
  return failed
}

for (const name of ['shared', 'limited']) {
  test(`an instance of ${name} that is killed under load fails what was on it, and another takes its place`, async (t) => {
    await until(
      () => instances(name),
      (rows) => rows.length === 2,
    )
    const running = load(t, mesh, name, WIDTH)
    await warmedUp(running)
    const [victim] = await instances(name)
    const killedAt = performance.now()
    process.kill(victim!.pid, 'SIGKILL')
    await goesOn(running)
    await until(
      () => instances(name),
      (rows) => rows.length === 2 && rows.every(({ id }) => id !== victim!.id),
    )
    const failed = assertOnlyUnderWay(await running.stop(), killedAt)
    for (const one of failed) assert.equal(one.kind, 'answered', JSON.stringify(one))
  })
}

test('an engine that is killed under load takes its own connections along, and a new one comes in its place', async (t) => {
  const running = load(t, mesh, 'shared', WIDTH)
  const limited = load(t, mesh, 'limited', WIDTH)
  const calls = load(t, mesh, 'caller', 2)
  await warmedUp(running)
  await warmedUp(limited)
  const before = await engines()
  const victim = before[0]!
  const killedAt = performance.now()
  process.kill(victim.pid, 'SIGKILL')
  await goesOn(running)
  await goesOn(limited)
  await delay(30 * WORK_MS)
  await goesOn(limited)
  const now = await until(engines, (rows) => rows.length === 2 && rows.every(({ pid }) => pid !== victim.pid))
  const newcomer = now.find(({ engine }) => !before.some((one) => one.engine === engine))!
  assert.ok(newcomer.pid > 0)
  const outcomes = await running.stop()
  assertOnlyUnderWay(outcomes, killedAt)
  const shared = assertOnlyUnderWay(await limited.stop(), killedAt)
  assert.ok(shared.length <= WIDTH)
  // What the dead engine had sent is still worked on for a moment, though nobody waits for it: the instance counts it, too.
  const seen = limited.outcomes
    .filter((one) => one.askedAt < killedAt - 20 * WORK_MS || one.askedAt > killedAt + 20 * WORK_MS)
    .map((one) => (one.kind === 'answered' && one.status === 200 ? JSON.parse(one.body).seen : 0))
  assert.equal(Math.max(...seen), 2)
  await calls.stop()

  // The newcomer has the listeners and gets slots.
  await until(
    async () => {
      await burst(10, () => fresh(mesh, 'limited'))
      return (await engines()).find(({ engine }) => engine === newcomer.engine)?.counters?.responses2xx ?? 0
    },
    (count) => count > 0,
  )
  await settled(mesh)
  const answers = await burst(40, () => fresh(mesh, 'limited'))
  assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200])
})

test('functions call each other after each engine was replaced', async () => {
  for (let round = 0; round < 2; round++) {
    const rows = await engines()
    const victim = rows[0]!
    process.kill(victim.pid, 'SIGKILL')
    await until(
      engines,
      (now) => now.length === 2 && now.every(({ pid, counters }) => pid !== victim.pid && counters !== null),
    )
  }
  await until(
    () => fresh(mesh, 'caller'),
    ({ status }) => status === 200,
  )
  const answers = await burst(20, () => fresh(mesh, 'caller'))
  assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200])
})

test('when all engines are killed at once, the mesh comes back on its port', async () => {
  const before = await engines()
  for (const { pid } of before) process.kill(pid, 'SIGKILL')
  await until(
    () => fresh(mesh, 'shared').catch((error: Error) => ({ status: 0, body: error.message })),
    ({ status }) => status === 200,
  )
  await until(engines, (rows) => rows.length === 2 && rows.every(({ counters }) => counters !== null))
  assert.equal((await client.get('/', 'limited')).status, 200)
  assert.equal((await client.get('/', 'caller')).status, 200)
})
