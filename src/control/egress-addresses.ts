import type { ListenerRole } from '../dataplane/engine-messages.ts'
import { CLOSED, type ListenerPlan, type ListenOutcome } from './listener-plan.ts'

/** Addresses kept ready, so that an instance's start need not wait for one. */
const SPARES = 8
/** Ports of former owners that are remembered, and how often another port is asked for where the system gives one of them. */
const RETIRED = 4_096
const MOST_TRIES = 8

export interface EgressAddress {
  /** The listener's id in the plan. */
  id: string
  port: number
}

/**
 * The address from which each function, and each instance of one, calls others. Who calls is known by that address alone,
 * so it is never given to another one; it is closed when its owner is gone, and its port is not used again for long.
 */
export class EgressAddresses {
  readonly #plan: ListenerPlan
  readonly #host: string
  readonly #notice: (text: string) => void
  readonly #spares: EgressAddress[] = []
  /** Port 0 while the address is being opened. */
  readonly #functions = new Map<string, EgressAddress>()
  readonly #instances = new Map<string, EgressAddress>()
  /** Instances that wait for an address, there having been no spare one. */
  readonly #waiting = new Map<string, Promise<void>>()
  /** Whoever still calls from a former owner's port must not pass for another function; the oldest first. */
  readonly #retired = new Set<number>()
  #serial = 0
  #opening = 0

  constructor(plan: ListenerPlan, host: string, notice: (text: string) => void) {
    this.#plan = plan
    this.#host = host
    this.#notice = notice
  }

  /** Fills the stock of spare addresses. */
  async fill(): Promise<void> {
    const missing = SPARES - this.#spares.length - this.#opening
    await Promise.all(Array.from({ length: Math.max(0, missing) }, () => this.#openSpare()))
  }

  /** Opens the function's own address, in all engines or in one. */
  async openFunction(key: string, engines: 'all' | 'one'): Promise<void> {
    // An id of its own each time: an engine's late answer about a closed address must not count for the next one.
    const address = { id: `egress ${key} ${this.#serial++}`, port: 0 }
    this.#functions.set(key, address)
    await this.#openFor(key, address, { kind: 'egress', caller: key, instance: null }, engines)
  }

  closeFunction(key: string): void {
    this.#close(this.#functions, key)
  }

  /** Gives a new instance its address. Where no spare is left it has to be opened: `instanceReady` says when it is. */
  openInstance(key: string, instance: string): void {
    const role = { kind: 'egress', caller: key, instance } as const
    const spare = this.#spares.pop()
    const address = spare ?? { id: `egress instance ${this.#serial++}`, port: 0 }
    this.#instances.set(instance, address)
    if (spare) this.#plan.assign(spare.id, role)
    else {
      const opened = this.#openFor(instance, address, role, 'all')
      this.#waiting.set(instance, opened)
      void opened.then(() => this.#waiting.delete(instance))
    }
    void this.fill()
  }

  /** Resolves when the instance's address accepts connections, or none can be had. */
  async instanceReady(instance: string): Promise<void> {
    await this.#waiting.get(instance)
  }

  closeInstance(instance: string): void {
    this.#close(this.#instances, instance)
  }

  /** "http://127.0.0.1:40001"; the function's where the instance has none of its own; null where there is none at all. */
  url(key: string, instance: string | null): string | null {
    const own = instance === null ? 0 : this.#instances.get(instance)?.port
    const port = own || this.#functions.get(key)?.port
    return port ? `http://${this.#host}:${port}` : null
  }

  async #openFor(
    owner: string,
    address: EgressAddress,
    role: ListenerRole,
    engines: 'all' | 'one',
  ): Promise<void> {
    const opened = await this.#open(address.id, role, engines)
    if (opened.ok) address.port = opened.port
    else if (opened.failure.code !== CLOSED) {
      this.#notice(`no egress address for ${owner}: ${opened.failure.message}`)
    }
  }

  #close(addresses: Map<string, EgressAddress>, owner: string): void {
    const address = addresses.get(owner)
    if (!address) return
    addresses.delete(owner)
    if (address.port !== 0) this.#retire(address.port)
    this.#plan.close(address.id)
  }

  async #openSpare(): Promise<void> {
    const id = `egress spare ${this.#serial++}`
    this.#opening++
    const opened = await this.#open(id, { kind: 'spare' }, 'all')
    this.#opening--
    if (opened.ok) this.#spares.push({ id, port: opened.port })
    else this.#notice(`no spare egress address: ${opened.failure.message}`)
  }

  async #open(id: string, role: ListenerRole, engines: 'all' | 'one'): Promise<ListenOutcome> {
    for (let tries = 0; tries < MOST_TRIES; tries++) {
      const opened = await this.#plan.open(id, this.#host, 0, role, engines)
      if (!opened.ok || !this.#retired.has(opened.port)) return opened
      this.#plan.close(id)
    }
    return { ok: false, failure: { code: 'EADDRINUSE', message: 'every port on offer was in use lately' } }
  }

  #retire(port: number): void {
    this.#retired.add(port)
    const [oldest] = this.#retired
    if (this.#retired.size > RETIRED) this.#retired.delete(oldest!)
  }
}
