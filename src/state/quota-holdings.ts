import type { QuotaLimit } from '../policy/quota-limit.ts'
import { newHolding, type QuotaHolding } from './quota-holding.ts'

/** Counters of which an engine keeps leases and answers. */
const MOST_HOLDINGS = 16_384
/** Those that are looked at for one that can make room. */
const EVICTION_TRIES = 16

/** What an engine holds, by limits and descriptors. Descriptors come from clients: there is a bound. */
export class QuotaHoldings {
  readonly #all = new Map<string, QuotaHolding>()
  readonly #hash: (descriptor: string) => string
  readonly #isNeeded: (holding: QuotaHolding) => boolean

  constructor(hash: (descriptor: string) => string, isNeeded: (holding: QuotaHolding) => boolean) {
    this.#hash = hash
    this.#isNeeded = isNeeded
  }

  /** null where there is no room for it. */
  of(limit: QuotaLimit, descriptor: string, now: number): QuotaHolding | null {
    const name = limit.id + descriptor
    const known = this.#all.get(name)
    if (known) {
      known.limit = limit
      return known
    }
    if (this.#all.size >= MOST_HOLDINGS && !this.#makeRoom()) return null
    const holding = newHolding(limit, this.#hash(descriptor), now)
    this.#all.set(name, holding)
    return holding
  }

  #makeRoom(): boolean {
    let tries = EVICTION_TRIES
    for (const [name, holding] of this.#all) {
      if (!this.#isNeeded(holding)) {
        this.#all.delete(name)
        return true
      }
      if (--tries === 0) break
    }
    return false
  }
}
