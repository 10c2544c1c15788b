import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { WorkDone } from './work-function.ts'

/** A function of its own: a module instance is what an instance process would be. */
async function instance(name: string): Promise<(query: string) => Promise<Response>> {
  const { default: work } = await import(`./work-function.ts?${name}`)
  return (query) => work.fetch(new Request(`http://f.trace.localhost${query}`))
}

test('sleeps at least as long as asked and says how long it was', async () => {
  const ask = await instance('sleep')
  for (const ms of [1, 7, 30]) {
    const start = performance.now()
    const done = (await (await ask(`/work?ms=${ms}&mode=sleep`)).json()) as WorkDone
    const passed = performance.now() - start
    assert.ok(done.executedUs >= ms * 1000, `${done.executedUs}`)
    assert.ok(done.executedUs / 1000 <= passed)
  }
})

test('the first request of an instance is cold, later ones are not', async () => {
  const ask = await instance('cold')
  assert.equal((await ask('/')).status, 404)
  const answers: WorkDone[] = []
  for (let i = 0; i < 3; i++) answers.push((await (await ask('/work?ms=0&mode=sleep')).json()) as WorkDone)
  assert.deepEqual(
    answers.map((one) => one.cold),
    [true, false, false],
  )
  assert.ok(answers.every((one) => one.pid === process.pid && one.function === null))
})

test('spinning uses as much CPU as asked; two at once each get theirs, so that one waits for the other', async () => {
  const ask = await instance('spin')
  await ask('/work?ms=5&mode=spin')
  const before = process.threadCpuUsage()
  const start = performance.now()
  const answers = await Promise.all(
    [40, 40].map(async (ms) => (await ask(`/work?ms=${ms}&mode=spin`)).json() as Promise<WorkDone>),
  )
  const passed = performance.now() - start
  const { user, system } = process.threadCpuUsage(before)
  for (const one of answers)
    assert.ok(one.executedUs >= 40_000 && one.executedUs < 60_000, `${one.executedUs}`)
  assert.ok(user + system >= 80_000, `${user + system}`)
  assert.ok(passed >= 80, `${passed}`)
})

test('takes memory when asked to', async () => {
  const ask = await instance('memory')
  const before = process.memoryUsage.rss()
  const working = ask('/work?ms=50&mode=sleep&mb=64')
  await new Promise((resolve) => setImmediate(resolve))
  const during = process.memoryUsage.rss()
  assert.ok(during - before > 50 * 2 ** 20, `${during - before}`)
  assert.equal(((await (await working).json()) as { memoryBytes: number }).memoryBytes, 64 * 2 ** 20)
})

test('whatever else is asked is refused', async () => {
  const ask = await instance('refuse')
  for (const query of [
    '',
    '?ms=1',
    '?ms=-1&mode=sleep',
    '?ms=1e3&mode=sleep',
    '?ms=9999999&mode=sleep',
    '?mode=sleep',
    '?ms=1&mode=run',
    '?ms=1&mode=sleep&mb=x',
    '?ms=1&mode=sleep&mb=99999',
  ]) {
    const answer = await ask(`/work${query}`)
    assert.equal(answer.status, 400, query)
    assert.match(((await answer.json()) as { error: string }).error, /expected/)
  }
})
