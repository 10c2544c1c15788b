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
}

/** The instances of one revision on another machine, as its node tells of them. */
export class RemoteSet implements InstanceSet {
  readonly spec: FunctionSpec
  readonly revision: string
  readonly #listener: InstanceListener
  readonly #orders: SetOrders
  readonly #instances = new Map<string, LiveInstance>()
  readonly #egressUrls = new Map<string, string>()
  #desired: number | null = null
  #failure: { reason: string; retryAt: number } | null = null
  #draining: PromiseWithResolvers<void> | null = null

  constructor(spec: FunctionSpec, revision: string, listener: InstanceListener, orders: SetOrders) {
    this.spec = spec
    this.revision = revision
    this.#listener = listener
    this.#orders = orders
  }

  instances(): Instance[] {
    return [...this.#instances.values()]
  }

  egressUrl(instance: string): string | null {
    return this.#egressUrls.get(instance) || null
  }

  setDesired(count: number): void {
    if (this.#desired === count || this.#draining) return
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
    const known = this.#instances.get(told.id)
    const instance = known ?? this.#begin(told)
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

  drained(): void {
    this.#draining?.resolve()
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

  #begin({ id, startedAt, pid }: InstanceState): LiveInstance {
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
}
