import type { EngineMetrics } from '../dataplane/engine-metrics.ts'
import { isGauge } from '../dataplane/engine-metrics.ts'
import type { MetricRows } from '../dataplane/metrics-table.ts'
import { METRICS } from '../policy/observation-plan.ts'

/** A label set's figures: a counter has one cell, a histogram one for each bucket and a sum. */
export interface Figures {
  readonly cells: Float64Array
  sum: number
}

/** Most label sets of each metric; each engine has fewer, but engines come and go. */
const MOST_LABEL_SETS = 16_384

/** The sum of what several engines have counted. */
export class MetricsTotals {
  /** For each of METRICS its figures by label set. */
  readonly exchanges: readonly Map<string, Figures>[] = METRICS.map(() => new Map())
  /** By part, name and, for a counter of several reasons, reason; "" for one without. */
  readonly counters = new Map<string, Map<string, Map<string, number>>>()
  /** Label sets that were left out because there are too many. */
  overflowed = 0

  /** Adds an engine's figures; `ended`: the engine is gone, and what it held at the moment with it. */
  add(metrics: EngineMetrics, ended: boolean): void {
    for (const [index, rows] of metrics.exchanges.entries()) this.#addRows(this.exchanges[index]!, rows)
    for (const [part, names] of Object.entries(metrics.counters)) {
      for (const [name, value] of Object.entries(names)) {
        if (ended && isGauge(part, name)) continue
        if (typeof value === 'number') this.#count(part, name, '', value)
        else for (const [reason, count] of Object.entries(value)) this.#count(part, name, reason, count)
      }
    }
  }

  /** Adds what has been summed up elsewhere. */
  addTotals(other: MetricsTotals): void {
    for (const [index, figures] of other.exchanges.entries()) {
      for (const [labels, { cells, sum }] of figures)
        this.#addFigures(this.exchanges[index]!, labels, cells, sum)
    }
    for (const [part, names] of other.counters) {
      for (const [name, reasons] of names) {
        for (const [reason, value] of reasons) this.#count(part, name, reason, value)
      }
    }
    this.overflowed += other.overflowed
  }

  #addRows(into: Map<string, Figures>, { labels, cells, sums }: MetricRows): void {
    if (labels.length === 0) return
    const width = cells.length / labels.length
    for (const [row, text] of labels.entries()) {
      this.#addFigures(into, text, cells.subarray(row * width, (row + 1) * width), sums[row] ?? 0)
    }
  }

  #addFigures(into: Map<string, Figures>, labels: string, cells: Float64Array, sum: number): void {
    const known = into.get(labels)
    if (known !== undefined) {
      for (let i = 0; i < cells.length; i++) known.cells[i]! += cells[i]!
      known.sum += sum
    } else if (into.size < MOST_LABEL_SETS) into.set(labels, { cells: cells.slice(), sum })
    else this.overflowed++
  }

  #count(part: string, name: string, reason: string, value: number): void {
    if (typeof value !== 'number') return
    const names = this.counters.get(part) ?? new Map<string, Map<string, number>>()
    this.counters.set(part, names)
    const reasons = names.get(name) ?? new Map<string, number>()
    names.set(name, reasons)
    reasons.set(reason, (reasons.get(reason) ?? 0) + value)
  }
}
