/** What was measured within one second: readings of a level are averaged, events are counted. */
export interface Second {
  /** Since the epoch. */
  second: number
  level: { sum: number; readings: number }
  events: number
}

export type Metric = 'concurrency' | 'rps'
export type Aggregation = 'linear' | 'weighted-exponential'

/** Knative's bounds of the weighted average (pkg/autoscaler/aggregation): all weights together, and the least decay. */
const WEIGHT_PRECISION = 0.9999
const LEAST_DECAY = 0.2
/** Averages are cut to so many digits, so that sums of fractions do not cost an instance. */
const PRECISION = 1e6

/**
 * Since when a window is being filled, as Knative counts it: from the first reading ever, or from the first one after a time as
 * long as the window without any.
 */
export class WindowFill {
  #first = 0
  #last = Number.NEGATIVE_INFINITY

  /** `length` is the window's, in seconds. */
  note(second: number, length: number): void {
    if (second - this.#last >= length) this.#first = second
    this.#last = second
  }

  forget(): void {
    this.#last = Number.NEGATIVE_INFINITY
  }

  /** The seconds that an average at `now` is over; 0: none. What came after the last reading is not counted, gaps before it are. */
  counted(now: number, length: number): number {
    return Math.max(0, Math.min(this.#last - this.#first + 1, length - Math.max(0, now - this.#last)))
  }
}

/** The average of what `seconds`, in the order of time, say of the `length` seconds up to `now`, of which `counted` are filled. */
export function linearAverage(
  seconds: readonly Second[],
  metric: Metric,
  now: number,
  length: number,
  counted: number,
): number {
  if (counted === 0) return 0
  let sum = 0
  for (let i = seconds.length - 1; i >= 0 && seconds[i]!.second > now - length; i--)
    sum += metricOf(seconds[i]!, metric)
  return Math.floor((sum / counted) * PRECISION) / PRECISION
}

/** The same, but later seconds weigh more: each a fixed part less than the one after it. */
export function weightedAverage(
  seconds: readonly Second[],
  metric: Metric,
  now: number,
  length: number,
): number {
  const decay = Math.max(1 - (1 - WEIGHT_PRECISION) ** (1 / length), LEAST_DECAY)
  let sum = 0
  for (let i = seconds.length - 1; i >= 0 && seconds[i]!.second > now - length; i--)
    sum += metricOf(seconds[i]!, metric) * decay * (1 - decay) ** Math.max(0, now - seconds[i]!.second)
  return sum
}

function metricOf({ level, events }: Second, metric: Metric): number {
  return metric === 'rps' ? events : level.sum / level.readings
}
