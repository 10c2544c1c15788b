import type { QuotaLimit } from '../policy/quota-limit.ts'

// What one counter of a limit has let through, as its authority knows it. Requests are leased: a lease counts from the moment it
// is granted as if all of it were used at the last moment at which it may be, until its holder says what became of it. So the
// sum of what was let through and of what still may be never exceeds the limit, and what is never heard of again was spent.
//
// Times are milliseconds of the authority's clock since the epoch. A fixed window is a bucket of its own; a sliding one is cut into
// buckets of which each counts until its last moment has left the window. The bucket of a burst is the same as the condition that
// in any interval of t ms no more than burst + t * rate are let through: what may yet be used counts in full and does not drain.

/** How a counter counts. */
export type QuotaRule = Pick<QuotaLimit, 'requests' | 'windowMs' | 'window' | 'burst'>

/** Plain data, so that it can be kept. */
export interface QuotaCounter {
  /** The latest time at which it was looked at: its time never goes back. */
  at: number
  /** [bucket, requests], ascending. */
  spent: [number, number][]
  /** The burst's bucket, upside down: 0 is full, `burst` is empty. */
  level: number
  /** [last moment of use, requests], ascending: what is leased and not settled. */
  leased: [number, number][]
}

/** What an engine asks for: for requests that wait now, and ahead for those that it expects. */
export interface QuotaDemand {
  readonly waiting: number
  readonly ahead: number
  /** Milliseconds that an answer takes to arrive, as last seen. */
  readonly roundTripMs: number
}

/** What a counter gives. */
export interface QuotaGranted {
  readonly granted: number
  /** What is granted may be used before `until`, which is `validMs` from now. */
  readonly until: number
  readonly validMs: number
  /** What is left after this. */
  readonly remaining: number
  /** Milliseconds until the window ends (fixed) or its oldest requests leave it (sliding). */
  readonly resetMs: number
  /** Milliseconds until something is left again, if nothing is now. */
  readonly retryMs: number
  /** After so many milliseconds it makes sense to ask again: others may give back what they do not need. */
  readonly recheckMs: number
}

/** What became of a lease: requests let through, the last of them `ageMs` ago at least, and requests given back. */
export interface QuotaUse {
  readonly until: number
  readonly used: number
  readonly returned: number
  readonly ageMs: number
}

/** A lease lasts a fiftieth of its window, in these bounds, but four round trips at least: so little is idle at any time. */
const LEASE_PART = 50
const SHORTEST_LEASE_MS = 20
export const LONGEST_LEASE_MS = 1_000
/** What is leased ahead of demand is at most this part of what is left, so that the last requests are leased one by one. */
const AHEAD_PART = 16
/** A sliding window has so many buckets. */
const BUCKETS = 64
/** What is leased and ended without a word counts as spent so many milliseconds later: the word may be on its way. */
const GRACE_MS = 100
const RECHECK_MS = 20

/** How long a lease is valid, unless its window ends before. */
export function leaseMs({ windowMs }: Pick<QuotaRule, 'windowMs'>, roundTripMs: number): number {
  return Math.min(LONGEST_LEASE_MS, Math.max(windowMs / LEASE_PART, 4 * roundTripMs, SHORTEST_LEASE_MS))
}

/** A new counter; `unknownBefore`: what was let through before that time nobody knows, so all of it was. */
export function newQuotaCounter(rule: QuotaRule, unknownBefore: number | null): QuotaCounter {
  if (unknownBefore === null) return { at: 0, spent: [], level: 0, leased: [] }
  const spent: [number, number][] = [[Math.floor(unknownBefore / bucketMs(rule)), rule.requests]]
  return { at: unknownBefore, spent, level: rule.burst ?? 0, leased: [] }
}

/** Leases requests, none where none is left. */
export function grantQuota(
  counter: QuotaCounter,
  rule: QuotaRule,
  now: number,
  { waiting, ahead, roundTripMs }: QuotaDemand,
): QuotaGranted {
  advance(counter, rule, now)
  const at = counter.at
  const outstanding = sum(counter.leased)
  const inWindow = rule.requests - sum(counter.spent)
  const inBucket =
    rule.burst === null ? Number.POSITIVE_INFINITY : Math.floor(rule.burst - counter.level - outstanding)
  const free = Math.max(0, Math.min(inWindow, inBucket))
  const wanted = Math.min(free, waiting)
  const granted = wanted + Math.min(ahead, Math.floor((free - wanted) / AHEAD_PART))
  const end = rule.window === 'fixed' ? windowEnd(rule, at) : Number.POSITIVE_INFINITY
  const until = Math.min(at + leaseMs(rule, roundTripMs), end)
  add(counter.spent, bucketOf(rule, until), granted)
  add(counter.leased, until, granted)
  const resetMs = resetIn(counter, rule)
  const retryMs = Math.max(
    inWindow <= granted ? resetMs : 0,
    inBucket <= granted ? bucketIn(counter, rule, outstanding + granted) : 0,
  )
  return {
    granted,
    until,
    validMs: until - at,
    remaining: free - granted,
    resetMs,
    retryMs,
    recheckMs: outstanding + granted > 0 ? Math.min(retryMs, RECHECK_MS) : retryMs,
  }
}

