import assert from 'node:assert/strict'
import { test } from 'node:test'
import { median, quantile, spread } from './statistics.ts'

test('quantile takes the nearest rank and leaves its input in order', () => {
  const samples = [5, 1, 4, 2, 3]
  assert.equal(quantile(samples, 0), 1)
  assert.equal(quantile(samples, 0.5), 3)
  assert.equal(quantile(samples, 0.99), 5)
  assert.deepEqual(samples, [5, 1, 4, 2, 3])
  assert.ok(Number.isNaN(quantile([], 0.5)))
})

test('median of an even number is the mean of the middle two', () => {
  assert.equal(median([4, 1, 3, 2]), 2.5)
  assert.equal(median([9, 1, 3]), 3)
})

test('spread is relative to the median', () => {
  assert.equal(spread([9, 10, 12]), 0.3)
})
