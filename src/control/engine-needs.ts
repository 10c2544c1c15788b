/** An engine that has asked for a function reports the request for which it did within this time, in milliseconds. */
const EXPECTED_MS = 3_000

/** What each engine has under way for a function: requests that it serves and requests that wait, as it last reported. */
export class EngineNeeds {
  readonly #needs = new Map<string, number>()
  /** Engines of which no report has come yet of the request for which they asked for the function: until when it is awaited. */
  readonly #expected = new Map<string, number>()

  get byEngine(): ReadonlyMap<string, number> {
    return this.#needs
  }

  get total(): number {
    let total = 0
    for (const need of this.#needs.values()) total += need
    return total
  }

  /** Several engines need it. */
  get contending(): boolean {
    return [...this.#needs.values()].filter((need) => need > 0).length > 1
  }

  /** False where it is what was known of the engine. */
  reported(engine: string, need: number): boolean {
    this.#expected.delete(engine)
    const isNew = this.#needs.get(engine) !== need
    this.#needs.set(engine, need)
    return isNew
  }

  /** The engine has a request that waits, and can report it only when it knows the function. */
  expect(engine: string, now: number): void {
    this.#expected.set(engine, now + EXPECTED_MS)
    this.#needs.set(engine, Math.max(1, this.#needs.get(engine) ?? 0))
  }

  /** Where no report has come, whoever waited is gone. */
  forgetExpected(now: number): void {
    for (const [engine, until] of this.#expected) if (until <= now) this.delete(engine)
  }

  delete(engine: string): void {
    this.#expected.delete(engine)
    this.#needs.delete(engine)
  }
}
