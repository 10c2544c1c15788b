import type { Scaling } from '../api/scaling.ts'
import { linearAverage, type Second, WindowFill, weightedAverage } from './metric-window.ts'

/** Knative's defaults (config-autoscaler). */
const MAX_SCALE_UP_RATE = 1000
const MAX_SCALE_DOWN_RATE = 2
/** The time between two steps of Knative's autoscaler, in milliseconds: scale-down-delay counts in these. */
const TICK_MS = 2_000

/**
 * How many instances one function should have, by the rules of Knative's pod autoscaler: average concurrency or requests a
 * second over a stable and a panic window, target and utilization, rates, bounds, and zero after a window without requests.
 * autoscaler-cases.txt has it worked out by hand. Knative's scale-to-zero-grace-period and target-burst-capacity say when its
 * activator is in the path of requests; here the engines, which let requests wait, always are, so both change nothing.
 */
export class Autoscaler {
  #scaling: Scaling
  /** In the order of time. */
  #seconds: Second[] = []
  readonly #stableFill = new WindowFill()
  readonly #panicFill = new WindowFill()
  #latest = Number.NEGATIVE_INFINITY
  /** When the panic threshold was last crossed; null: all is calm. */
  #panicAt: number | null = null
  #panicDesired = 0
  /** What was wanted in each tick within scale-down-delay, each less than the one before it. */
  #delayed: { tick: number; desired: number }[] = []
  /** Its initial scale has been there. */
  #initialised = false
  /** Since when instances have been there; null: none is. */
  #activeSince: number | null = null
  #zeroSince: number | null = null

  constructor(scaling: Scaling) {
    this.#scaling = scaling
  }

  /** A new revision scales by its own rules, and by what is known of the function's load. */
  reconfigure(scaling: Scaling): void {
    this.#scaling = scaling
    this.#initialised = false
  }

  /** Notes that at `now` (ms) the function had so many requests in flight and waiting, and how many began since the last note. */
  record(now: number, concurrency: number, begun = 0): void {
    this.#keepTime(now)
    const second = Math.floor(now / 1000)
    let last = this.#seconds.at(-1)
    if (last === undefined || last.second < second) {
      last = { second, level: { sum: 0, readings: 0 }, events: 0 }
      this.#seconds.push(last)
      const oldest = second - this.#stableSeconds
      while (this.#seconds[0]!.second <= oldest) this.#seconds.shift()
      this.#stableFill.note(second, this.#stableSeconds)
      this.#panicFill.note(second, this.#panicSeconds)
    }
    last.level.sum += concurrency
    last.level.readings++
    last.events += begun
  }

