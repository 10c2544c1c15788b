import type { FunctionSpec } from '../../api/function-spec.ts'
import type { Instance, InstanceListener, LiveInstance } from '../../runtime/instance.ts'
import type { InstanceSet } from '../../runtime/instance-set.ts'
import type { InstanceState } from '../proto/mayfly/v1/nodes_pb.js'

/** What a set asks of the node on which its instances are. */
export interface SetOrders {
  setDesired(count: number): void
  drain(): void
  /** No engine uses the instance any more. */
  drained(instance: string): void
  /** Whether an id is another node's instance. */
  isTaken(instance: string): boolean
  /** The node told of an instance that it was never asked for. */
  refused(): void
}

/** A node may have as many instances as it was asked for within this time: orders and reports cross. In milliseconds. */
const ASKED_MS = 60_000

/** The instances of one revision on another machine, as its node tells of them. */
export class RemoteSet implements InstanceSet {
  readonly spec: FunctionSpec
  readonly revision: string
  readonly #listener: InstanceListener
  readonly #orders: SetOrders
  readonly #instances = new Map<string, LiveInstance>()
  readonly #egressUrls = new Map<string, string>()
  #desired: number | null = null
  /** As many were asked for until then. */
  #asked: { count: number; until: number }
  #failure: { reason: string; retryAt: number } | null = null
  #draining: PromiseWithResolvers<void> | null = null

  /** `found` ran on the node before anybody asked it for them. */
  constructor(
    spec: FunctionSpec,
    revision: string,
    listener: InstanceListener,
    orders: SetOrders,
    found = 0,
  ) {
    this.spec = spec
    this.revision = revision
    this.#listener = listener
    this.#orders = orders
    this.#asked = { count: found, until: Date.now() + ASKED_MS }
  }

  instances(): Instance[] {
    return [...this.#instances.values()]
  }

  egressUrl(instance: string): string | null {
    return this.#egressUrls.get(instance) || null
  }

  setDesired(count: number): void {
    if (this.#desired === count || this.#draining) return
    this.#asked = { count: this.#most(), until: Date.now() + ASKED_MS }
    this.#desired = count
    this.#orders.setDesired(count)
  }

  failure(): { reason: string; retryAt: number } | null {
    return this.#failure
  }

  drain(): Promise<void> {
    if (!this.#draining) {
      this.#draining = Promise.withResolvers()
      this.#orders.drain()
    }
    return this.#draining.promise
  }

  /** Says again what the node may not have heard. */
  repeat(): void {
    if (this.#draining) this.#orders.drain()
    else if (this.#desired !== null) this.#orders.setDesired(this.#desired)
  }

  // ---- what the node tells ----

  state(told: InstanceState): void {
    const instance = this.#instances.get(told.id) ?? this.#begin(told)
    if (!instance) {
      // Nobody sends it anything, so it may end.
      if (told.state === 'stopping') this.#orders.drained(told.id)
      return
    }
    if (told.egressUrl !== '') this.#egressUrls.set(told.id, told.egressUrl)
    if (told.pid !== 0) instance.pid = told.pid
    const before = instance.state
    if (told.state === 'ready' && before === 'starting') {
      instance.state = 'ready'
      instance.address = { host: told.host, port: told.port }
      instance.readyAfterMs = told.readyAfterMs < 0 ? null : told.readyAfterMs
      this.#failure = null
      this.#listener.ready(instance)
    } else if (told.state === 'stopping' && before !== 'stopping') {
      instance.state = 'stopping'
      void Promise.resolve(this.#listener.stopping?.(instance)).then(() => this.#orders.drained(told.id))
    }
  }

  gone(id: string, why: string): void {
    const instance = this.#instances.get(id)
    if (!instance) return
    this.#instances.delete(id)
    this.#egressUrls.delete(id)
    instance.state = 'gone'
    this.#listener.gone(instance, why)
  }

  failed(reason: string, retryAt: number): void {
    this.#failure = { reason, retryAt }
    this.#listener.failed(reason, retryAt)
  }

  /** False where nobody asked it to be drained. */
  drained(): boolean {
    this.#draining?.resolve()
    return this.#draining !== null
  }

  /** Of the instances that were known the node has only these left. */
  keepOnly(ids: ReadonlySet<string>): void {
    for (const id of [...this.#instances.keys()])
      if (!ids.has(id)) this.gone(id, 'it ended while its node was out of reach')
  }

  /** The node is lost. */
  lost(): void {
    for (const id of [...this.#instances.keys()]) this.gone(id, 'its node is lost')
    this.drained()
  }

  /** An instance that the node is to have; null for one more than it was asked for, or another node's. */
  #begin({ id, startedAt, pid }: InstanceState): LiveInstance | null {
    const live = this.instances().filter(({ state }) => state !== 'stopping').length
    if (live >= this.#most() || this.#orders.isTaken(id)) {
      this.#orders.refused()
      return null
    }
    const instance: LiveInstance = {
      id,
      function: this.spec.key,
      revision: this.revision,
      address: { host: '127.0.0.1', port: 0 },
      state: 'starting',
      pid: pid || null,
      startedAt,
      readyAfterMs: null,
    }
    this.#instances.set(id, instance)
    this.#listener.starting?.(instance)
    return instance
  }

  #most(): number {
    const { count, until } = this.#asked
    const asked = Math.max(this.#desired ?? 0, Date.now() < until ? count : 0)
    // Servers that others run are all there or none.
    const { image } = this.spec
    return image.kind === 'endpoint' ? Math.min(1, asked) * image.addresses.length : asked
  }
}
