import { setTimeout as pause } from 'node:timers/promises'
import { ConnectError } from '@connectrpc/connect'
import { type Leadership, type LeadershipEvents, standsBy } from './leadership.ts'
import { LeaseRenewal } from './lease-renewal.ts'
import type { KeyValue } from './proto/etcd/etcd_pb.js'
import type { EtcdClient, EtcdOptions } from './store/etcd-client.ts'
import type { Fence, Permission } from './store/etcd-commits.ts'
import { bytesOf, createdAt, EtcdLayout, read, textOf } from './store/etcd-layout.ts'
import { keyValues } from './store/etcd-reads.ts'
import { StoreError } from './store/store.ts'

export interface LeaseLeadershipOptions {
  client: EtcdClient
  /** What the client was made of: another thread renews by one of its own. */
  etcd: EtcdOptions
  prefix: string
  /** Seconds without a sign of life after which another may lead; etcd takes no less than 2. */
  ttl?: number
  /** It gives up to lead where its thread is busy with one thing for longer, in milliseconds. */
  mostSilentMs?: number
  notice(text: string): void
}

const TTL = 3
const MOST_SILENT_MS = 15_000
/** How often one that stands by looks whether somebody leads, in milliseconds. */
const LOOK_MS = 250
/** After it failed to begin to lead, in milliseconds. */
const FAILED_MS = 1_000

/**
 * Who has put PREFIX/leader into etcd leads, for as long as the lease lives that the key hangs on. By its own clock it ceases
 * to before etcd can let anybody else; and each of its commits is on condition that the key is still the same, so that one
 * that slept through the end of its time writes nothing any more.
 */
export class LeaseLeadership implements Leadership {
  readonly #client: EtcdClient
  readonly #key: string
  readonly #ttl: number
  readonly #notice: (text: string) => void
  readonly #closed = new AbortController()
  #running: Promise<void> = Promise.resolve()
  #lease = 0n
  #fence: Fence | null = null
  readonly #renewal: LeaseRenewal
  /** Aborts when the present term of leading is over. */
  #term = new AbortController()
  #leader: string | null = null
  #problem: string | null = null
  /** Why this one strives to lead no more. */
  #retired: string | null = null

  constructor(options: LeaseLeadershipOptions) {
    const { client, etcd, prefix, ttl = TTL, mostSilentMs = MOST_SILENT_MS, notice } = options
    this.#client = client
    this.#key = new EtcdLayout(prefix).leader
    this.#ttl = ttl
    this.#notice = notice
    this.#renewal = new LeaseRenewal(
      { etcd, ttl, mostSilentMs },
      { ended: (why) => this.#over(why), problem: (text) => this.#tellProblem(text) },
    )
  }

  get leads(): boolean {
    return this.#fence !== null && this.#renewal.leftMs > 0
  }

  get leader(): string | null {
    return this.#leader
  }

  get problem(): string | null {
    return this.#retired ?? this.#problem
  }

