import type { QuotaLimit } from '../policy/quota-limit.ts'
import { holds, type QuotaHolding } from './quota-holding.ts'

/** One limit by which a request is judged, and the descriptor of its counter. */
export interface QuotaClaim {
  readonly limit: QuotaLimit
  readonly descriptor: string
}

/** What a limit says of a request, in the order of its claims. Times in milliseconds from now. */
export interface QuotaOutcome {
  /** `untouched`: something is left, and nothing was taken since another limit refuses. */
  readonly state: 'taken' | 'refused' | 'unavailable' | 'untouched'
  readonly remaining: number
  readonly resetMs: number
  readonly retryMs: number
}

/** Whether what it says now refuses requests. */
export function refuses({ saying, limit }: QuotaHolding): boolean {
  return !limit.dryRun && (saying === 'used-up' || limit.onUnavailable === 'deny')
}

/** What it says now, or with one request taken from it. */
export function outcome(holding: QuotaHolding, state: QuotaOutcome['state'], now: number): QuotaOutcome {
  return {
    state,
    remaining: state === 'refused' ? 0 : holding.remaining + holds(holding, now),
    // A sliding window forgets by whole buckets, a little late.
    resetMs: Math.min(holding.limit.windowMs, Math.max(0, holding.resetAt - now)),
    retryMs: Math.max(0, holding.retryAt - now),
  }
}
