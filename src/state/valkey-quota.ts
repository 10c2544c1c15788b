import { Redis } from 'iovalkey'
import type { QuotaLimit } from '../policy/quota-limit.ts'
import { LONGEST_LEASE_MS } from './quota-counter.ts'
import type { QuotaGrant, QuotaName, QuotaReply, QuotaRequest } from './quota-message.ts'
import { VALKEY_EPOCH_SCRIPT, VALKEY_PREFIX, VALKEY_QUOTA_SCRIPT } from './valkey-scripts.ts'

/** What a mesh keeps of the server that it counted with, so that it notices when that lost what was counted. */
export interface KnownRun {
  load(): string
  save(run: string): void
}

export interface ValkeyHooks {
  /** Tells this mesh's nodes from those of others that count with the same server; the same again when it is started anew. */
  readonly mesh: string
  readonly known: KnownRun
  notice(text: string): void
}

/** A command that has no answer after so many milliseconds has failed, and with it its connection. */
const COMMAND_MS = 800
const CONNECT_MS = 2_000
const RECONNECT_MS = [50, 100, 200, 250] as const
/** Commands under way at once; beyond that quota is unavailable. */
const MOST_UNDER_WAY = 256
/** The clocks of two servers of which one takes the other's place, and the moments until each hears of it. */
const SKEW_MS = 1_000
/** On an empty server meshes that knew another one have so long to say so. */
const OPENING_MS = 1_000
const AWAY_MS = 250

/**
 * Leases the limits' requests from a Valkey or Redis server, so that several meshes share them. The server's clock is the authority's. Each
 * connection begins by finding out whether the server still is the one that was counted with (valkey-scripts.ts). What was not heard
 * of was spent: no command is sent twice.
 */
export class ValkeyQuota {
  readonly counters = { asks: 0, unavailable: 0, failed: 0, connected: 0, lost: 0, overflowed: 0 }
  readonly #url: string
  readonly #hooks: ValkeyHooks
  readonly #limits = new Map<string, QuotaLimit>()
  #connection: { redis: Redis; run: string } | null = null
  #underWay = 0
  #tries = 0
  #retry: NodeJS.Timeout | null = null
  #closed = false
  #saidAway = false
  #opened: (() => void)[] = []

  constructor(url: string, hooks: ValkeyHooks) {
    this.#url = url
    this.#hooks = hooks
    void this.#connect()
  }

