/** The heads that a subject is sent, in turn over all its loads: no head comes again before every other one has come. */
export class HeadCycle {
  readonly #heads: readonly string[]
  #at = 0

  constructor(heads: readonly string[]) {
    this.#heads = heads
  }

  /** All heads, beginning with the one that is due. */
  all(): string[] {
    return [...this.#heads.slice(this.#at), ...this.#heads.slice(0, this.#at)]
  }

  /** The next `count`, or all where that is fewer. */
  next(count: number): string[] {
    return this.all().slice(0, count)
  }

  /** So many were sent. */
  skip(count: number): void {
    this.#at = (this.#at + count) % this.#heads.length
  }
}
