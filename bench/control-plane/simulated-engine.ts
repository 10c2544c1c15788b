import type { EndpointSlice, FromEngine, ToEngine } from '../../src/dataplane/engine-messages.ts'

/** How often an engine reports what is in flight, as real ones do. In milliseconds. */
const TICK_MS = 100

type Asked = {
  waiting: number
  inFlight: number
  begun: number
  /** Requests that may be in flight at its instances, by instance. */
  slots: Map<string, number>
  /** What to tell of each waiting request once it has an instance. */
  served: (() => void)[]
}

/** An engine as its control plane sees it: it asks for functions, says what waits, and gives slots back. */
export class SimulatedEngine {
  readonly name: string
  readonly #domain: string
  readonly #say: (message: FromEngine) => void
  readonly #known: ReadonlySet<string>
  readonly #functions = new Map<string, Asked>()
  readonly #active = new Set<string>()
  readonly #timer: NodeJS.Timeout

  /** `known`: the functions that its node was told of. */
  constructor(name: string, domain: string, known: ReadonlySet<string>, say: (message: FromEngine) => void) {
    this.name = name
    this.#domain = domain
    this.#known = known
    this.#say = say
    this.#timer = setInterval(() => this.#report([...this.#active]), TICK_MS)
  }

  /** A request comes in at the gateway; `served` is called once it has an instance. It stays in flight until `release`. */
  request(key: string, served: () => void): void {
    const asked = this.#of(key)
    asked.waiting++
    asked.begun++
    asked.served.push(served)
    if (this.#known.has(key)) return this.#serve(key, asked)
    const [namespace, name] = key.split('/')
    this.#say({ type: 'function-wanted', key: null, host: `${name}.${namespace}.${this.#domain}` })
  }

  /** A request has its answer. */
  release(key: string): void {
    const asked = this.#of(key)
    asked.inFlight--
    this.#active.add(key)
  }

  told(message: ToEngine): void {
    if (message.type === 'functions') {
      for (const { key } of message.upsert) {
        const asked = this.#functions.get(key)
        if (asked && asked.waiting > 0) this.#serve(key, asked)
      }
    } else if (message.type === 'endpoints') this.#endpoints(message.key, message.endpoints)
  }

  close(): void {
    clearInterval(this.#timer)
  }

  #endpoints(key: string, endpoints: readonly EndpointSlice[]): void {
    const asked = this.#of(key)
    const before = asked.slots
    asked.slots = new Map(endpoints.map(({ id, slots }) => [id, slots ?? Number.POSITIVE_INFINITY]))
    for (const [id, slots] of asked.slots) {
      if (slots < (before.get(id) ?? 0)) this.#say({ type: 'returned', key, endpoint: id, slots })
    }
    this.#take(asked)
  }

  /** What waits takes a slot, or says at once that it waits. */
  #serve(key: string, asked: Asked): void {
    this.#take(asked)
    // As real engines do, at the end of the turn: what came along may have served it.
    if (asked.waiting > 0)
      setImmediate(() => {
        if (asked.waiting > 0) this.#report([key])
      })
  }

  #take(asked: Asked): void {
    let free = -asked.inFlight
    for (const slots of asked.slots.values()) free += slots
    for (; free > 0 && asked.waiting > 0; free--) {
      asked.waiting--
      asked.inFlight++
      asked.served.shift()!()
    }
  }

  #report(keys: readonly string[]): void {
    const reports = keys.map((key) => {
      const asked = this.#of(key)
      const { waiting, inFlight, begun } = asked
      asked.begun = 0
      if (waiting + inFlight === 0) this.#active.delete(key)
      else this.#active.add(key)
      return { key, waiting, inFlight, begun }
    })
    if (reports.length > 0) this.#say({ type: 'demand', reports })
  }

  #of(key: string): Asked {
    let asked = this.#functions.get(key)
    if (!asked) {
      asked = { waiting: 0, inFlight: 0, begun: 0, slots: new Map(), served: [] }
      this.#functions.set(key, asked)
    }
    return asked
  }
}