  /**
   * Notes that waiting requests had `count` instances started before the next step. As in the panic mode that such a burst
   * means to Knative, they are kept for a stable window: it began a moment earlier than a step would have seen it.
   */
  burst(now: number, count: number): void {
    this.#keepTime(now)
    if (!this.#isPanicking(now)) this.#panicDesired = 0
    this.#panicAt = now
    this.#panicDesired = Math.max(this.#panicDesired, count)
  }

  /** The instances wanted at `now`, given how many take requests; null where nothing is known of a whole window: it stays as it is. */
  desired(now: number, ready: number): number | null {
    this.#keepTime(now)
    const { target, targetUtilization, panicThresholdPercentage } = this.#scaling
    const second = Math.floor(now / 1000)
    const each = Math.max(0.01, target * targetUtilization)
    if (this.#seconds.length === 0 || second - this.#seconds.at(-1)!.second > this.#stableSeconds) return null
    const stable = Math.ceil(this.#average(second, this.#stableSeconds, this.#stableFill) / each)
    const panic = Math.ceil(this.#average(second, this.#panicSeconds, this.#panicFill) / each)
    let desired = this.#inOneStep(stable, ready)
    if (panic / Math.max(1, ready) >= panicThresholdPercentage / 100) {
      if (!this.#isPanicking(now)) this.#panicDesired = 0
      this.#panicAt = now
    } else if (!this.#isPanicking(now)) this.#panicAt = null
    if (this.#panicAt !== null) {
      // No scaling down while it lasts.
      this.#panicDesired = Math.max(this.#panicDesired, desired, this.#inOneStep(panic, ready))
      desired = this.#panicDesired
    }
    return this.#lastInstance(now, ready, this.#clamp(this.#delay(now, desired), ready))
  }

  get #stableSeconds(): number {
    return Math.ceil(this.#scaling.windowMs / 1000)
  }

  get #panicSeconds(): number {
    return Math.max(
      1,
      Math.round((this.#scaling.windowMs * this.#scaling.panicWindowPercentage) / 100 / 1000),
    )
  }

  /** Where the clock was set back, what was noted of later times counts for nothing, and what was to last begins anew. */
  #keepTime(now: number): void {
    const wentBack = now < this.#latest - 1_000
    this.#latest = wentBack ? now : Math.max(this.#latest, now)
    if (!wentBack) return
    this.#seconds = []
    this.#stableFill.forget()
    this.#panicFill.forget()
    this.#delayed = []
    this.#panicAt &&= now
    this.#activeSince &&= now
    this.#zeroSince &&= now
  }

  #average(second: number, length: number, fill: WindowFill): number {
    const { metric, aggregation } = this.#scaling
    if (aggregation === 'weighted-exponential') return weightedAverage(this.#seconds, metric, second, length)
    return linearAverage(this.#seconds, metric, second, length, fill.counted(second, length))
  }

  #isPanicking(now: number): boolean {
    return this.#panicAt !== null && now - this.#panicAt <= this.#scaling.windowMs
  }

  /**
   * In one step no faster up than 1000 times, and down than by half, of what takes requests; but where there is a load, at once
   * the least that an active function has.
   */
  #inOneStep(wanted: number, ready: number): number {
    const most = MAX_SCALE_UP_RATE * Math.max(1, ready)
    const least = Math.floor(Math.max(1, ready) / MAX_SCALE_DOWN_RATE)
    const bounded = Math.min(Math.max(wanted, least), most)
    return wanted > 0 ? Math.max(bounded, this.#scaling.activationScale) : bounded
  }

  #clamp(wanted: number, ready: number): number {
    const { minScale, maxScale, initialScale } = this.#scaling
    this.#initialised ||= ready >= (maxScale > 0 ? Math.min(initialScale, maxScale) : initialScale)
    const desired = Math.max(wanted, minScale, this.#initialised ? 0 : initialScale)
    return maxScale > 0 ? Math.min(desired, maxScale) : desired
  }

  /** scale-down-delay: the most that was wanted within it. */
  #delay(now: number, desired: number): number {
    const { scaleDownDelayMs } = this.#scaling
    if (scaleDownDelayMs === 0) return desired
    const tick = Math.floor(now / TICK_MS)
    const oldest = tick - Math.ceil(scaleDownDelayMs / TICK_MS)
    const kept = this.#delayed.filter((one) => one.tick > oldest && one.desired > desired)
    if (kept.at(-1)?.tick !== tick) kept.push({ tick, desired })
    this.#delayed = kept
    return kept[0]!.desired
  }

  /** The last instance stays for a window after it came, and for the retention period after it has become superfluous. */
  #lastInstance(now: number, ready: number, desired: number): number {
    const { windowMs, scaleToZeroRetentionMs } = this.#scaling
    this.#activeSince = ready === 0 ? null : (this.#activeSince ?? now)
    if (desired > 0 || this.#activeSince === null) {
      this.#zeroSince = null
      return desired
    }
    if (now - this.#activeSince < windowMs) return 1
    this.#zeroSince ??= now
    return now - this.#zeroSince < scaleToZeroRetentionMs ? 1 : 0
  }
}
