import type { Scaling } from '../api/scaling.ts'

/** Knative's defaults (config-autoscaler). */
const MAX_SCALE_UP_RATE = 1000
const MAX_SCALE_DOWN_RATE = 2

/** One second of the metric: readings of concurrency, and requests that began. */
interface Sample {
  second: number
  sum: number
  count: number
  begun: number
}

/**
 * How many instances one function should have, by the rules of Knative's pod autoscaler: average concurrency or requests a
 * second over a stable and a panic window, target and utilization, rates, bounds, and zero after a window without requests.
 */
export class Autoscaler {
  #scaling: Scaling
  /** In the order of time; seconds without a reading count as zero. */
  readonly #samples: Sample[] = []
  #panicUntil = 0
  #panicDesired = 0
  #delayed: { at: number; desired: number }[] = []
  #zeroSince: number | null = null

  constructor(scaling: Scaling) {
    this.#scaling = scaling
  }

  /** A new revision scales by its own rules, and by what is known of the function's load. */
  reconfigure(scaling: Scaling): void {
    this.#scaling = scaling
  }

  /** Notes that at `now` (ms) the function had so many requests in flight and waiting, and how many began since the last note. */
  record(now: number, concurrency: number, begun = 0): void {
    const second = Math.floor(now / 1000)
    let last = this.#samples.at(-1)
    if (last?.second !== second) {
      last = { second, sum: 0, count: 0, begun: 0 }
      this.#samples.push(last)
      const oldest = second - seconds(this.#scaling.windowMs)
      while (this.#samples[0]!.second <= oldest) this.#samples.shift()
    }
    last.sum += concurrency
    last.count++
    last.begun += begun
  }

  /**
   * Notes that waiting requests had `count` instances started before the next step. As in the panic mode that such a burst
   * means to Knative, they are kept for a stable window: it began a moment earlier than a step would have seen it.
   */
  burst(now: number, count: number): void {
    if (now >= this.#panicUntil) this.#panicDesired = 0
    this.#panicUntil = now + this.#scaling.windowMs
    this.#panicDesired = Math.max(this.#panicDesired, count)
  }

  /** The instances wanted at `now`, given how many take requests. */
  desired(now: number, ready: number): number {
    const { target, targetUtilization, windowMs, panicWindowPercentage, panicThresholdPercentage } =
      this.#scaling
    const each = Math.max(0.01, target * targetUtilization)
    const stable = Math.ceil(this.#average(now, windowMs) / each)
    const panic = Math.ceil(this.#average(now, (windowMs * panicWindowPercentage) / 100) / each)
    let desired = this.#activated(bounded(stable, ready))
    if (panic / Math.max(1, ready) >= panicThresholdPercentage / 100) {
      if (now >= this.#panicUntil) this.#panicDesired = ready
      this.#panicUntil = now + windowMs
    }
    if (now < this.#panicUntil) {
      // No scaling down while it lasts.
      this.#panicDesired = Math.max(this.#panicDesired, desired, this.#activated(bounded(panic, ready)))
      desired = this.#panicDesired
    }
    return this.#zeroGrace(now, ready, this.#clamp(this.#delay(now, desired)))
  }

  /** Over the window, or over the time since its first reading where that is shorter. */
  #average(now: number, windowMs: number): number {
    const second = Math.floor(now / 1000)
    const within = this.#samples.filter((sample) => sample.second > second - seconds(windowMs))
    if (within.length === 0) return 0
    let sum = 0
    for (const sample of within)
      sum += this.#scaling.metric === 'rps' ? sample.begun : sample.sum / sample.count
    // The oldest one known stands for when the function was first asked for.
    const first = Math.max(this.#samples[0]!.second, second - seconds(windowMs) + 1)
    return sum / (second - first + 1)
  }

  /** From zero, at once to the least that an active function has. */
  #activated(wanted: number): number {
    return wanted > 0 ? Math.max(wanted, this.#scaling.activationScale) : 0
  }

  #clamp(wanted: number): number {
    const { minScale, maxScale } = this.#scaling
    const desired = Math.max(wanted, minScale)
    return maxScale > 0 ? Math.min(desired, maxScale) : desired
  }

  /** scale-down-delay: the most that was wanted within it. */
  #delay(now: number, desired: number): number {
    const { scaleDownDelayMs } = this.#scaling
    if (scaleDownDelayMs === 0) return desired
    this.#delayed = this.#delayed.filter((one) => one.at > now - scaleDownDelayMs && one.desired > desired)
    this.#delayed.push({ at: now, desired })
    return Math.max(...this.#delayed.map((one) => one.desired))
  }

  /** The last instance stays for the retention period after it has become superfluous. */
  #zeroGrace(now: number, ready: number, desired: number): number {
    if (desired > 0 || ready === 0) {
      this.#zeroSince = null
      return desired
    }
    this.#zeroSince ??= now
    return now - this.#zeroSince < this.#scaling.scaleToZeroRetentionMs ? 1 : 0
  }
}

/** In one step no faster up than 1000 times, and down than by half, of what takes requests. */
function bounded(wanted: number, ready: number): number {
  const most = MAX_SCALE_UP_RATE * Math.max(1, ready)
  const least = Math.floor(ready / MAX_SCALE_DOWN_RATE)
  return Math.min(Math.max(wanted, least), most)
}

function seconds(ms: number): number {
  return Math.max(1, Math.ceil(ms / 1000))
}
