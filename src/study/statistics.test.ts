import assert from 'node:assert/strict'
import { test } from 'node:test'
import { distribution, geometricMean, percentile } from './statistics.ts'

test('percentiles are by nearest rank', () => {
  // The worked example of the definition: 15, 20, 35, 40, 50.
  const values = [15, 20, 35, 40, 50]
  assert.deepEqual(
    [5, 30, 40, 50, 100, 0].map((percent) => percentile(values, percent)),
    [15, 20, 20, 35, 50, 15],
  )
})

test('a distribution sorts by value, not by text, and keeps what it was given', () => {
  const values = [10, 9, 100, 1]
  assert.deepEqual(distribution(values), { count: 4, mean: 30, p50: 9, p95: 100, p99: 100, max: 100 })
  assert.deepEqual(values, [10, 9, 100, 1])
  assert.equal(distribution([]), undefined)
})

test('the geometric mean of 1, 10 and 100 is 10', () => {
  assert.ok(Math.abs(geometricMean([1, 10, 100]) - 10) < 1e-12)
})
