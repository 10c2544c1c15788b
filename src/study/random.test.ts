import assert from 'node:assert/strict'
import { test } from 'node:test'
import { randomStream, xoshiro128 } from './random.ts'

test('the generator is xoshiro128**: its published first outputs for the state 1, 2, 3, 4', () => {
  const next = xoshiro128([1, 2, 3, 4])
  const first = Array.from({ length: 10 }, next)
  assert.deepEqual(
    first,
    [11520, 0, 5927040, 70819200, 2031721883, 1637235492, 1287239034, 3734860849, 3729100597, 4258142804],
  )
})

test('a stream is the same for the same seed and names, and another for any other', () => {
  const draw = (...from: Parameters<typeof randomStream>) => Array.from({ length: 4 }, randomStream(...from))
  assert.deepEqual(draw(42, 'a', 'arrivals'), draw(42, 'a', 'arrivals'))
  assert.notDeepEqual(draw(42, 'a', 'arrivals'), draw(43, 'a', 'arrivals'))
  assert.notDeepEqual(draw(42, 'a', 'arrivals'), draw(42, 'a', 'work'))
  assert.notDeepEqual(draw(42, 'ab', 'c'), draw(42, 'a', 'bc'))
})

test('numbers are uniform in [0, 1): a chi-square test over 20 bins', () => {
  const random = randomStream(42, 'uniform')
  const bins = new Uint32Array(20)
  const draws = 100_000
  for (let i = 0; i < draws; i++) {
    const value = random()
    assert.ok(value >= 0 && value < 1)
    const bin = Math.floor(value * bins.length)
    bins[bin] = bins[bin]! + 1
  }
  const expected = draws / bins.length
  const chiSquare = bins.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0)
  // 19 degrees of freedom: the 99.9th percentile.
  assert.ok(chiSquare < 43.8, `chi-square ${chiSquare}`)
})