  /** For the store: whether a commit may be tried, and the fence that etcd holds it to. */
  permission(): Permission {
    if (this.#fence !== null && this.leads) return { ok: true, fence: this.#fence }
    if (this.#retired !== null) return { ok: false, reason: this.#retired }
    return { ok: false, reason: standsBy(this.#fence === null ? this.#leader : null) }
  }

  /** For the store: a commit found the fence gone. */
  fenced(): void {
    this.#term.abort()
  }

  /** For the store: this process may write to it no more, so another should lead. */
  retire(why: string): void {
    if (this.#retired === null) this.#notice(why)
    this.#retired = why
    this.#term.abort()
  }

  async begin(server: string, events: LeadershipEvents): Promise<void> {
    const first = Promise.withResolvers<void>()
    this.#running = this.#run(server, events, () => first.resolve())
    await first.promise
  }

  async close(): Promise<void> {
    this.#closed.abort()
    this.#term.abort()
    await this.#running
    await this.#renewal.close()
  }

  async #run(server: string, events: LeadershipEvents, known: () => void): Promise<void> {
    while (!this.#closed.signal.aborted) {
      const won = this.#retired === null && (await this.#tryToWin(server))
      if (won) await this.#lead(server, events, known)
      else known()
      await pause(LOOK_MS, undefined, { signal: this.#closed.signal }).catch(() => {})
    }
    known()
  }

  /** One look, and one try where nobody leads. */
  async #tryToWin(server: string): Promise<boolean> {
    try {
      const answer = await this.#client.call(({ kv }, options) =>
        kv.txn({ success: [read(this.#key)] }, options),
      )
      const [there] = keyValues(answer)
      if (there) return this.#seen(there)
      const begun = process.hrtime.bigint()
      const { ID, TTL: ttl } = await this.#client.call(({ lease }, options) =>
        lease.leaseGrant({ TTL: BigInt(this.#ttl) }, options),
      )
      this.#lease = ID
      this.#renewal.granted(begun, ttl)
      const value = bytesOf(JSON.stringify({ server }))
      const put = {
        request: { case: 'requestPut' as const, value: { key: bytesOf(this.#key), value, lease: ID } },
      }
      const campaign = { compare: [createdAt(this.#key, 0)], success: [put], failure: [read(this.#key)] }
      const { succeeded, header } = await this.#client.call(({ kv }, options) => kv.txn(campaign, options))
      this.#problem = null
      // Where it failed the key is there: perhaps by a try of our own whose answer was lost. The next look tells.
      if (succeeded) this.#fence = { key: this.#key, created: Number(header!.revision) }
      return succeeded
    } catch (error) {
      this.#fails(error)
      return false
    }
  }

  /** Somebody leads; where it is this one, by a try whose answer was lost, true. */
  #seen(there: KeyValue): boolean {
    this.#problem = null
    this.#leader = (JSON.parse(textOf(there.value)) as { server: string }).server
    if (there.lease !== this.#lease || this.#renewal.leftMs <= 0) return false
    this.#fence = { key: this.#key, created: Number(there.createRevision) }
    return true
  }

  /** Leads until the lease is lost, the fence is gone, or this one is closed. */
  async #lead(server: string, { gained, lost }: LeadershipEvents, known: () => void): Promise<void> {
    this.#leader = server
    this.#term = new AbortController()
    const { signal } = this.#term
    if (this.#closed.signal.aborted) this.#term.abort()
    this.#renewal.begin(this.#lease)
    const over = this.#untilOver(signal)
    let failed = false
    try {
      await gained()
      this.#notice('this control plane leads')
    } catch (error) {
      failed = true
      this.#notice(`it cannot lead: ${(error as Error).message}`)
      this.#term.abort()
    }
    known()
    await over
    this.#renewal.stop()
    this.#fence = null
    this.#leader = null
    lost()
    // Where etcd can be reached nobody has to wait for the lease's end.
    const lease = this.#lease
    this.#lease = 0n
    await this.#client
      .call(({ lease: leases }, options) => leases.leaseRevoke({ ID: lease }, options), 500)
      .catch(() => {})
    if (failed) await pause(FAILED_MS, undefined, { signal: this.#closed.signal }).catch(() => {})
  }

  /** Resolves when the lease is over by this one's own clock, or `signal` aborts. */
  async #untilOver(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const { leftMs } = this.#renewal
      if (leftMs <= 0) return this.#over('its time to lead is over: it could not be renewed')
      await pause(leftMs, undefined, { signal }).catch(() => {})
    }
  }

  #over(why: string): void {
    if (this.#term.signal.aborted) return
    this.#notice(why)
    this.#term.abort()
  }

  #fails(error: unknown): void {
    this.#tellProblem(
      error instanceof StoreError ? error.message : `etcd: ${ConnectError.from(error).rawMessage}`,
    )
  }

  #tellProblem(text: string | null): void {
    if (text !== null && this.#problem === null && !this.#closed.signal.aborted) this.#notice(text)
    this.#problem = text
  }
}
