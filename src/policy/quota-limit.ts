/** One limit of a function, as engines and the quota authority count by it; what requests it is for is in the compiled policy. */
export interface QuotaLimit {
  /** Says whose counters these are, and nothing of their size: 32 hexadecimal digits. */
  readonly id: string
  /** "shop/cart-limits per-caller", for people. */
  readonly name: string
  readonly requests: number
  readonly windowMs: number
  readonly window: 'fixed' | 'sliding'
  /** Besides, a bucket of so many requests that is filled at the rate `requests / windowMs`; null: none. */
  readonly burst: number | null
  readonly scope: 'cluster' | 'node'
  /** Counters that the limit may have at once. */
  readonly maxKeys: number
  readonly dryRun: boolean
  readonly onUnavailable: 'deny' | 'allow'
}
