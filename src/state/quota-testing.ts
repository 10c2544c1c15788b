import type { QuotaLimit } from '../policy/quota-limit.ts'
import { QuotaAuthority, type QuotaMemory } from './quota-authority.ts'
import { QuotaClient, type QuotaOutcome } from './quota-client.ts'
import type { QuotaCounter } from './quota-counter.ts'
import type { QuotaReply, QuotaRequest } from './quota-message.ts'

// A made-up world for tests: engines, an authority and the network between them, in simulated time that only moves from event to
// event. Its time is the authority's; engines have clocks of their own.

/** Numbers from 0 to 1 that a seed determines. */
export type Random = () => number

export function seededRandom(seed: number): Random {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

export function quotaLimit(limit: Partial<QuotaLimit> = {}): QuotaLimit {
  return {
    id: 'limit',
    name: 'shop/limits one',
    requests: 10,
    windowMs: 1_000,
    window: 'fixed',
    burst: null,
    scope: 'cluster',
    maxKeys: 100,
    dryRun: false,
    onUnavailable: 'deny',
    ...limit,
  }
}

export interface WorldOptions {
  readonly engines: number
  readonly seed: number
  /** Milliseconds that a message is under way, at most; messages of one direction stay in order. */
  readonly delayMs: number
  /** Of how many messages one is lost. 0: none. */
  readonly loseEvery: number
  /** Engines' clocks are off by so much at most, and run apart by so large a part. */
  readonly skewMs: number
  readonly drift: number
  readonly startAt: number
}

interface Engine {
  client: QuotaClient
  /** Of the channel: an engine that is started anew gets nothing that was for the one before it. */
  life: number
  readonly offset: number
  readonly rate: number
  arrivals: { up: number; down: number }
}

/** A request that was let through: when, and by which limits' counters. */
export interface Passed {
  readonly at: number
  readonly engine: number
  readonly counters: readonly string[]
}

export class QuotaWorld {
  now: number
  readonly passed: Passed[] = []
  readonly refused: { at: number; outcomes: QuotaOutcome[] }[] = []
  readonly engines: Engine[] = []
  authority: QuotaAuthority
  #authorityUp = true
  readonly #options: WorldOptions
  readonly #random: Random
  #limits: readonly QuotaLimit[]
  readonly #kept = new Map<string, string>()
  readonly #events: { at: number; order: number; run: () => void }[] = []
  #order = 0

  constructor(limits: readonly QuotaLimit[], options: WorldOptions) {
    this.#options = options
    this.#random = seededRandom(options.seed)
    this.#limits = limits
    this.now = options.startAt
    this.authority = this.#newAuthority()
    for (let i = 0; i < options.engines; i++) {
      const offset = (this.#random() * 2 - 1) * options.skewMs
      const rate = 1 + (this.#random() * 2 - 1) * options.drift
      const engine: Engine = { client: null!, life: 0, offset, rate, arrivals: { up: 0, down: 0 } }
      this.engines.push(engine)
      engine.client = this.#newClient(engine)
      this.#tick(engine)
    }
  }

  /** One request at an engine, judged by these limits under one descriptor for each. */
  request(index: number, claims: readonly { limit: QuotaLimit; descriptor: string }[]): void {
    const engine = this.engines[index]!
    const { life } = engine
    const done = (outcomes: QuotaOutcome[]) => {
      if (engine.life !== life) return
      const taken = outcomes.flatMap(({ state }, i) =>
        state === 'taken' ? [`${claims[i]!.limit.id}${claims[i]!.descriptor}`] : [],
      )
      const passes = outcomes.every(({ state }, i) => {
        const { dryRun, onUnavailable } = claims[i]!.limit
        return dryRun || state === 'taken' || (state === 'unavailable' && onUnavailable === 'allow')
      })
      if (passes) this.passed.push({ at: this.now, engine: index, counters: taken })
      else this.refused.push({ at: this.now, outcomes })
    }
    const outcomes = engine.client.take(claims, done)
    if (outcomes) done(outcomes)
  }

  at(time: number, run: () => void): void {
    const event = { at: time, order: this.#order++, run }
    let low = 0
    let high = this.#events.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#events[middle]!.at <= time) low = middle + 1
      else high = middle
    }
    this.#events.splice(low, 0, event)
  }

  runUntil(time: number): void {
    while (this.#events.length > 0 && this.#events[0]!.at <= time) {
      const event = this.#events.shift()!
      this.now = Math.max(this.now, event.at)
      event.run()
    }
    this.now = time
  }

  crashEngine(index: number): void {
    const engine = this.engines[index]!
    engine.life++
    engine.arrivals = { up: 0, down: 0 }
    engine.client = this.#newClient(engine)
  }

  /** It is gone for a while, and then back with what it keeps. */
  crashAuthority(forMs: number): void {
    this.#authorityUp = false
    this.at(this.now + forMs, () => {
      this.authority = this.#newAuthority()
      this.#authorityUp = true
    })
  }

  #newAuthority(): QuotaAuthority {
    const memory: QuotaMemory = {
      unknownBefore: null,
      load: (counter) => JSON.parse(this.#kept.get(counter) ?? 'null') as QuotaCounter | null,
      save: (counters) => {
        for (const { name, counter } of counters) this.#kept.set(name, JSON.stringify(counter))
      },
      forget: (counters) => {
        for (const name of counters) this.#kept.delete(name)
      },
    }
    const authority = new QuotaAuthority(() => this.now, memory)
    authority.setLimits(this.#limits)
    return authority
  }

  #newClient(engine: Engine): QuotaClient {
    const { life } = engine
    return new QuotaClient({
      clock: () => engine.offset + this.now * engine.rate,
      send: (request) => this.#send(engine, 'up', () => this.#answer(engine, life, structuredClone(request))),
      flushSoon: () => this.at(this.now, () => engine.life === life && engine.client.flush()),
      hash: (descriptor) => descriptor,
    })
  }

  #answer(engine: Engine, life: number, request: QuotaRequest): void {
    if (!this.#authorityUp) return
    const reply: QuotaReply = this.authority.answer('node', request)
    this.#send(engine, 'down', () => engine.life === life && engine.client.receive(structuredClone(reply)))
  }

  #send(engine: Engine, way: 'up' | 'down', arrive: () => void): void {
    const { loseEvery, delayMs } = this.#options
    if (loseEvery > 0 && this.#random() < 1 / loseEvery) return
    const at = Math.max(engine.arrivals[way], this.now + this.#random() * delayMs)
    engine.arrivals[way] = at
    this.at(at, arrive)
  }

  #tick(engine: Engine): void {
    this.at(this.now + 10, () => {
      engine.client.tick()
      this.#tick(engine)
    })
  }
}

/** The first violation of a limit by these times, in words; null where there is none. Times ascend. */
export function violation(limit: QuotaLimit, times: readonly number[]): string | null {
  const { requests, windowMs, window, burst } = limit
  for (let i = requests; i < times.length; i++) {
    const [first, last] = [times[i - requests]!, times[i]!]
    const together =
      window === 'fixed'
        ? Math.floor(first / windowMs) === Math.floor(last / windowMs)
        : last - first < windowMs
    if (together) return `${requests + 1} requests in one window, from ${first} to ${last}`
  }
  if (burst === null) return null
  // The bucket's level after each request, as if it were drained at the limit's rate.
  let level = 0
  for (let i = 0; i < times.length; i++) {
    const drained = i === 0 ? 0 : ((times[i]! - times[i - 1]!) * requests) / windowMs
    level = Math.max(0, level - drained) + 1
    if (level > burst + 1e-6) return `${level} in a bucket of ${burst} at ${times[i]}`
  }
  return null
}
