import assert from 'node:assert/strict'
import { mock, test } from 'node:test'
import { StartGate } from './start-gate.ts'

const turn = () => new Promise(setImmediate)
const never = new AbortController().signal

/** Enters, and notes when it is inside. */
function entering(gate: StartGate, inside: string[], name: string, signal: AbortSignal = never) {
  return gate.enter(signal).then((leave) => {
    inside.push(leave ? name : `not ${name}`)
    return leave!
  })
}

test('so many are inside at once, the others in their order', async () => {
  const gate = new StartGate(2)
  const inside: string[] = []
  const [a] = ['a', 'b', 'c', 'd'].map((name) => entering(gate, inside, name))
  await turn()
  assert.deepEqual(inside, ['a', 'b'])
  const leave = await a!
  leave()
  leave()
  await turn()
  assert.deepEqual(inside, ['a', 'b', 'c'])
})

test('who waits no more takes nobody’s place', async () => {
  const gate = new StartGate(1)
  const inside: string[] = []
  const stop = new AbortController()
  const a = entering(gate, inside, 'a')
  void entering(gate, inside, 'b', stop.signal)
  void entering(gate, inside, 'c')
  stop.abort()
  await turn()
  assert.deepEqual(inside, ['a', 'not b'])
  ;(await a)()
  await turn()
  assert.deepEqual(inside, ['a', 'not b', 'c'])
  await entering(gate, inside, 'd', stop.signal)
  assert.equal(inside.at(-1), 'not d')
})

test('one that takes long holds up nobody any more', async (t) => {
  mock.timers.enable({ apis: ['setTimeout'] })
  t.after(() => mock.timers.reset())
  const gate = new StartGate(1)
  const inside: string[] = []
  void entering(gate, inside, 'slow')
  void entering(gate, inside, 'next')
  await turn()
  mock.timers.tick(1_000)
  await turn()
  assert.deepEqual(inside, ['slow', 'next'])
})
