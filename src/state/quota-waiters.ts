import type { QuotaHolding } from './quota-holding.ts'
import type { QuotaOutcome } from './quota-outcome.ts'

/** A request that waits for quota. */
export interface QuotaWaiter {
  /** Ascends in the order in which they came. */
  readonly number: number
  readonly holdings: readonly QuotaHolding[]
  readonly done: (outcomes: QuotaOutcome[]) => void
  readonly deadline: number
  /** How often it heard an answer, and others had taken what it was about. */
  rounds: number
}

/** The requests of an engine that wait for quota, by what they wait for. */
export class QuotaWaiters {
  readonly #all = new Set<QuotaWaiter>()
  readonly #at = new Map<QuotaHolding, Set<QuotaWaiter>>()

  get size(): number {
    return this.#all.size
  }

  add(waiter: QuotaWaiter): void {
    this.#all.add(waiter)
    for (const holding of waiter.holdings) {
      const others = this.#at.get(holding)
      if (others) others.add(waiter)
      else this.#at.set(holding, new Set([waiter]))
    }
  }

  remove(waiter: QuotaWaiter): void {
    this.#all.delete(waiter)
    for (const holding of waiter.holdings) {
      const others = this.#at.get(holding)
      others?.delete(waiter)
      if (others?.size === 0) this.#at.delete(holding)
    }
  }

  /** How many wait for it. */
  countAt(holding: QuotaHolding): number {
    return this.#at.get(holding)?.size ?? 0
  }

  /** Those that wait for one of these, in the order in which they came. */
  at(holdings: readonly QuotaHolding[]): QuotaWaiter[] {
    const waiters = new Set(holdings.flatMap((holding) => [...(this.#at.get(holding) ?? [])]))
    return [...waiters].sort((a, b) => a.number - b.number)
  }

  overdue(now: number): QuotaWaiter[] {
    return [...this.#all].filter(({ deadline }) => now >= deadline)
  }
}
