// What an engine has counted, by label set, in flat arrays: nothing of it is touched by the garbage collector.

/** Upper bounds of all histograms: those of Envoy, and so of Istio's metrics (milliseconds, or bytes). */
export const BUCKETS = [
  0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000, 600_000,
  1_800_000, 3_600_000,
] as const

/** One more for what lies above all bounds. */
const CELLS = BUCKETS.length + 1
const FIRST_SETS = 32

/** One metric's figures as control gets them. Row `i` of `cells` belongs to `labels[i]`; `sums` is empty for a counter. */
export interface MetricRows {
  readonly labels: readonly string[]
  /** A counter's values; for a histogram CELLS for each label set, how many observations fell into each. */
  readonly cells: Float64Array
  readonly sums: Float64Array
}

/** A metric by label set. Label sets are texts as Prometheus writes them, without braces. */
export class MetricTable {
  readonly #isHistogram: boolean
  readonly #most: number
  readonly #rows = new Map<string, number>()
  #cells: Float64Array
  #sums: Float64Array

  constructor(isHistogram: boolean, most: number) {
    this.#isHistogram = isHistogram
    this.#most = most
    this.#cells = new Float64Array(FIRST_SETS * this.#width)
    this.#sums = new Float64Array(isHistogram ? FIRST_SETS : 0)
  }

  /** The row of a label set; -1 where there are too many of them already. */
  row(labels: string): number {
    const known = this.#rows.get(labels)
    if (known !== undefined) return known
    const row = this.#rows.size
    if (row >= this.#most) return -1
    this.#rows.set(labels, row)
    if ((row + 1) * this.#width > this.#cells.length) this.#grow()
    return row
  }

  increment(row: number): void {
    this.#cells[row]!++
  }

  observe(row: number, value: number): void {
    let bucket = 0
    while (bucket < BUCKETS.length && value > BUCKETS[bucket]!) bucket++
    this.#cells[row * CELLS + bucket]!++
    this.#sums[row]! += value
  }

  snapshot(): MetricRows {
    const labels = [...this.#rows.keys()]
    return {
      labels,
      cells: this.#cells.slice(0, labels.length * this.#width),
      sums: this.#isHistogram ? this.#sums.slice(0, labels.length) : new Float64Array(0),
    }
  }

  get #width(): number {
    return this.#isHistogram ? CELLS : 1
  }

  #grow(): void {
    this.#cells = larger(this.#cells)
    this.#sums = larger(this.#sums)
  }
}

function larger(array: Float64Array): Float64Array {
  const copy = new Float64Array(2 * array.length)
  copy.set(array)
  return copy
}
