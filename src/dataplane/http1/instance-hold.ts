import type { Socket } from 'node:net'
import { FAILURE_TIMEOUT } from '../../sidecar/layout/retry.ts'
import type { Endpoint, Waiter, WaitRefusal } from '../endpoint-set.ts'
import type { EngineContext } from '../engine-context.ts'
import type { EndpointSource } from '../hosted-instances.ts'
import type { Choice } from '../instance-choice.ts'
import type { NodeLink } from '../node-link.ts'
import type { Outcome } from '../outlier-detector.ts'
import { connectFailed, noInstance, type Refusal } from '../refusal.ts'
import { UpstreamConnection, type UpstreamLimits, type UpstreamUser } from '../upstream-connection.ts'

/** Instances tried one after the other while none accepts a connection, where no retry policy says otherwise. */
const MAX_CONNECT_ATTEMPTS = 3

/** The exchange for which an instance is held. */
export interface HoldUser extends UpstreamUser {
  /** There is an instance; `connect` makes or takes a connection to it. */
  instanceGranted(endpoint: Endpoint): void
  /** There is none, for now or at all. */
  instanceRefused(refusal: Refusal): void
}

/** One exchange's hold on an instance: the wait for it, the connection to it, and giving both back. */
export class InstanceHold implements Waiter {
  readonly #engine: EngineContext
  readonly #source: EndpointSource
  readonly #linkTo: (endpoint: Endpoint) => NodeLink | null
  readonly #user: HoldUser
  choice: Choice | null
  #endpoint: Endpoint | null = null
  #upstream: UpstreamConnection | null = null
  #attempts = 0
  #timer: NodeJS.Timeout | null = null
  /** As what it counts in its circuit. */
  #counts: 'pending' | 'active' | null = null

  /** `linkTo` gives the link to an instance on another node; null for one on this node. */
  constructor(
    engine: EngineContext,
    source: EndpointSource,
    linkTo: (endpoint: Endpoint) => NodeLink | null,
    choice: Choice | null,
    user: HoldUser,
  ) {
    this.#engine = engine
    this.#source = source
    this.#linkTo = linkTo
    this.choice = choice
    this.#user = user
  }

  /** The instance that was granted; null where there is none. */
  get endpoint(): Endpoint | null {
    return this.#endpoint
  }

  /** From now on others are preferred to these. */
  avoid(tried: ReadonlySet<Endpoint> | null): void {
    if (this.choice) this.choice = { ...this.choice, tried }
  }

  acquire(): void {
    this.#count('pending')
    this.#source.acquire(this)
  }

  acquireAfter(ms: number): void {
    this.#timer = setTimeout(() => {
      this.#timer = null
      this.acquire()
    }, ms)
  }

  /** Gives up the wait. */
  cancel(): void {
    if (this.#timer) clearTimeout(this.#timer)
    this.#timer = null
    this.#source.cancel(this)
  }

  /** The connection to the instance; null where there is none. */
  get socket(): Socket | null {
    return this.#upstream === null ? null : this.#upstream.socket
  }

  granted(endpoint: Endpoint): void {
    this.#endpoint = endpoint
    this.#user.instanceGranted(endpoint)
  }

  /** Takes or makes a connection to the instance that was granted. */
  connect(): void {
    const endpoint = this.#endpoint!
    this.#upstream = UpstreamConnection.take(endpoint, this.#user, this.#limits(true), this.#linkTo(endpoint))
    if (this.#upstream.connected) this.#user.upstreamConnected()
  }

  refused(why: WaitRefusal): void {
    this.#count(null)
    if (why.kind === 'queue-full') this.#engine.counters.queueFull++
    if (why.kind === 'failing') this.#engine.counters.startsFailed++
    if (why.kind === 'unhealthy') this.#engine.counters.noneHealthy++
    this.#user.instanceRefused(noInstance(why, Date.now()))
  }

  /** There is a connection, and the request begins to go out. */
  connected(): void {
    this.#count('active')
    this.#note({ kind: 'connected' })
  }

  /** The instance answers with this status. */
  answered(status: number): void {
    this.#note({ kind: 'status', status })
  }

  /** The attempt has come to nothing (FAILURE_*). */
  failed(failure: number): void {
    this.#note(failure === FAILURE_TIMEOUT ? { kind: 'timed-out' } : { kind: 'failed' })
  }

  /** The connection has ended; true where it had served other requests and the instance may have one again. */
  lost(): boolean {
    const uses = this.#upstream?.uses ?? 0
    this.#upstream = null
    return uses > 0 && this.#endpoint !== null && !this.#endpoint.gone
  }

  /** Ends the connection. */
  lose(): void {
    this.#upstream?.destroy()
    this.#upstream = null
  }

  /** The connection was not made: waits for another instance, or says that there is none. */
  connectFailed(error: NodeJS.ErrnoException | null): void {
    const endpoint = this.#endpoint!
    this.#endpoint = null
    if (++this.#attempts < MAX_CONNECT_ATTEMPTS) return this.#source.refused(endpoint, this)
    this.#count(null)
    this.#source.release(endpoint, this)
    this.#user.instanceRefused(connectFailed(error?.code ?? 'closed'))
  }

  /** The same, where a retry policy says what comes of it. */
  turnedDown(): void {
    const endpoint = this.#endpoint!
    this.#endpoint = null
    this.#count(null)
    this.#source.turnedDown(endpoint, this)
  }

  /** Gives all back; `reusable` where the connection may carry another request. */
  release(reusable: boolean): void {
    this.#count(null)
    const upstream = this.#upstream
    const endpoint = this.#endpoint
    this.#upstream = null
    this.#endpoint = null
    if (reusable) upstream?.release(this.#limits(false))
    else upstream?.destroy()
    if (endpoint) this.#source.release(endpoint, this)
  }

  /** `opens`: a connection may have to be opened, for which an idle one elsewhere gives way where their number is bounded. */
  #limits(opens: boolean): UpstreamLimits {
    const { limits } = this.#engine.mesh
    const circuit = this.choice?.circuit
    if (!circuit) return limits
    const { maxConnections } = circuit.settings.pool
    if (opens && maxConnections !== null && this.#endpoint!.idle.length === 0)
      this.#source.trimIdle(maxConnections - circuit.connections)
    return circuit.upstreamLimits(limits)
  }

  #note(outcome: Outcome): void {
    const circuit = this.choice?.circuit
    if (circuit && this.#endpoint) this.#source.note(this.#endpoint, circuit, outcome)
  }

  #count(as: 'pending' | 'active' | null): void {
    const circuit = this.choice?.circuit
    if (!circuit || as === this.#counts) return
    if (this.#counts) circuit[this.#counts]--
    if (as) circuit[as]++
    this.#counts = as
  }
}
