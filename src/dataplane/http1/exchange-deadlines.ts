/** What an exchange may still wait for; asked anew whenever its timer fires. */
export interface Bounds {
  /** From the head's arrival to the end of it all; null where there is no such bound. */
  wholeMs: number | null
  /** Bytes are expected now, so the idle bound counts. */
  streaming: boolean
}

export type Deadline = { kind: 'whole'; ms: number } | { kind: 'idle'; ms: number }

/**
 * The deadlines of one exchange: of the whole, and of bytes that do not come. One timer serves both and is set anew only
 * when it fires, since to move it with each byte would cost more than to look at the time then.
 */
export class ExchangeDeadlines {
  readonly #startedAt: number
  readonly #idleMs: number
  readonly #bounds: () => Bounds
  readonly #passed: (deadline: Deadline) => void
  #lastByteAt: number
  #timer: NodeJS.Timeout

  /** `startedAt` is of performance.now(); `passed` is called once at most. */
  constructor(startedAt: number, idleMs: number, bounds: () => Bounds, passed: (deadline: Deadline) => void) {
    this.#startedAt = startedAt
    this.#lastByteAt = startedAt
    this.#idleMs = idleMs
    this.#bounds = bounds
    this.#passed = passed
    this.#timer = this.#arm(startedAt)
  }

  /** A byte has come from either side. */
  touch(now: number): void {
    this.#lastByteAt = now
  }

  stop(): void {
    clearTimeout(this.#timer)
  }

  /** Streaming may begin at any time from now on, so the next look is at most an idle bound away: then none is missed. */
  #arm(now: number): NodeJS.Timeout {
    const { wholeMs, streaming } = this.#bounds()
    const whole = wholeMs === null ? Number.POSITIVE_INFINITY : this.#startedAt + wholeMs
    const idle = (streaming ? this.#lastByteAt : now) + this.#idleMs
    return setTimeout(() => this.#look(), Math.max(1, Math.min(whole, idle) - now))
  }

  #look(): void {
    const { wholeMs, streaming } = this.#bounds()
    const now = performance.now()
    if (wholeMs !== null && now - this.#startedAt >= wholeMs) this.#passed({ kind: 'whole', ms: wholeMs })
    else if (streaming && now - this.#lastByteAt >= this.#idleMs) {
      this.#passed({ kind: 'idle', ms: this.#idleMs })
    } else this.#timer = this.#arm(now)
  }
}
