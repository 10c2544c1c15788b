import type { EngineMetrics } from '../dataplane/engine-metrics.ts'
import { MetricsTotals } from './metrics-totals.ts'

/** Whom metrics are collected from. */
export interface EngineSource {
  /** The engines that there are. */
  engines(): readonly string[]
  /** What the engines answer that answer in time. */
  ask(): Promise<readonly { engine: string; answer: unknown }[]>
}

/** Without scrapes the engines are asked this often, so that one that dies takes at most so much with it. */
const POLL_MS = 10_000

/** Sums up what engines count. No sum of a counter ever falls: what ended engines told last is kept. */
export class MetricsCollector {
  readonly #source: EngineSource
  readonly #latest = new Map<string, EngineMetrics>()
  readonly #ended = new MetricsTotals()
  #enginesEnded = 0
  #collecting: Promise<MetricsTotals> | null = null
  readonly #timer: NodeJS.Timeout

  constructor(source: EngineSource, pollMs = POLL_MS) {
    this.#source = source
    this.#timer = setInterval(() => void this.collect(), pollMs)
    this.#timer.unref()
  }

  get enginesEnded(): number {
    return this.#enginesEnded
  }

  /** The sums now; whoever asks while the engines are being asked gets the same. */
  collect(): Promise<MetricsTotals> {
    this.#collecting ??= this.#collect().finally(() => {
      this.#collecting = null
    })
    return this.#collecting
  }

  close(): void {
    clearInterval(this.#timer)
  }

  async #collect(): Promise<MetricsTotals> {
    for (const { engine, answer } of await this.#source.ask())
      this.#latest.set(engine, answer as EngineMetrics)
    const running = new Set(this.#source.engines())
    for (const [engine, metrics] of this.#latest) {
      if (running.has(engine)) continue
      this.#ended.add(metrics, true)
      this.#enginesEnded++
      this.#latest.delete(engine)
    }
    const totals = new MetricsTotals()
    totals.addTotals(this.#ended)
    // One that was too slow to answer has counted at least what it told before.
    for (const metrics of this.#latest.values()) totals.add(metrics, false)
    return totals
  }
}
