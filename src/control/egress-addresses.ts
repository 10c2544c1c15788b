import type { ListenerRole } from '../dataplane/engine-messages.ts'
import { CLOSED, type ListenerPlan, type ListenOutcome } from './listener-plan.ts'

/** Addresses kept ready, so that an instance's start does not wait for one. */
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
  readonly #functions = new Map<string, number>()
  readonly #instances = new Map<string, EgressAddress>()
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
    const role = { kind: 'egress', caller: key, instance: null } as const
    const opened = await this.#open(functionListener(key), role, engines)
    if (opened.ok) this.#functions.set(key, opened.port)
    else if (opened.failure.code !== CLOSED) {
      this.#notice(`no egress address for ${key}: ${opened.failure.message}`)
    }
  }

  closeFunction(key: string): void {
    const port = this.#functions.get(key)
    if (port !== undefined) this.#retire(port)
    this.#functions.delete(key)
    this.#plan.close(functionListener(key))
  }

  /** Gives a new instance its address; where no spare is left, the instance uses its function's. */
  openInstance(key: string, instance: string): void {
    const spare = this.#spares.pop()
    if (spare) {
      this.#plan.assign(spare.id, { kind: 'egress', caller: key, instance })
      this.#instances.set(instance, spare)
    }
    void this.fill()
  }

  closeInstance(instance: string): void {
    const address = this.#instances.get(instance)
    if (!address) return
    this.#instances.delete(instance)
    this.#retire(address.port)
    this.#plan.close(address.id)
  }

  /** "http://127.0.0.1:40001", or null where there is none. */
  url(key: string, instance: string | null): string | null {
    const own = instance === null ? undefined : this.#instances.get(instance)?.port
    const port = own ?? this.#functions.get(key)
    return port === undefined ? null : `http://${this.#host}:${port}`
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

function functionListener(key: string): string {
  return `egress ${key}`
}