/** Takes in what became of a lease. What is said too late, or of what was never leased, changes nothing. */
export function settleQuota(counter: QuotaCounter, rule: QuotaRule, now: number, use: QuotaUse): void {
  advance(counter, rule, now)
  const { until } = use
  const leased = counter.leased.find(([end]) => end === until)?.[1] ?? 0
  const settled = Math.min(leased, use.used + use.returned)
  const used = settled - Math.min(use.returned, settled)
  add(counter.leased, until, -settled)
  add(counter.spent, bucketOf(rule, until), -settled)
  const usedBy = Math.min(until, counter.at - use.ageMs)
  add(counter.spent, rule.window === 'fixed' ? bucketOf(rule, until) : bucketOf(rule, usedBy), used)
  if (rule.burst !== null) counter.level += used
  // What is put into a window that is over is forgotten with it.
  forgetSpent(counter, rule)
}

/** When the counter will be as new: from then on it may be forgotten. */
export function quotaExpiry(counter: QuotaCounter, rule: QuotaRule): number {
  let expiry = counter.at
  const lastBucket = counter.spent.at(-1)?.[0]
  if (lastBucket !== undefined) {
    const end = (lastBucket + 1) * bucketMs(rule)
    expiry = Math.max(expiry, rule.window === 'fixed' ? end : end + rule.windowMs)
  }
  const lastLease = counter.leased.at(-1)?.[0]
  if (lastLease !== undefined) expiry = Math.max(expiry, lastLease + GRACE_MS)
  if (rule.burst === null) return expiry
  return expiry + (counter.level + sum(counter.leased)) * (rule.windowMs / rule.requests)
}

function advance(counter: QuotaCounter, rule: QuotaRule, now: number): void {
  const at = Math.max(now, counter.at)
  const rate = rule.requests / rule.windowMs
  counter.level = Math.max(0, counter.level - (at - counter.at) * rate)
  counter.at = at
  while (counter.leased.length > 0 && counter.leased[0]![0] + GRACE_MS <= at) {
    const [, requests] = counter.leased.shift()!
    if (rule.burst !== null) counter.level += requests
  }
  forgetSpent(counter, rule)
}

function forgetSpent(counter: QuotaCounter, rule: QuotaRule): void {
  const first = firstBucket(rule, counter.at)
  while (counter.spent.length > 0 && counter.spent[0]![0] < first) counter.spent.shift()
}

function bucketMs({ window, windowMs }: QuotaRule): number {
  return window === 'fixed' ? windowMs : Math.ceil(windowMs / BUCKETS)
}

/** The bucket of what may be used before `until`; a fixed window's last moment is before its end. */
function bucketOf(rule: QuotaRule, until: number): number {
  const buckets = until / bucketMs(rule)
  return rule.window === 'fixed' ? Math.ceil(buckets) - 1 : Math.floor(buckets)
}

/** The oldest bucket that counts at that time. */
function firstBucket(rule: QuotaRule, at: number): number {
  const reach = rule.window === 'fixed' ? 0 : rule.windowMs
  return Math.floor((at - reach) / bucketMs(rule))
}

function windowEnd({ windowMs }: QuotaRule, at: number): number {
  return (Math.floor(at / windowMs) + 1) * windowMs
}

function resetIn(counter: QuotaCounter, rule: QuotaRule): number {
  if (rule.window === 'fixed') return windowEnd(rule, counter.at) - counter.at
  const oldest = counter.spent[0]?.[0]
  if (oldest === undefined) return rule.windowMs
  return (oldest + 1) * bucketMs(rule) + rule.windowMs - counter.at
}

/** Milliseconds until the burst's bucket holds a request again, if all that is leased is used now. */
function bucketIn(counter: QuotaCounter, rule: QuotaRule, outstanding: number): number {
  const missing = counter.level + outstanding + 1 - (rule.burst ?? 0)
  return Math.max(0, missing) * (rule.windowMs / rule.requests)
}

function sum(pairs: readonly [number, number][]): number {
  let total = 0
  for (const [, requests] of pairs) total += requests
  return total
}

/** Adds to the pair of that place, which comes and goes with what it holds. */
function add(pairs: [number, number][], place: number, requests: number): void {
  if (requests === 0) return
  let i = pairs.length
  while (i > 0 && pairs[i - 1]![0] > place) i--
  const pair = pairs[i - 1]
  if (pair?.[0] !== place) {
    if (requests > 0) pairs.splice(i, 0, [place, requests])
    return
  }
  pair[1] += requests
  if (pair[1] <= 0) pairs.splice(i - 1, 1)
}
