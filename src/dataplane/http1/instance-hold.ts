import type { Socket } from 'node:net'
import type { Endpoint, EndpointSet, Waiter, WaitRefusal } from '../endpoint-set.ts'
import type { EngineContext } from '../engine-context.ts'
import type { Choice } from '../instance-choice.ts'
import { connectFailed, noInstance, type Refusal } from '../refusal.ts'
import { UpstreamConnection, type UpstreamUser } from '../upstream-connection.ts'

/** Instances tried one after the other while none accepts a connection. */
const MAX_CONNECT_ATTEMPTS = 3

/** The exchange for which an instance is held. */
export interface HoldUser extends UpstreamUser {
  /** There is an instance; a connection to it is being made, or taken. */
  instanceGranted(endpoint: Endpoint): void
  /** There is none, for now or at all. */
  instanceRefused(refusal: Refusal): void
}

/** One exchange's hold on an instance: the wait for it, the connection to it, and giving both back. */
export class InstanceHold implements Waiter {
  readonly #engine: EngineContext
  readonly #endpoints: EndpointSet
  readonly #user: HoldUser
  #endpoint: Endpoint | null = null
  #upstream: UpstreamConnection | null = null
  #attempts = 0
  choice: Choice | null = null

  constructor(engine: EngineContext, endpoints: EndpointSet, user: HoldUser) {
    this.#engine = engine
    this.#endpoints = endpoints
    this.#user = user
  }

  acquire(): void {
    this.#endpoints.acquire(this)
  }

  /** Gives up the wait. */
  cancel(): void {
    this.#endpoints.cancel(this)
  }

  /** The connection to the instance; null where there is none. */
  get socket(): Socket | null {
    return this.#upstream === null ? null : this.#upstream.socket
  }

  granted(endpoint: Endpoint): void {
    this.#endpoint = endpoint
    this.#user.instanceGranted(endpoint)
    this.#upstream = UpstreamConnection.take(endpoint, this.#user, this.#engine.mesh.limits)
    if (this.#upstream.connected) this.#user.upstreamConnected()
  }

  refused(why: WaitRefusal): void {
    if (why.kind === 'queue-full') this.#engine.counters.queueFull++
    if (why.kind === 'failing') this.#engine.counters.startsFailed++
    this.#user.instanceRefused(noInstance(why, Date.now()))
  }

  /** The connection has ended; true where it had served other requests and the instance may have one again. */
  lost(): boolean {
    const uses = this.#upstream?.uses ?? 0
    this.#upstream = null
    return uses > 0 && this.#endpoint !== null && !this.#endpoint.gone
  }

  /** Another connection to the same instance. */
  reconnect(): void {
    this.granted(this.#endpoint!)
  }

  /** The connection was not made: waits for another instance, or says that there is none. */
  connectFailed(error: NodeJS.ErrnoException | null): void {
    const endpoint = this.#endpoint!
    this.#engine.counters.upstreamConnectFailed++
    this.#endpoint = null
    if (++this.#attempts < MAX_CONNECT_ATTEMPTS) return this.#endpoints.refused(endpoint, this)
    this.#endpoints.release(endpoint, this)
    this.#user.instanceRefused(connectFailed(error?.code ?? 'closed'))
  }

  /** Gives all back; `reusable` where the connection may carry another request. */
  release(reusable: boolean): void {
    const upstream = this.#upstream
    this.#upstream = null
    if (reusable) upstream?.release(this.#engine.mesh.limits)
    else upstream?.destroy()
    if (this.#endpoint) this.#endpoints.release(this.#endpoint, this)
  }
}
