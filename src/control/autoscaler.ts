import type { Scaling } from '../api/scaling.ts'

/** Knative's defaults (config-autoscaler). */
const DEFAULT_TARGET = 100
const DEFAULT_UTILIZATION = 0.7
const MAX_SCALE_UP_RATE = 1000
const MAX_SCALE_DOWN_RATE = 2
const SAMPLE_MS = 1_000

/**
 * How many instances one function should have, by the rules of Knative's pod autoscaler: average concurrency over a
 * stable and a panic window, target and utilization, rates, bounds, and scale to zero after a window without requests.
 */
export class Autoscaler {
  readonly #scaling: Scaling
  readonly #target: number
  /** Sum and count of the concurrency readings in each second; the newest last. */
  readonly #samples: { second: number; sum: number; count: number }[] = []
  #panicUntil = 0
  #panicDesired = 0
  #delayed: { at: number; desired: number }[] = []
  #zeroSince: number | null = null

  /** `limit` is the container's concurrency, null where it has none. */
  constructor(scaling: Scaling, limit: number | null) {
    this.#scaling = scaling
    const total = scaling.target ?? limit ?? DEFAULT_TARGET
    const capped = limit === null ? total : Math.min(total, limit)
    // A value that the user gave with concurrency as a soft limit is still multiplied by the utilization, as Knative does.
    this.#target = Math.max(0.01, capped * (scaling.targetUtilization ?? DEFAULT_UTILIZATION))
  }

  /** Notes how many requests the function has in flight and waiting at `now` (ms). */
  record(now: number, concurrency: number): void {
    const second = Math.floor(now / SAMPLE_MS)
    const last = this.#samples.at(-1)
    if (last?.second === second) {
      last.sum += concurrency
      last.count++
      return
    }
    this.#samples.push({ second, sum: concurrency, count: 1 })
    const oldest = second - Math.ceil(this.#scaling.windowMs / SAMPLE_MS)
    while (this.#samples[0]!.second < oldest) this.#samples.shift()
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
    const { windowMs, panicWindowPercentage, panicThresholdPercentage } = this.#scaling
    const stable = this.#average(now, windowMs)
    const panic = this.#average(now, (windowMs * panicWindowPercentage) / 100)
    const bounded = (value: number) => this.#bounded(Math.ceil(value / this.#target), ready)
    const wantStable = bounded(stable)
    const wantPanic = bounded(panic)
    const base = Math.max(1, ready)
    if (Math.ceil(panic / this.#target) / base >= panicThresholdPercentage / 100) {
      if (now >= this.#panicUntil) this.#panicDesired = ready
      this.#panicUntil = now + windowMs
    }
    let desired = wantStable
    if (now < this.#panicUntil) {
      this.#panicDesired = Math.max(this.#panicDesired, wantPanic, wantStable)
      desired = this.#panicDesired
    }
    return this.#zeroGrace(now, ready, this.#delay(now, this.#clamp(desired, stable > 0)))
  }

  #average(now: number, windowMs: number): number {
    const since = Math.floor(now / SAMPLE_MS) - Math.max(1, Math.ceil(windowMs / SAMPLE_MS))
    let sum = 0
    let buckets = 0
    for (const sample of this.#samples) {
      if (sample.second <= since) continue
      sum += sample.sum / sample.count
      buckets++
    }
    return buckets === 0 ? 0 : sum / buckets
  }

  /** No faster up than 1000 times, and down than by half, of what is ready. */
  #bounded(wanted: number, ready: number): number {
    const most = Math.ceil(MAX_SCALE_UP_RATE * Math.max(1, ready))
    const least = wanted === 0 ? 0 : Math.floor(ready / MAX_SCALE_DOWN_RATE)
    return Math.min(Math.max(wanted, least), most)
  }

  #clamp(wanted: number, active: boolean): number {
    const { minScale, maxScale, activationScale } = this.#scaling
    let desired = Math.max(wanted, minScale)
    if (active && desired > 0) desired = Math.max(desired, activationScale)
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
