import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HeadCycle } from './head-cycle.ts'

test('no head comes again before every other one has come', () => {
  const cycle = new HeadCycle(['a', 'b', 'c'])
  assert.deepEqual(cycle.next(2), ['a', 'b'])
  cycle.skip(2)
  assert.deepEqual(cycle.all(), ['c', 'a', 'b'])
  cycle.skip(5)
  assert.deepEqual(cycle.next(9), ['b', 'c', 'a'])
})
