import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ARRIVALS, arrivalsInMinute, MINUTE_US } from './arrivals.ts'
import { randomStream } from './random.ts'

test('every minute has exactly its number of invocations, sorted, in whole microseconds, the first at its start', () => {
  fc.assert(
    fc.property(fc.nat(3_000), fc.constantFrom(...ARRIVALS), fc.nat(), (count, arrival, seed) => {
      const times = arrivalsInMinute(count, arrival, randomStream(seed))
      assert.equal(times.length, count)
      times.forEach((at, i) => {
        assert.ok(Number.isInteger(at) && at >= 0 && at < MINUTE_US, `${at}`)
        assert.ok(i === 0 ? at === 0 : at >= times[i - 1]!)
      })
    }),
  )
})

test('a generator that only gives its extremes still stays within the minute', () => {
  for (const arrival of ARRIVALS) {
    for (const extreme of [0, 1 - Number.EPSILON / 2]) {
      const times = arrivalsInMinute(50, arrival, () => extreme)
      assert.ok(
        times.every((at) => at >= 0 && at < MINUTE_US),
        `${arrival} ${extreme} ${times}`,
      )
    }
  }
})

test('equidistant gaps are equal', () => {
  assert.deepEqual([...arrivalsInMinute(4, 'equidistant', () => 0)], [0, 15_000_000, 30_000_000, 45_000_000])
})

test('gaps have the shape of their distribution', () => {
  // Of n gaps that fill a minute; the coefficient of variation tells the three apart: 1, 1/sqrt(3), 0.
  const expected = { exponential: 1, uniform: 1 / Math.sqrt(3), equidistant: 0 }
  for (const arrival of ARRIVALS) {
    const times = arrivalsInMinute(20_000, arrival, randomStream(42, arrival))
    const gaps = Array.from(times.subarray(1), (at, i) => at - times[i]!)
    const mean = gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length
    const deviation = Math.sqrt(gaps.reduce((sum, gap) => sum + (gap - mean) ** 2, 0) / gaps.length)
    assert.ok(Math.abs(deviation / mean - expected[arrival]) < 0.03, `${arrival} ${deviation / mean}`)
  }
})
