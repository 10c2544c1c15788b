import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Hello } from '../proto/mayfly/v1/nodes_pb.js'
import { ARRIVE_MS, type Arrival, Arrivals } from './arrivals.ts'
import type { NodeStream } from './node-outbox.ts'

const hello = {} as Hello
const stream = () => ({ send: () => true }) as unknown as NodeStream

function world(expected: string[]) {
  const calls: Arrival[][] = []
  const arrivals = new Arrivals(expected, (all) => calls.push(all))
  return { arrivals, calls, names: () => calls.map((all) => all.map(({ name }) => name)) }
}

test('nothing is decided until all nodes are there; what they said meanwhile is kept', () => {
  const { arrivals, calls, names } = world(['a', 'b'])
  const a = stream()
  assert.ok(arrivals.opened('a', hello, a))
  const heard: string[] = []
  assert.ok(arrivals.said('a', a, () => heard.push('word')))
  assert.deepEqual(names(), [])
  assert.ok(arrivals.opened('b', hello, stream()))
  assert.deepEqual(names(), [['a', 'b']])
  for (const take of calls[0]![0]!.said) take()
  assert.deepEqual(heard, ['word'])
  assert.equal(arrivals.said('a', a, assert.fail), false)
  assert.equal(arrivals.opened('c', hello, stream()), false)
})

test('a node that does not come is not waited for longer than its time', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const { arrivals, names } = world(['a', 'b'])
  arrivals.opened('a', hello, stream())
  t.mock.timers.tick(ARRIVE_MS - 1)
  assert.deepEqual(names(), [])
  t.mock.timers.tick(1)
  assert.deepEqual(names(), [['a']])
})

test('a node that goes again is missing; a stream that it had before says nothing', () => {
  const { arrivals, names } = world(['a', 'b'])
  const [first, second] = [stream(), stream()]
  arrivals.opened('a', hello, first)
  assert.ok(arrivals.closed('a', first))
  arrivals.opened('b', hello, stream())
  assert.deepEqual(names(), [])
  assert.equal(arrivals.said('a', first, assert.fail), false)
  arrivals.opened('a', hello, second)
  assert.deepEqual(names(), [['b', 'a']])
})

test('a node that is deleted is not waited for', () => {
  const { arrivals, names } = world(['a', 'b'])
  arrivals.opened('a', hello, stream())
  arrivals.remove('b')
  assert.deepEqual(names(), [['a']])
})

test('a new mesh waits for nobody', () => {
  const { arrivals } = world([])
  assert.equal(arrivals.opened('a', hello, stream()), false)
})
