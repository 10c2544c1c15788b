import type { QuotaLimit } from '../policy/quota-limit.ts'
import { leaseMs } from './quota-counter.ts'
import type { QuotaGrant, QuotaSettlement } from './quota-message.ts'

// What an engine holds of one counter: leases that it may use, and what it was last told of the counter. Times are milliseconds of the
// engine's own clock, which needs nothing in common with the authority's: a lease is valid for a span from the moment it was asked for.

export interface QuotaHolding {
  /** As it was when it was last asked for. */
  limit: QuotaLimit
  /** Hash of the descriptor. */
  readonly key: string
  readonly leases: QuotaLease[]
  /** Until then it is of no use to ask; `saying` is what was answered. */
  closedUntil: number
  saying: 'used-up' | 'unavailable'
  /** Whether an ask is under way. */
  asked: boolean
  /** Requests taken since the last ask, and when that was. */
  taken: number
  askedAt: number
  /** What the authority had left besides what is leased here. */
  remaining: number
  resetAt: number
  retryAt: number
}

interface QuotaLease {
  /** As the authority names it. */
  readonly until: number
  readonly validUntil: number
  readonly granted: number
  left: number
  lastUse: number
}

/** Clocks run apart by less than this part, and a lease ends by so much earlier here. */
const DRIFT = 0.002
const MOST_AHEAD = 65_536
/** From so many requests on a lease is renewed before the last of it is used. */
const LARGE_LEASE = 8

/** Answers for the next milliseconds what nobody answers. */
export function closeHolding(
  holding: QuotaHolding,
  saying: QuotaHolding['saying'],
  now: number,
  ms: number,
): void {
  holding.saying = saying
  holding.closedUntil = now + ms
  holding.retryAt = now + ms
}

export function newHolding(limit: QuotaLimit, key: string, now: number): QuotaHolding {
  return {
    limit,
    key,
    leases: [],
    closedUntil: 0,
    saying: 'used-up',
    asked: false,
    taken: 0,
    askedAt: now,
    remaining: limit.requests,
    resetAt: now + limit.windowMs,
    retryAt: now,
  }
}

/** Requests that may be let through now. */
export function holds(holding: QuotaHolding, now: number): number {
  let left = 0
  for (const lease of holding.leases) if (now < lease.validUntil) left += lease.left
  return left
}

/** Lets one request through; `holds` must have found one. Whether it makes sense to ask for more before that is needed. */
export function takeOne(holding: QuotaHolding, now: number): boolean {
  const lease = holding.leases.find(({ validUntil, left }) => left > 0 && now < validUntil)!
  lease.left--
  lease.lastUse = now
  holding.taken++
  if (holding.leases.length > 1) return false
  if (lease.granted >= LARGE_LEASE) return lease.left === lease.granted >> 2
  // One request tells nothing of a rate: who comes once asks once.
  return lease.left === 0 && holding.taken > 1 && expectedDemand(holding, now) > 0
}

/** How much to ask for ahead of demand: what the present rate uses up in half of a lease's life. */
export function expectedDemand(holding: QuotaHolding, now: number): number {
  const rate = holding.taken / Math.max(1, now - holding.askedAt)
  return Math.min(MOST_AHEAD, Math.round((rate * leaseMs(holding.limit, 0)) / 2))
}

/** Takes in the answer to an ask that went out at `askedAt`. */
export function receiveGrant(holding: QuotaHolding, grant: QuotaGrant, sentAt: number, now: number): void {
  // The authority's answer lies between the two; what it says of spans is taken from the middle, where no safety hangs on it.
  const middle = (sentAt + now) / 2
  holding.asked = false
  if (grant.kind !== 'granted') {
    holding.saying = grant.kind === 'full' ? 'used-up' : 'unavailable'
    holding.retryAt = middle + grant.retryMs
    holding.closedUntil = now + Math.min(grant.retryMs, MOST_CLOSED_MS)
    return
  }
  holding.remaining = grant.remaining
  holding.resetAt = middle + grant.resetMs
  holding.retryAt = middle + grant.retryMs
  holding.saying = 'used-up'
  holding.closedUntil = grant.remaining > 0 ? 0 : Math.max(now + LEAST_CLOSED_MS, middle + grant.recheckMs)
  if (grant.granted === 0) return
  // The span began when the authority answered: not before the ask was sent.
  const validUntil = sentAt + grant.validMs * (1 - DRIFT)
  const { until, granted } = grant
  holding.leases.push({ until, validUntil, granted, left: granted, lastUse: now })
  // It came too late: it is given back, and asked for again.
  if (now >= validUntil) holding.closedUntil = 0
}

/** Settles the leases that are used up or over, or all; what becomes of a lease is said once. */
export function settleLeases(holding: QuotaHolding, now: number, all: boolean): QuotaSettlement[] {
  const settlements: QuotaSettlement[] = []
  for (let i = holding.leases.length - 1; i >= 0; i--) {
    const lease = holding.leases[i]!
    if (!all && lease.left > 0 && now < lease.validUntil) continue
    holding.leases.splice(i, 1)
    const ageMs = Math.max(0, (now - lease.lastUse) * (1 - DRIFT))
    settlements.push({
      limit: holding.limit.id,
      key: holding.key,
      until: lease.until,
      used: lease.granted - lease.left,
      returned: lease.left,
      ageMs,
    })
  }
  return settlements
}

/** A refusal is never kept so long that a mistake in it would matter. */
const MOST_CLOSED_MS = 250
const LEAST_CLOSED_MS = 1