  /** Resolves once quota is given, or after so many milliseconds. */
  ready(timeoutMs: number): Promise<void> {
    if (this.#connection) return Promise.resolve()
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, timeoutMs)
      this.#opened.push(() => {
        clearTimeout(timer)
        resolve()
      })
    })
  }

  /** Those that are no longer in force are kept as they were: leases of theirs may still be under way. */
  setLimits(limits: readonly QuotaLimit[]): void {
    const inForce = new Set(limits.map(({ id }) => id))
    if (this.#limits.size > 2 * inForce.size + MOST_OLD_LIMITS) {
      for (const id of this.#limits.keys()) if (!inForce.has(id)) this.#limits.delete(id)
    }
    for (const limit of limits) this.#limits.set(limit.id, limit)
  }

  async answer(node: string, request: QuotaRequest): Promise<QuotaReply> {
    const { serial, asks } = request
    this.counters.asks += asks.length
    const unavailable = (): QuotaReply => {
      this.counters.unavailable += asks.length
      return { serial, grants: asks.map((): QuotaGrant => ({ kind: 'unavailable', retryMs: AWAY_MS })) }
    }
    const connection = this.#connection
    if (!connection) return unavailable()
    if (this.#underWay >= MOST_UNDER_WAY) {
      this.counters.overflowed++
      return unavailable()
    }
    const { keys, ops, places } = this.#operations(node, request)
    if (ops.length === 0) return unavailable()
    this.#underWay++
    try {
      const argument = JSON.stringify({ roundTripMs: request.roundTripMs, ops })
      const text = await this.#run(connection, keys, argument)
      const given = JSON.parse(text) as QuotaGrant[]
      const grants = places.map(
        (place) => given[place] ?? ({ kind: 'unavailable', retryMs: AWAY_MS } as const),
      )
      return { serial, grants }
    } catch (error) {
      this.counters.failed++
      this.#lose(connection, (error as Error).message)
      return unavailable()
    } finally {
      this.#underWay--
    }
  }

  close(): void {
    this.#closed = true
    if (this.#retry) clearTimeout(this.#retry)
    this.#connection?.redis.disconnect()
    this.#connection = null
  }

  /** What the script does, in order; `places` is where each ask's grant will be, -1 for one of an unknown limit. */
  #operations(node: string, { settlements, asks }: QuotaRequest) {
    const keys = [`${VALKEY_PREFIX}epoch`]
    const ops: object[] = []
    const push = (name: QuotaName, what: object): boolean => {
      const limit = this.#limits.get(name.limit)
      if (!limit) return false
      const { requests, windowMs, window, burst, maxKeys, scope } = limit
      const key = scope === 'node' ? `${name.key}@${this.#hooks.mesh}/${node}` : name.key
      keys.push(`${VALKEY_PREFIX}c:${name.limit}:${key}`, `${VALKEY_PREFIX}i:${name.limit}`)
      const rule = {
        requests,
        windowMs,
        fixed: window === 'fixed',
        maxKeys,
        ...(burst !== null && { burst }),
      }
      ops.push({ rule, ...what })
      return true
    }
    for (const { until, used, returned, ageMs, ...name } of settlements) {
      push(name, { use: { until, used, returned, ageMs } })
    }
    let place = 0
    const places = asks.map(({ waiting, ahead, ...name }) =>
      push(name, { ask: { waiting, ahead } }) ? place++ : -1,
    )
    return { keys, ops, places }
  }

  #run({ redis, run }: { redis: Redis; run: string }, keys: string[], argument: string): Promise<string> {
    return (redis as unknown as WithScripts).mayflyQuota(keys.length, ...keys, run, argument)
  }

  async #connect(): Promise<void> {
    const redis = new Redis(this.#url, {
      lazyConnect: true,
      // One connection, one epoch: what comes after it is another one.
      retryStrategy: () => null,
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
      commandTimeout: COMMAND_MS,
      connectTimeout: CONNECT_MS,
      connectionName: 'mayfly',
      scripts: {
        mayflyEpoch: { lua: VALKEY_EPOCH_SCRIPT, numberOfKeys: 1 },
        mayflyQuota: { lua: VALKEY_QUOTA_SCRIPT },
      },
    })
    let problem: string | null = null
    redis.on('error', (error) => {
      problem = error.message
    })
    try {
      await redis.connect()
      const run = await this.#greet(redis)
      if (this.#closed) return redis.disconnect()
      const connection = { redis, run }
      redis.once('close', () => this.#lose(connection, 'the connection ended'))
      this.#connection = connection
      this.counters.connected++
      this.#tries = 0
      if (this.#saidAway) this.#hooks.notice(`the state store ${this.#place()} is back`)
      this.#saidAway = false
      for (const opened of this.#opened.splice(0)) opened()
    } catch (error) {
      redis.disconnect()
      // The connection's own error says more than that of the command that it ended.
      this.#again(problem ?? (error as Error).message)
    }
  }

  /** Which run of the server it is, and whether what was counted is still known; resolves when quota may be asked for. */
  async #greet(redis: Redis): Promise<string> {
    const info = await redis.info()
    const run = /^run_id:(\w+)/m.exec(info)?.[1]
    if (run === undefined) throw new Error('it does not say its run_id')
    const policy = /^maxmemory_policy:(\S+)/m.exec(info)?.[1]
    const most = Number(/^maxmemory:(\d+)/m.exec(info)?.[1] ?? 0)
    if (most > 0 && policy !== 'noeviction') {
      throw new Error(
        `its maxmemory-policy is ${policy}, by which counters would be lost unnoticed: set it to noeviction`,
      )
    }
    if (/^role:(?!master)/m.test(info)) throw new Error('it is a replica')
    const known = this.#hooks.known.load()
    const reach = LONGEST_LEASE_MS + SKEW_MS
    const epoch = `${VALKEY_PREFIX}epoch`
    const opensIn = await (redis as unknown as WithScripts).mayflyEpoch(epoch, run, known, reach, OPENING_MS)
    if (known !== '' && known !== run) {
      this.counters.lost++
      this.#hooks.notice(
        `${this.#place()} was started anew: what was counted in the present windows is taken for spent`,
      )
    }
    this.#hooks.known.save(run)
    if (opensIn > 0) await new Promise((resolve) => setTimeout(resolve, opensIn))
    return run
  }

  #lose(connection: { redis: Redis }, why: string): void {
    if (this.#connection !== connection) return
    this.#connection = null
    connection.redis.disconnect()
    this.#again(why)
  }

  #again(why: string): void {
    if (this.#closed || this.#retry) return
    if (!this.#saidAway)
      this.#hooks.notice(`the state store ${this.#place()} is away (${why}): rate limits go by onUnavailable`)
    this.#saidAway = true
    const pause = RECONNECT_MS[Math.min(this.#tries++, RECONNECT_MS.length - 1)]!
    this.#retry = setTimeout(() => {
      this.#retry = null
      void this.#connect()
    }, pause)
  }

  /** Without its password. */
  #place(): string {
    const { protocol, host } = new URL(this.#url)
    return `${protocol}//${host}`
  }
}

const MOST_OLD_LIMITS = 1_024

interface WithScripts {
  mayflyEpoch(epoch: string, run: string, known: string, reachMs: number, openingMs: number): Promise<number>
  mayflyQuota(keyCount: number, ...rest: string[]): Promise<string>
}
