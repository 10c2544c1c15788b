import type { Random } from './random.ts'

/** How invocations spread within a minute of the trace: the distribution of the gaps between them. */
export const ARRIVALS = ['exponential', 'uniform', 'equidistant'] as const
export type Arrival = (typeof ARRIVALS)[number]

export const MINUTE_US = 60_000_000

/**
 * When one function's invocations come within a minute: whole microseconds from the minute's start, sorted.
 *
 * InVitro's rule (pkg/generator, IATDistribution without `_shift`, which Dirigent's artifact uses): `count` gaps are
 * drawn and scaled so that together they fill the minute; the first invocation comes at the minute's start, each later
 * one a gap after the one before, and the last gap reaches to the minute's end.
 */
export function arrivalsInMinute(count: number, arrival: Arrival, random: Random): Float64Array {
  const times = new Float64Array(count)
  let sum = 0
  for (let i = 0; i < count; i++) {
    times[i] = sum
    sum += gap(arrival, random)
  }
  const scale = MINUTE_US / sum
  // A last gap that rounds to nothing would put an invocation into the next minute.
  for (let i = 1; i < count; i++) times[i] = Math.min(MINUTE_US - 1, Math.floor(times[i]! * scale))
  return times
}

/** Never zero, so that the sum of a minute's gaps is not. */
function gap(arrival: Arrival, random: Random): number {
  switch (arrival) {
    case 'exponential':
      return Math.max(Number.EPSILON, -Math.log(1 - random()))
    case 'uniform':
      return 1 - random()
    case 'equidistant':
      return 1
  }
}
