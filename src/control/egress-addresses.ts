import type { ListenerRole } from '../dataplane/engine-messages.ts'
import { CLOSED, type ListenerPlan, type ListenOutcome } from './listener-plan.ts'

/** Addresses kept ready, so that an instance's start need not wait for one. */
const SPARES = 8
/** Ports of former owners that are remembered, and how often another port is asked for where the system gives one of them. */
const RETIRED = 4_096
const MOST_TRIES = 8

export interface EgressAddress<Place> {
  /** The listener's id in the plan. */
  id: string
  port: number
  place: Place | null
}

/** Where an address can be opened. */
export interface EgressPlace {
  readonly host: string
  /** 0: at any port that is free there. */
  readonly port: number
  /** The address is closed for good. */
  release(): void
}

export type PlaceOutcome<Place> = { ok: true; place: Place } | { ok: false; problem: string }

export type PlaceSource<Place> = () => Promise<PlaceOutcome<Place>>

/**
 * The address from which each function, and each instance of one, calls others. Who calls is known by that address alone,
 * so it is never given to another one; it is closed when its owner is gone, and its port is not used again for long.
 */
export class EgressAddresses<Place extends EgressPlace = EgressPlace> {
  readonly #plan: ListenerPlan
  readonly #places: PlaceSource<Place>
  readonly #notice: (text: string) => void
  readonly #spares: EgressAddress<Place>[] = []
  /** Port 0 while the address is being opened. */
  readonly #functions = new Map<string, EgressAddress<Place>>()
  readonly #instances = new Map<string, EgressAddress<Place>>()
  /** Instances that wait for an address, there having been no spare one. */
  readonly #waiting = new Map<string, Promise<void>>()
  /** Whoever still calls from a former owner's port must not pass for another function; the oldest first. */
  readonly #retired = new Set<number>()
  #serial = 0
  #opening = 0

  /** `places`: a host, at which each address has a port of its own, or what finds a place for each. */
  constructor(plan: ListenerPlan, places: string | PlaceSource<Place>, notice: (text: string) => void) {
    this.#plan = plan
    this.#places = typeof places === 'string' ? (placesAt(places) as PlaceSource<never>) : places
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
    const address = { id: `egress ${key} ${this.#serial++}`, port: 0, place: null }
    this.#functions.set(key, address)
    await this.#openFor(
      this.#functions,
      key,
      address,
      { kind: 'egress', caller: key, instance: null },
      engines,
    )
  }

  closeFunction(key: string): void {
    this.#close(this.#functions, key)
  }

  /** Gives a new instance its address. Where no spare is left it has to be opened: `instanceReady` says when it is. */
  openInstance(key: string, instance: string): void {
    const role = { kind: 'egress', caller: key, instance } as const
    const spare = this.#spares.pop()
    const address = spare ?? { id: `egress instance ${this.#serial++}`, port: 0, place: null }
    this.#instances.set(instance, address)
    if (spare) this.#plan.assign(spare.id, role)
    else {
      const opened = this.#openFor(this.#instances, instance, address, role, 'all')
      this.#waiting.set(instance, opened)
      void opened.then(() => this.#waiting.delete(instance))
    }
    void this.fill()
  }

  /** Resolves when the instance's address accepts connections, or none can be had. */
  async instanceReady(instance: string): Promise<void> {
    await this.#waiting.get(instance)
  }

  /** Where the instance's address is; null while it is not open. */
  placeOf(instance: string): Place | null {
    return this.#instances.get(instance)?.place ?? null
  }

  closeInstance(instance: string): void {
    this.#close(this.#instances, instance)
  }

  /** "http://127.0.0.1:40001"; the function's where the instance has none of its own; null where there is none at all. */
  url(key: string, instance: string | null): string | null {
    const own = instance === null ? undefined : this.#instances.get(instance)
    const address = own?.place ? own : this.#functions.get(key)
    return address?.place ? `http://${address.place.host}:${address.port}` : null
  }

  async #openFor(
    owners: Map<string, EgressAddress<Place>>,
    owner: string,
    address: EgressAddress<Place>,
    role: ListenerRole,
    engines: 'all' | 'one',
  ): Promise<void> {
    const opened = await this.#open(address.id, role, engines, () => owners.get(owner) === address)
    if (opened.ok) Object.assign(address, { port: opened.port, place: opened.place })
    else if (opened.problem !== null) this.#notice(`no egress address for ${owner}: ${opened.problem}`)
  }

  #close(addresses: Map<string, EgressAddress<Place>>, owner: string): void {
    const address = addresses.get(owner)
    if (!address) return
    addresses.delete(owner)
    if (address.place?.port === 0) this.#retire(address.port)
    this.#plan.close(address.id)
    address.place?.release()
  }

  async #openSpare(): Promise<void> {
    const id = `egress spare ${this.#serial++}`
    this.#opening++
    const opened = await this.#open(id, { kind: 'spare' }, 'all', () => true)
    this.#opening--
    if (opened.ok) this.#spares.push({ id, port: opened.port, place: opened.place })
    else this.#notice(`no spare egress address: ${opened.problem}`)
  }

  /** Opens an address at a new place. A problem of null: nobody wants it any more. */
  async #open(
    id: string,
    role: ListenerRole,
    engines: 'all' | 'one',
    isWanted: () => boolean,
  ): Promise<{ ok: true; place: Place; port: number } | { ok: false; problem: string | null }> {
    const found = await this.#places()
    if (!found.ok) return found
    const { place } = found
    const opened: ListenOutcome = isWanted() ? await this.#listen(id, place, role, engines) : GIVEN_UP
    if (opened.ok && isWanted()) return { ok: true, place, port: opened.port }
    this.#plan.close(id)
    place.release()
    if (opened.ok || opened.failure.code === CLOSED) return { ok: false, problem: null }
    return { ok: false, problem: opened.failure.message }
  }

  async #listen(
    id: string,
    { host, port }: Place,
    role: ListenerRole,
    engines: 'all' | 'one',
  ): Promise<ListenOutcome> {
    for (let tries = 0; tries < MOST_TRIES; tries++) {
      const opened = await this.#plan.open(id, host, port, role, engines)
      if (port !== 0 || !opened.ok || !this.#retired.has(opened.port)) return opened
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

function placesAt(host: string): PlaceSource<EgressPlace> {
  const place = { host, port: 0, release() {} }
  return async () => ({ ok: true, place })
}

const GIVEN_UP: ListenOutcome = { ok: false, failure: { code: CLOSED, message: 'it was closed' } }
