/** What an exchange may still wait for; asked anew whenever its timer fires. */
export interface Bounds {
  /** From the head's arrival to the end of it all; null where there is no such bound. */
  wholeMs: number | null
  /** Bytes are expected now from either side, so the bound on their absence counts. */
  streaming: boolean
  /** The instance has the request and owes an answer, so the two bounds below count. */
  delivered: boolean
  /** From the request's delivery to the first byte of an answer; 0: no such bound. */
  responseStartMs: number
  /** Between two bytes of the instance, from the request's delivery on; 0: no such bound. */
  instanceIdleMs: number
  /** null: no route or retry policy bounds it. */
  way: WayBounds | null
}

/** What a route and its retries add. Bounds are milliseconds, null for none; times are of performance.now(), null until they run. */
export interface WayBounds {
  routeMs: number | null
  routeSince: number | null
  attemptMs: number | null
  attemptSince: number | null
  /** The wait for another instance. */
  waitMs: number
  waitSince: number | null
}

export interface Deadline {
  kind: 'whole' | 'route' | 'attempt' | 'wait' | 'response-start' | 'instance-idle' | 'idle'
  ms: number
}

/** A bound and since when it runs; null where it does not yet. */
interface Clock extends Deadline {
  since: number | null
}

/**
 * The deadlines of one exchange. One timer serves them all and is set anew only when it fires, since to move it with each
 * byte would cost more than to look at the time then.
 */
export class ExchangeDeadlines {
  readonly #startedAt: number
  readonly #idleMs: number
  readonly #bounds: () => Bounds
  readonly #passed: (deadline: Deadline) => void
  #lastByteAt: number
  #deliveredAt = 0
  /** When the instance's last byte came; 0 until the first of this delivery. */
  #lastAnswerAt = 0
  #timer: NodeJS.Timeout
  #stopped = false

  /** `startedAt` is of performance.now(); `passed` may be called again, unless `stop` was. */
  constructor(startedAt: number, idleMs: number, bounds: () => Bounds, passed: (deadline: Deadline) => void) {
    this.#startedAt = startedAt
    this.#lastByteAt = startedAt
    this.#idleMs = idleMs
    this.#bounds = bounds
    this.#passed = passed
    this.#timer = this.#arm(startedAt)
  }

  /** A byte has come from the client. */
  touch(now: number): void {
    this.#lastByteAt = now
  }

  /** The request's head goes to an instance. */
  delivered(now: number): void {
    this.#deliveredAt = now
    this.#lastAnswerAt = 0
  }

  /** A byte has come from the instance. */
  answered(now: number): void {
    this.#lastByteAt = now
    this.#lastAnswerAt = now
  }

  stop(): void {
    this.#stopped = true
    clearTimeout(this.#timer)
  }

  /** A clock may start at any time from now on, so the next look is at most its bound away: then no deadline is missed. */
  #arm(now: number): NodeJS.Timeout {
    let at = Number.POSITIVE_INFINITY
    for (const { since, ms } of this.#clocks()) at = Math.min(at, (since ?? now) + ms)
    return setTimeout(() => this.#look(), Math.max(1, at - now))
  }

  #look(): void {
    const now = performance.now()
    for (const { kind, since, ms } of this.#clocks()) {
      if (since === null || now - since < ms) continue
      this.#passed({ kind, ms })
      break
    }
    if (!this.#stopped) this.#timer = this.#arm(performance.now())
  }

  #clocks(): Clock[] {
    const { wholeMs, streaming, delivered, responseStartMs, instanceIdleMs, way } = this.#bounds()
    const clocks: Clock[] = [{ kind: 'idle', ms: this.#idleMs, since: streaming ? this.#lastByteAt : null }]
    if (wholeMs !== null) clocks.push({ kind: 'whole', ms: wholeMs, since: this.#startedAt })
    if (responseStartMs > 0) {
      const since = delivered && this.#lastAnswerAt === 0 ? this.#deliveredAt : null
      clocks.push({ kind: 'response-start', ms: responseStartMs, since })
    }
    if (instanceIdleMs > 0) {
      const since = delivered ? Math.max(this.#deliveredAt, this.#lastAnswerAt) : null
      clocks.push({ kind: 'instance-idle', ms: instanceIdleMs, since })
    }
    if (way) addClocks(way, clocks)
    return clocks
  }
}

function addClocks(way: WayBounds, clocks: Clock[]): void {
  if (way.routeMs !== null) clocks.push({ kind: 'route', ms: way.routeMs, since: way.routeSince })
  if (way.attemptMs !== null) clocks.push({ kind: 'attempt', ms: way.attemptMs, since: way.attemptSince })
  clocks.push({ kind: 'wait', ms: way.waitMs, since: way.waitSince })
}
