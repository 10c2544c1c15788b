import {
  closeHolding,
  expectedDemand,
  holds,
  type QuotaHolding,
  receiveGrant,
  settleLeases,
  takeOne,
} from './quota-holding.ts'
import { QuotaHoldings } from './quota-holdings.ts'
import type { QuotaAsk, QuotaReply, QuotaRequest, QuotaSettlement } from './quota-message.ts'
import { outcome, type QuotaClaim, type QuotaOutcome, refuses } from './quota-outcome.ts'
import { type QuotaWaiter, QuotaWaiters } from './quota-waiters.ts'

export type { QuotaClaim, QuotaOutcome } from './quota-outcome.ts'

export interface QuotaClientHooks {
  /** Milliseconds; never goes back, and never runs slower than the authority's clock. */
  clock(): number
  send(request: QuotaRequest): void
  /** Calls `flush` soon: what is asked for until then goes in one message. */
  flushSoon(): void
  /** 32 hexadecimal digits by which a descriptor goes into messages. */
  hash(descriptor: string): string
}

export function newQuotaCounters() {
  return {
    taken: 0,
    refused: 0,
    unavailable: 0,
    /** Requests that had to wait for an answer. */
    waited: 0,
    asks: 0,
    /** Asks that nobody answered in time. */
    unanswered: 0,
    /** Requests that found no room for one more counter, or for one more that waits. */
    full: 0,
  }
}

const MOST_WAITERS = 8_192
/** So long a request waits for quota, and so often it may lose what it waited for to others. */
const WAIT_MS = 3_000
/** The same where the last answer did not come. */
const SILENT_WAIT_MS = 50
/** So long an answer is waited for there before it is asked again: its authority may be back, and know of no question. */
const SILENT_ASK_MS = 1_000
const MOST_ROUNDS = 8
/** So long nobody asks again where nothing was answered, or where others took what was. In milliseconds. */
const UNANSWERED_MS = 100
const LOST_MS = 5
/** When to come again where there is no room. */
const NO_ROOM_MS = 1_000
const MOST_SAMPLES = 8

/** An engine's side of the limits: it lets requests through by what it has leased, and asks where that does not do. */
export class QuotaClient {
  readonly counters = newQuotaCounters()
  readonly #hooks: QuotaClientHooks
  readonly #holdings: QuotaHoldings
  /** Those with leases. */
  readonly #leased = new Set<QuotaHolding>()
  readonly #waiters = new QuotaWaiters()
  readonly #toAsk = new Set<QuotaHolding>()
  #settlements: QuotaSettlement[] = []
  /** `passed`: others have been sent since; it may be answered yet. */
  readonly #sent = new Map<number, { at: number; holdings: QuotaHolding[]; passed: boolean }>()
  readonly #roundTrips: number[] = []
  #serial = 1
  #arrivals = 0
  /** The last answer that was waited for did not come. */
  #silent = false

  constructor(hooks: QuotaClientHooks) {
    this.#hooks = hooks
    const isNeeded = (holding: QuotaHolding) =>
      holding.leases.length > 0 || holding.asked || this.#waiters.countAt(holding) > 0
    this.#holdings = new QuotaHoldings(hooks.hash, isNeeded)
  }

