import type { QuotaGranted, QuotaUse } from './quota-counter.ts'

// What an engine and the quota authority say to each other. A counter is named by its limit and a hash of its descriptor.

/** Which counter: the limit's id, and 32 hexadecimal digits. */
export interface QuotaName {
  readonly limit: string
  readonly key: string
}

export interface QuotaAsk extends QuotaName {
  readonly waiting: number
  readonly ahead: number
}

export interface QuotaSettlement extends QuotaName, QuotaUse {}

/** Settlements are taken in before the asks are answered. */
export interface QuotaRequest {
  readonly serial: number
  readonly roundTripMs: number
  readonly settlements: readonly QuotaSettlement[]
  readonly asks: readonly QuotaAsk[]
}

/**
 * `unavailable`: nobody can say now. `full`: the limit has as many counters as it may have, so there is none for this key.
 */
export type QuotaGrant =
  | ({ readonly kind: 'granted' } & QuotaGranted)
  | { readonly kind: 'unavailable' | 'full'; readonly retryMs: number }

/** The grants are in the order of the asks. */
export interface QuotaReply {
  readonly serial: number
  readonly grants: readonly QuotaGrant[]
}
