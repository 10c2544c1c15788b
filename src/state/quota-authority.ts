import type { QuotaLimit } from '../policy/quota-limit.ts'
import { grantQuota, newQuotaCounter, type QuotaCounter, quotaExpiry, settleQuota } from './quota-counter.ts'
import type { QuotaGrant, QuotaName, QuotaReply, QuotaRequest } from './quota-message.ts'

/** Where counters outlive the authority. What it is given is there when `save` returns. */
export interface QuotaMemory {
  /** All that happened before this time and is not in memory is unknown; null: nothing did. */
  readonly unknownBefore: number | null
  load(name: string): QuotaCounter | null
  save(counters: readonly KeptCounter[]): void
  forget(names: readonly string[]): void
}

export interface KeptCounter {
  readonly name: string
  readonly counter: QuotaCounter
  /** From then on it may be forgotten. */
  readonly expiry: number
}

export interface QuotaAuthorityCounters {
  asks: number
  granted: number
  refused: number
  /** Asks for a key for which the limit had no counter left. */
  full: number
  /** Asks for limits that are not known (any more). */
  unknown: number
}

interface Table {
  limit: QuotaLimit
  readonly counters: Map<string, QuotaCounter>
  /** Before this no counter of a full table can be forgotten. */
  nextSweep: number
  inForce: boolean
}

const UNAVAILABLE: QuotaGrant = { kind: 'unavailable', retryMs: 250 }
/** Tables whose counters are looked through at each tick, of all. */
const SWEEP_TABLES = 64

/** Leases the limits' requests to engines. All that it knows of time is the clock, in milliseconds since the epoch, which never goes back. */
export class QuotaAuthority {
  readonly counters: QuotaAuthorityCounters = { asks: 0, granted: 0, refused: 0, full: 0, unknown: 0 }
  readonly #clock: () => number
  readonly #memory: QuotaMemory
  readonly #tables = new Map<string, Table>()
  #sweeping: IterableIterator<string> | null = null

  constructor(clock: () => number, memory: QuotaMemory = NO_MEMORY) {
    this.#clock = clock
    this.#memory = memory
  }

  /** The limits in force. What others that were in force let through stays known until it no longer matters. */
  setLimits(limits: readonly QuotaLimit[]): void {
    for (const table of this.#tables.values()) table.inForce = false
    for (const limit of limits) {
      const table = this.#tables.get(limit.id)
      if (table) Object.assign(table, { limit, inForce: true })
      else this.#tables.set(limit.id, { limit, counters: new Map(), nextSweep: 0, inForce: true })
    }
    for (const [id, table] of this.#tables) if (isOver(table)) this.#tables.delete(id)
  }

  /** Answers an engine of that node. */
  answer(node: string, { serial, roundTripMs, settlements, asks }: QuotaRequest): QuotaReply {
    const now = this.#clock()
    const changed = new Map<string, { table: Table; counter: QuotaCounter }>()
    for (const use of settlements) {
      const table = this.#tables.get(use.limit)
      const key = table && keyOf(table.limit, node, use)
      const counter = table && this.#load(table, key!)
      if (!table || !counter) continue
      settleQuota(counter, table.limit, now, use)
      changed.set(rowOf(use.limit, key!), { table, counter })
    }
    const grants = asks.map((ask): QuotaGrant => {
      this.counters.asks++
      const table = this.#tables.get(ask.limit)
      if (!table) {
        this.counters.unknown++
        return UNAVAILABLE
      }
      const key = keyOf(table.limit, node, ask)
      const counter = this.#load(table, key) ?? this.#make(table, key, now)
      if (!counter) {
        this.counters.full++
        return { kind: 'full', retryMs: Math.max(1, table.nextSweep - now) }
      }
      const grant = grantQuota(counter, table.limit, now, { ...ask, roundTripMs })
      if (grant.granted > 0) changed.set(rowOf(ask.limit, key), { table, counter })
      this.counters.granted += grant.granted
      if (grant.granted === 0) this.counters.refused++
      return { kind: 'granted', ...grant }
    })
    const kept = [...changed].map(([name, { table, counter }]): KeptCounter => {
      return { name, counter, expiry: quotaExpiry(counter, table.limit) }
    })
    if (kept.length > 0) this.#memory.save(kept)
    return { serial, grants }
  }

  /** Forgets counters that are as new. Call it now and then. */
  sweep(): void {
    const now = this.#clock()
    for (let i = 0; i < SWEEP_TABLES; i++) {
      this.#sweeping ??= this.#tables.keys()
      const { done, value: id } = this.#sweeping.next()
      if (done) {
        this.#sweeping = null
        return
      }
      const table = this.#tables.get(id)
      if (!table) continue
      this.#sweepTable(table, now)
      if (isOver(table)) this.#tables.delete(id)
    }
  }

  #load(table: Table, key: string): QuotaCounter | null {
    const known = table.counters.get(key)
    if (known) return known
    const kept = this.#memory.load(rowOf(table.limit.id, key))
    if (kept) table.counters.set(key, kept)
    return kept
  }

  /** A counter for a new key; null where the limit has as many as it may have. */
  #make(table: Table, key: string, now: number): QuotaCounter | null {
    if (table.counters.size >= table.limit.maxKeys && table.nextSweep <= now) this.#sweepTable(table, now)
    if (table.counters.size >= table.limit.maxKeys) return null
    const counter = newQuotaCounter(table.limit, this.#memory.unknownBefore)
    table.counters.set(key, counter)
    return counter
  }

  #sweepTable(table: Table, now: number): void {
    const forgotten: string[] = []
    let next = Number.POSITIVE_INFINITY
    for (const [key, counter] of table.counters) {
      const expiry = quotaExpiry(counter, table.limit)
      if (expiry <= now) {
        table.counters.delete(key)
        forgotten.push(rowOf(table.limit.id, key))
      } else next = Math.min(next, expiry)
    }
    // Not more often than this, whatever ends meanwhile: a full table is looked through as a whole.
    table.nextSweep = Math.max(next, now + LEAST_SWEEP_MS)
    if (forgotten.length > 0) this.#memory.forget(forgotten)
  }
}

const LEAST_SWEEP_MS = 100

const NO_MEMORY: QuotaMemory = { unknownBefore: null, load: () => null, save: () => {}, forget: () => {} }

/** A limit for each node counts for each node. */
function keyOf(limit: QuotaLimit, node: string, { key }: QuotaName): string {
  return limit.scope === 'node' ? `${key}@${node}` : key
}

function rowOf(limit: string, key: string): string {
  return `${limit}:${key}`
}

function isOver(table: Table): boolean {
  return !table.inForce && table.counters.size === 0
}
