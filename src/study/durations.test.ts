import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  atQuantile,
  DURATION_PERCENTILES,
  executionTime,
  MAX_EXECUTION_MS,
  MEMORY_PERCENTILES,
  MIN_EXECUTION_MS,
  memorySize,
} from './durations.ts'
import { randomStream } from './random.ts'
import { percentile } from './statistics.ts'

const rising = (length: number) =>
  fc
    .array(fc.nat(100_000), { minLength: length, maxLength: length })
    .map((values) => values.sort((a, b) => a - b))

test('the quantile function goes through every percentile and never falls', () => {
  fc.assert(
    fc.property(
      rising(DURATION_PERCENTILES.length),
      fc.array(fc.double({ min: 0, max: 1, noNaN: true })),
      (values, quantiles) => {
        DURATION_PERCENTILES.forEach((percent, i) => {
          assert.equal(atQuantile(DURATION_PERCENTILES, values, percent / 100), values[i])
        })
        const drawn = quantiles
          .sort((a, b) => a - b)
          .map((quantile) => atQuantile(DURATION_PERCENTILES, values, quantile))
        drawn.forEach((value, i) => {
          assert.ok(i === 0 || value >= drawn[i - 1]!)
        })
      },
    ),
  )
})

test('by hand: straight lines between percentiles, cut to whole numbers', () => {
  const values = [62, 78, 156, 218, 281, 2107, 3311]
  assert.equal(atQuantile(DURATION_PERCENTILES, values, 0.005), 70)
  assert.equal(atQuantile(DURATION_PERCENTILES, values, 0.375), 187)
  assert.equal(atQuantile(DURATION_PERCENTILES, values, 0.87), 1194)
  assert.equal(atQuantile(MEMORY_PERCENTILES, [7.8, 8.2, 8.7, 9.7, 9.9, 10.4, 10.5, 10.6], 0.005), 7)
})

test('drawn execution times reproduce the percentiles', () => {
  const values = [10, 20, 100, 200, 400, 1000, 5000]
  const random = randomStream(42, 'durations')
  const drawn = Array.from({ length: 50_000 }, () => executionTime(values, random)).sort((a, b) => a - b)
  for (const [i, percent] of [25, 50, 75, 99].entries()) {
    const wanted = values[i + 2]!
    assert.ok(
      Math.abs(percentile(drawn, percent) - wanted) / wanted < 0.03,
      `p${percent} ${percentile(drawn, percent)}`,
    )
  }
})

test('execution times and memory are whole and within their bounds, whatever the trace says', () => {
  fc.assert(
    fc.property(
      rising(DURATION_PERCENTILES.length),
      rising(MEMORY_PERCENTILES.length),
      fc.nat(),
      (durations, memory, seed) => {
        const random = randomStream(seed)
        const ms = executionTime(durations, random)
        assert.ok(Number.isInteger(ms) && ms >= MIN_EXECUTION_MS && ms <= MAX_EXECUTION_MS)
        const mb = memorySize(memory, random)
        assert.ok(Number.isInteger(mb) && mb >= 1 && mb <= 10_240)
      },
    ),
  )
  assert.equal(
    executionTime([0, 0, 0, 0, 0, 0, 0], () => 0.5),
    1,
  )
  assert.equal(
    executionTime([90_000, 90_000, 90_000, 90_000, 90_000, 90_000, 90_000], () => 0.5),
    60_000,
  )
})
