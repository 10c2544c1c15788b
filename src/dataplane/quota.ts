import { createHash } from 'node:crypto'
import type { QuotaLimit } from '../policy/quota-limit.ts'
import {
  MOST_FUNCTION_LIMITS,
  QUOTA_ANSWER_SIZE,
  QUOTA_REFUSED,
  QUOTA_TAKEN,
  QUOTA_UNAVAILABLE,
  QUOTA_UNTOUCHED,
} from '../sidecar/layout/rate-limit.ts'
import { NEED_QUOTA } from '../sidecar/layout/record.ts'
import { type QuotaClaim, QuotaClient, type QuotaOutcome } from '../state/quota-client.ts'
import type { QuotaReply, QuotaRequest } from '../state/quota-message.ts'
import { steadyClock } from '../state/steady-clock.ts'
import type { Answerer } from './needs.ts'

/** How often leases that are over are given back, in milliseconds. */
const TICK_MS = 10

/** An engine's quota: what its sidecars need of it, answered at once while it has leases, else when control has granted some. */
export class Quota {
  readonly #client: QuotaClient
  #ticker: NodeJS.Timeout | null = null
  #flushing = false

  constructor(send: (request: QuotaRequest) => void) {
    this.#client = new QuotaClient({
      clock: steadyClock(),
      send,
      flushSoon: () => this.#flushSoon(),
      hash: (descriptor) => createHash('sha256').update(descriptor, 'latin1').digest('hex').slice(0, 32),
    })
  }

  get counters(): QuotaClient['counters'] {
    return this.#client.counters
  }

  take(claims: readonly QuotaClaim[]): Buffer | Promise<Buffer> {
    let resolve: (answer: Buffer) => void = () => {}
    const outcomes = this.#client.take(claims, (later) => resolve(encode(later)))
    if (this.#ticker === null && this.#client.busy) this.#start()
    if (outcomes) return encode(outcomes)
    return new Promise((resolved) => {
      resolve = resolved
    })
  }

  receive(reply: QuotaReply): void {
    this.#client.receive(reply)
  }

  /** Gives back all leases. */
  close(): void {
    if (this.#ticker !== null) clearInterval(this.#ticker)
    this.#ticker = null
    this.#client.close()
  }

  #start(): void {
    this.#ticker = setInterval(() => {
      this.#client.tick()
      if (this.#client.busy) return
      clearInterval(this.#ticker!)
      this.#ticker = null
    }, TICK_MS)
  }

  /** At the end of this turn of the event loop, for all that it has brought. */
  #flushSoon(): void {
    if (this.#flushing) return
    this.#flushing = true
    setImmediate(() => {
      this.#flushing = false
      this.#client.flush()
    })
  }
}

export function quotaAnswerer(quota: Quota): [number, Answerer] {
  return [NEED_QUOTA, ({ key }, entry) => quota.take(readQuotaKey(key, entry.slice.quotaLimits ?? []))]
}

/** Reads a need's key (layout/rate-limit.ts), which comes out of a sandbox; throws where it is not one of these limits'. */
export function readQuotaKey(key: Buffer, limits: readonly QuotaLimit[]): QuotaClaim[] {
  const count = key.length >= 4 ? key.readUInt32LE(0) : 0
  if (count === 0 || count > MOST_FUNCTION_LIMITS) throw new Error(`a quota key of ${count} limits`)
  const claims: QuotaClaim[] = []
  let at = 4
  let last = -1
  for (let i = 0; i < count; i++) {
    if (at + 8 > key.length) throw new Error('a quota key that is cut off')
    const index = key.readUInt32LE(at)
    const length = key.readUInt32LE(at + 4)
    at += 8
    const limit = limits[index]
    if (limit === undefined || index <= last) throw new Error(`a quota key of limit ${index}`)
    if (length > key.length - at) throw new Error('a quota key that is cut off')
    claims.push({ limit, descriptor: key.toString('latin1', at, at + length) })
    at += (length + 3) & ~3
    last = index
  }
  if (at !== key.length) throw new Error('a quota key with bytes behind it')
  return claims
}

function encode(outcomes: readonly QuotaOutcome[]): Buffer {
  const answer = Buffer.allocUnsafe(outcomes.length * QUOTA_ANSWER_SIZE)
  let at = 0
  for (const { state, remaining, resetMs, retryMs } of outcomes) {
    at = answer.writeUInt32LE(STATES[state], at)
    at = answer.writeUInt32LE(remaining, at)
    at = answer.writeUInt32LE(Math.ceil(resetMs / 1000), at)
    at = answer.writeUInt32LE(Math.max(1, Math.ceil(retryMs / 1000)), at)
  }
  return answer
}

const STATES = {
  taken: QUOTA_TAKEN,
  refused: QUOTA_REFUSED,
  unavailable: QUOTA_UNAVAILABLE,
  untouched: QUOTA_UNTOUCHED,
} as const
