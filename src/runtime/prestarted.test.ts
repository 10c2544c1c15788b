import assert from 'node:assert/strict'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import type { InstanceSet } from './instance-set.ts'
import { ended, folder, recorded, runtime, spec } from './testing.ts'

/** Tells what it finds itself in. */
const MODULE = `export default () => Response.json({
  environment: process.env, argv: process.argv.slice(1), folder: process.cwd(), pid: process.pid,
})\n`
const MESH = { HTTP_PROXY: 'http://127.0.0.1:9', NO_PROXY: '127.0.0.1', MAYFLY_URL: 'http://127.0.0.1:9' }

type Told = { environment: Record<string, string>; argv: string[]; folder: string; pid: number }

function world(t: TestContext, prestarted: number) {
  const path = folder(t, { 'fn.mjs': MODULE })
  const made = runtime(t, { prestarted, cacheDirectory: null })
  const of = (env: { name: string; value: string }[] = []) => {
    const image = { kind: 'file' as const, path: join(path, 'fn.mjs') }
    return spec(image, { env, source: { file: join(path, 'fn.yaml'), line: 1 } })
  }
  const start = async (
    env?: { name: string; value: string }[],
  ): Promise<{ set: InstanceSet; told: Told }> => {
    const { set, seen } = recorded(made, of(env), { environment: () => MESH })
    set.setDesired(1)
    const failed = seen.next('failed').then(({ reason }) => assert.fail(reason))
    const { instance } = await Promise.race([seen.next('ready'), failed])
    const { port } = instance.address
    const told = (await (await fetch(`http://127.0.0.1:${port}/`)).json()) as Told
    assert.equal(told.pid, instance.pid)
    return { set, told }
  }
  return { made, start, pool: made.prestarted }
}

async function waiting(pool: { waiting: number } | null, count: number): Promise<void> {
  while (pool!.waiting < count) await delay(20)
}

test('an instance finds itself in a process that was started ahead as in any other', async (t) => {
  const plain = world(t, 0)
  assert.equal(plain.pool, null)
  const ahead = world(t, 1)
  await waiting(ahead.pool, 1)
  const env = [{ name: 'GREETING', value: 'hello' }]
  const [expected, found] = [(await plain.start(env)).told, (await ahead.start(env)).told]
  assert.equal(ahead.pool!.counters.taken, 1)
  const OWN = ['PORT', 'MAYFLY_INSTANCE', 'MAYFLY_RUN', 'K_REVISION']
  const common = ({ environment }: Told) =>
    Object.fromEntries(Object.entries(environment).filter(([name]) => !OWN.includes(name)))
  assert.deepEqual(common(found), common(expected))
  assert.deepEqual(Object.keys(found.environment).sort(), Object.keys(expected.environment).sort())
  assert.equal(found.environment.GREETING, 'hello')
  assert.deepEqual([found.argv.length, found.folder], [1, found.argv[0]!.replace('/fn.mjs', '')])
})

test('each process becomes one instance, and another one is started for it', async (t) => {
  const { pool, start } = world(t, 1)
  await waiting(pool, 1)
  const first = await start()
  await waiting(pool, 1)
  const second = await start()
  assert.notEqual(first.told.pid, second.told.pid)
  assert.equal(pool!.counters.taken, 2)
  await first.set.drain()
  await ended(first.told.pid)
})

test('where none waits, or what Node reads at its start is to be another, one is started as ever', async (t) => {
  const { pool, start } = world(t, 1)
  await waiting(pool, 1)
  const env = [{ name: 'NODE_OPTIONS', value: '--no-warnings' }]
  assert.equal((await start(env)).told.environment.NODE_OPTIONS, '--no-warnings')
  assert.equal((await start([{ name: 'TZ', value: 'Asia/Tokyo' }])).told.environment.TZ, 'Asia/Tokyo')
  assert.deepEqual(pool!.counters, { taken: 0, none: 0, unfit: 2, died: 0 })
  await Promise.all([start(), start(), start()])
  assert.deepEqual([pool!.counters.taken, pool!.counters.none], [1, 2])
})

test('one that dies while it waits is replaced; none is left when the runtime is closed', async (t) => {
  const { made, pool } = world(t, 2)
  await waiting(pool, 2)
  const [pid] = pool!.pids
  process.kill(pid!, 'SIGKILL')
  while (pool!.counters.died === 0) await delay(20)
  await waiting(pool, 2)
  const { pids } = pool!
  assert.ok(!pids.includes(pid!))
  await made.close()
  for (const one of pids) await ended(one)
  assert.equal(pool!.waiting, 0)
})