  /**
   * Takes one request from each limit, or from none where one refuses; limits that are only tried out refuse nothing. Gives the outcomes
   * at once where it can, else null, and `done` hears of them later.
   */
  take(claims: readonly QuotaClaim[], done: (outcomes: QuotaOutcome[]) => void): QuotaOutcome[] | null {
    const now = this.#hooks.clock()
    const holdings: QuotaHolding[] = []
    for (const { limit, descriptor } of claims) {
      const holding = this.#holdings.of(limit, descriptor, now)
      if (!holding) return this.#noRoom(claims)
      holdings.push(holding)
    }
    const outcomes = this.#judge(holdings, now)
    if (outcomes) return outcomes
    if (this.#waiters.size >= MOST_WAITERS) return this.#noRoom(claims)
    this.counters.waited++
    const number = this.#arrivals++
    const deadline = now + (this.#silent ? SILENT_WAIT_MS : WAIT_MS)
    const waiter = { number, holdings, done, deadline, rounds: 0 }
    this.#waiters.add(waiter)
    this.#askFor(waiter, now)
    return null
  }

  /** Sends what is to be said. */
  flush(): void {
    if (this.#toAsk.size === 0 && this.#settlements.length === 0) return
    const now = this.#hooks.clock()
    const holdings = [...this.#toAsk]
    this.#toAsk.clear()
    const asks = holdings.map((holding): QuotaAsk => {
      const waiting = Math.max(0, this.#waiters.countAt(holding) - holds(holding, now))
      const ahead = expectedDemand(holding, now)
      holding.taken = 0
      holding.askedAt = now
      return { limit: holding.limit.id, key: holding.key, waiting, ahead }
    })
    const serial = this.#serial++
    const settlements = this.#settlements
    this.#settlements = []
    if (asks.length > 0) this.#sent.set(serial, { at: now, holdings, passed: false })
    this.counters.asks += asks.length
    this.#hooks.send({ serial, roundTripMs: Math.max(0, ...this.#roundTrips), settlements, asks })
  }

  receive({ serial, grants }: QuotaReply): void {
    const sent = this.#sent.get(serial)
    if (!sent) return
    this.#sent.delete(serial)
    this.#silent = false
    const now = this.#hooks.clock()
    this.#roundTrips.push(now - sent.at)
    if (this.#roundTrips.length > MOST_SAMPLES) this.#roundTrips.shift()
    for (const [index, holding] of sent.holdings.entries()) {
      const grant = grants[index]
      if (!grant) continue
      receiveGrant(holding, grant, sent.at, now)
      if (holding.leases.length > 0) this.#leased.add(holding)
      this.#settle(holding, now, false)
    }
    this.#goOn(sent.holdings, now)
  }

  /** Gives back leases that are used up or over, and gives up what nobody answers. Call it each few milliseconds. */
  tick(): void {
    const now = this.#hooks.clock()
    for (const holding of this.#leased) this.#settle(holding, now, false)
    for (const [serial, sent] of this.#sent) {
      const { at, holdings, passed } = sent
      if (now - at >= WAIT_MS) this.#sent.delete(serial)
      if (passed || now - at < (this.#silent ? SILENT_ASK_MS : WAIT_MS)) continue
      sent.passed = true
      this.#silent = true
      this.counters.unanswered += holdings.length
      for (const holding of holdings) {
        holding.asked = false
        closeHolding(holding, 'unavailable', now, UNANSWERED_MS)
      }
      this.#goOn(holdings, now)
    }
    for (const waiter of this.#waiters.overdue(now)) this.#giveUp(waiter, 'unavailable', now)
    this.flush()
  }

  /** Whether `tick` has anything to do. */
  get busy(): boolean {
    return (
      this.#leased.size > 0 || this.#sent.size > 0 || this.#waiters.size > 0 || this.#settlements.length > 0
    )
  }

  /** Gives everything back. */
  close(): void {
    const now = this.#hooks.clock()
    for (const holding of this.#leased) this.#settle(holding, now, true)
    this.flush()
  }

  /** The outcomes, with one request taken from each limit where none refuses; null where something must be asked first. */
  #judge(holdings: readonly QuotaHolding[], now: number): QuotaOutcome[] | null {
    let refused = false
    let unknown = false
    for (const holding of holdings) {
      if (holds(holding, now) > 0) continue
      if (now >= holding.closedUntil) unknown = true
      else if (refuses(holding)) refused = true
    }
    if (unknown && !refused) return null
    const outcomes = holdings.map((holding) => {
      if (holds(holding, now) === 0 && now < holding.closedUntil) {
        return outcome(holding, holding.saying === 'used-up' ? 'refused' : 'unavailable', now)
      }
      if (refused) return outcome(holding, 'untouched', now)
      this.#takeFrom(holding, now)
      return outcome(holding, 'taken', now)
    })
    if (!refused) this.counters.taken++
    else if (outcomes.some(({ state }) => state === 'refused')) this.counters.refused++
    else this.counters.unavailable++
    return outcomes
  }

  #takeFrom(holding: QuotaHolding, now: number): void {
    if (takeOne(holding, now)) this.#want(holding)
    // The bucket of a burst drains only what the authority knows to be used.
    if (holding.limit.burst === null || holding.leases.every(({ left }) => left > 0)) return
    this.#settle(holding, now, false)
    this.#hooks.flushSoon()
  }

  #noRoom(claims: readonly QuotaClaim[]): QuotaOutcome[] {
    this.counters.full++
    return claims.map(() => ({ state: 'refused', remaining: 0, resetMs: NO_ROOM_MS, retryMs: NO_ROOM_MS }))
  }

  #askFor({ holdings }: QuotaWaiter, now: number): void {
    for (const holding of holdings) {
      if (now >= holding.closedUntil && holds(holding, now) < this.#waiters.countAt(holding))
        this.#want(holding)
    }
  }

  #want(holding: QuotaHolding): void {
    if (holding.asked) return
    holding.asked = true
    this.#toAsk.add(holding)
    this.#hooks.flushSoon()
  }

  /** Looks again at the requests that wait for one of these, in the order in which they came. */
  #goOn(holdings: readonly QuotaHolding[], now: number): void {
    for (const waiter of this.#waiters.at(holdings)) {
      const outcomes = this.#judge(waiter.holdings, now)
      if (outcomes) this.#finish(waiter, outcomes)
      else if (++waiter.rounds < MOST_ROUNDS) this.#askFor(waiter, now)
      else this.#giveUp(waiter, 'used-up', now)
    }
  }

  /** What the request still waits for is taken for refused, or for unavailable. */
  #giveUp(waiter: QuotaWaiter, saying: QuotaHolding['saying'], now: number): void {
    for (const holding of waiter.holdings) {
      if (holds(holding, now) > 0 || now < holding.closedUntil) continue
      closeHolding(holding, saying, now, saying === 'used-up' ? LOST_MS : UNANSWERED_MS)
    }
    this.#finish(waiter, this.#judge(waiter.holdings, now)!)
  }

  #finish(waiter: QuotaWaiter, outcomes: QuotaOutcome[]): void {
    this.#waiters.remove(waiter)
    waiter.done(outcomes)
  }

  #settle(holding: QuotaHolding, now: number, all: boolean): void {
    this.#settlements.push(...settleLeases(holding, now, all))
    if (holding.leases.length === 0) this.#leased.delete(holding)
  }
}
