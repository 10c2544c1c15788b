import { CLOSED, type ListenerPlan } from './listener-plan.ts'

/** Addresses kept ready, so that an instance's start does not wait for one. */
const SPARES = 8

export interface EgressAddress {
  /** The listener's id in the plan. */
  id: string
  port: number
}

/**
 * The address from which each function, and each instance of one, calls others. Who calls is known by that address alone,
 * so it is never given to another one; it is closed when its owner is gone.
 */
export class EgressAddresses {
  readonly #plan: ListenerPlan
  readonly #host: string
  readonly #notice: (text: string) => void
  readonly #spares: EgressAddress[] = []
  readonly #functions = new Map<string, number>()
  readonly #instances = new Map<string, EgressAddress>()
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
    const opened = await this.#plan.open(functionListener(key), this.#host, 0, role, engines)
    if (opened.ok) this.#functions.set(key, opened.port)
    else if (opened.failure.code !== CLOSED) {
      this.#notice(`no egress address for ${key}: ${opened.failure.message}`)
    }
  }

  closeFunction(key: string): void {
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
    this.#instances.delete(instance)
    if (address) this.#plan.close(address.id)
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
    const opened = await this.#plan.open(id, this.#host, 0, { kind: 'spare' })
    this.#opening--
    if (opened.ok) this.#spares.push({ id, port: opened.port })
    else this.#notice(`no spare egress address: ${opened.failure.message}`)
  }
}

function functionListener(key: string): string {
  return `egress ${key}`
}
