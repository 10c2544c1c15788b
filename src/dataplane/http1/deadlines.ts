/** How long each part of a request may take, in milliseconds; null: no limit of its own. */
export interface DeadlineRules {
  /** From the request's head until an instance takes it. */
  queueMs: number
  /** From the request's head to the response's head. */
  responseStartMs: number | null
  /** From the request's head to the response's last byte. */
  wholeMs: number
  /** Between two bytes, wherever bytes are expected. */
  idleMs: number
}

/**
 * What an exchange waits for: an instance; the rest of the request's body; the response's head; the rest of the response's
 * body; either side's bytes after a switch of protocols.
 */
export type Awaited = 'instance' | 'request-body' | 'response-head' | 'response-body' | 'tunnel'

/** The rule that was broken, and its limit in milliseconds. */
export interface Overdue {
  rule: 'queue' | 'response-start' | 'whole' | 'idle'
  ms: number
}

/** The deadlines of one exchange, held by one timer that is set anew only where a deadline comes before the one it is set to. */
export class Deadlines {
  readonly #rules: DeadlineRules
  readonly #startedAt: number
  readonly #expired: (overdue: Overdue) => void
  #awaited: Awaited = 'instance'
  #lastByteAt: number
  #firesAt = Number.POSITIVE_INFINITY
  #timer: NodeJS.Timeout | undefined

  /** Times are those of performance.now(). `expired` is called once at most. */
  constructor(rules: DeadlineRules, startedAt: number, expired: (overdue: Overdue) => void) {
    this.#rules = rules
    this.#startedAt = startedAt
    this.#lastByteAt = startedAt
    this.#expired = expired
    this.#arm(startedAt)
  }

  /** From `now` on, this is waited for. */
  await(awaited: Awaited, now: number): void {
    if (awaited === this.#awaited) return
    this.#awaited = awaited
    this.#lastByteAt = now
    this.#arm(now)
  }

  /** A byte came or went. */
  touch(now: number): void {
    this.#lastByteAt = now
  }

  stop(): void {
    clearTimeout(this.#timer)
  }

  #arm(now: number): void {
    const { at } = this.#next()
    if (at >= this.#firesAt) return
    clearTimeout(this.#timer)
    this.#firesAt = at
    this.#timer = setTimeout(() => this.#look(), at - now)
  }

  #look(): void {
    const now = performance.now()
    const { at, overdue } = this.#next()
    this.#firesAt = Number.POSITIVE_INFINITY
    // Timers are a fraction of a millisecond early at times.
    if (at - now < 1) return this.#expired(overdue)
    this.#arm(now)
  }

  #next(): { at: number; overdue: Overdue } {
    const { queueMs, responseStartMs, wholeMs, idleMs } = this.#rules
    const awaited = this.#awaited
    const idle = this.#from(this.#lastByteAt, 'idle', idleMs)
    if (awaited === 'tunnel') return idle
    let first = this.#from(this.#startedAt, 'whole', wholeMs)
    const sooner = (other: typeof first) => {
      if (other.at < first.at) first = other
    }
    if (awaited === 'instance') sooner(this.#from(this.#startedAt, 'queue', queueMs))
    if (awaited !== 'response-body' && responseStartMs !== null)
      sooner(this.#from(this.#startedAt, 'response-start', responseStartMs))
    if (awaited === 'request-body' || awaited === 'response-body') sooner(idle)
    return first
  }

  #from(start: number, rule: Overdue['rule'], ms: number): { at: number; overdue: Overdue } {
    return { at: start + ms, overdue: { rule, ms } }
  }
}
