import type { DemandReport, FromEngine, ToEngine } from '../../dataplane/engine-messages.ts'

type Endpoints = Extract<ToEngine, { type: 'endpoints' }>
type Identities = Extract<ToEngine, { type: 'identities' }>

/** What a node remembers of single engines, for the time in which its control plane is out of reach. */
export class EngineMemory {
  /** By engine, then by function: what it may use. */
  readonly #endpoints = new Map<string, Map<string, Endpoints>>()
  /** What dead engines had the use of, that nobody has yet. */
  #orphaned: Legacy[] = []
  /** The same, where control was told of the death. Until it says that it has heard of it, it may be cut off. */
  #reported: Legacy[] = []
  /** Engines that were told of to control and have been given nothing yet. */
  readonly #waiting = new Set<string>()
  readonly #identities = new Map<string, Identities['upsert'][number]>()
  /** Demand that could not be told, by engine and function. */
  readonly #demand = new Map<string, Map<string, DemandReport>>()

  /** An engine is told something. */
  told(engine: string, message: ToEngine): void {
    if (this.#reported.some((one) => one.engine === engine)) return
    if (message.type === 'endpoints') {
      // It has heard of the engine, and so of the one before it.
      if (this.#waiting.delete(engine)) this.#reported.shift()
      const own = this.#endpoints.get(engine) ?? new Map<string, Endpoints>()
      this.#endpoints.set(engine, own)
      if (message.endpoints.length > 0) own.set(message.key, withHeld(message, own.get(message.key)))
      else own.delete(message.key)
    } else if (message.type === 'identities') {
      for (const one of message.upsert) this.#identities.set(one.principal, one)
      for (const principal of message.remove) this.#identities.delete(principal)
    } else if (message.type === 'functions') {
      this.functionsGone(message.remove)
    }
  }

  /** Engines do not know these functions any more. */
  functionsGone(keys: readonly string[]): void {
    for (const key of keys) for (const own of this.#endpoints.values()) own.delete(key)
  }

  /** An engine uses no more than `slots` of an instance. */
  returned(engine: string, key: string, id: string, slots: number): void {
    const told = this.#endpoints
      .get(engine)
      ?.get(key)
      ?.endpoints.find((one) => one.id === id)
    // An answer to an earlier message may cross with a newer grant.
    if (told?.slots === slots) delete told.held
  }

  endpoints(engine: string): Endpoints[] {
    return [...(this.#endpoints.get(engine)?.values() ?? [])]
  }

  /** The answer to an engine that wants an identity, where another one of the node has it and it is valid and of a trusted epoch. */
  identity(principal: string, isTrusted: (epoch: number) => boolean): Identities | null {
    const known = this.#identities.get(principal)
    if (!known || known.notAfter <= Date.now() || !isTrusted(known.epoch)) return null
    return { type: 'identities', upsert: [known], remove: [] }
  }

  /** An engine is dead; `isTold`: the control plane was told and, unless it is cut off, takes back what it had. */
  died(engine: string, isTold: boolean): void {
    const own = this.#endpoints.get(engine)
    this.#endpoints.delete(engine)
    this.#demand.delete(engine)
    this.#waiting.delete(engine)
    if (!own || own.size === 0) return
    if (isTold) this.#reported.push({ engine, own })
    else this.#orphaned.push({ engine, own })
  }

  /** A new engine, of which the control plane was told; it is to say what the engine may use. */
  reported(engine: string): void {
    if (this.#reported.length > 0) this.#waiting.add(engine)
  }

  /** The control plane has heard that an engine is dead: what it had is to be taken over by nobody here. */
  heard(engine: string): void {
    this.#reported = this.#reported.filter((one) => one.engine !== engine)
    if (this.#reported.length === 0) this.#waiting.clear()
  }

  /** The control plane is out of reach: gives what new engines take over, of whom it has surely heard nothing. */
  cutOff(): { engine: string; messages: ToEngine[] }[] {
    this.#orphaned.push(...this.#reported.splice(0))
    const heirs = [...this.#waiting].map((engine) => ({ engine, messages: this.inherit(engine) }))
    this.#waiting.clear()
    return heirs
  }

  /** A new engine takes over what a dead one had: its requests have ended with it. */
  inherit(engine: string): ToEngine[] {
    const { own } = this.#orphaned.shift() ?? { own: null }
    if (!own) return []
    // What the dead one was still using has ended with it.
    for (const { endpoints } of own.values()) for (const one of endpoints) delete one.held
    this.#endpoints.set(engine, own)
    return [...own.values()]
  }

  /**
   * A stream to the control plane begins, which may come to nothing: gives the dead engines of which it is told, as of those that
   * live, what they had. From then on they count as reported.
   */
  attached(): { engine: string; endpoints: Endpoints[] }[] {
    const told = this.#orphaned.splice(0)
    this.#reported.push(...told)
    return told.map(({ engine, own }) => ({ engine, endpoints: [...own.values()] }))
  }

  noteDemand(engine: string, message: FromEngine): void {
    if (message.type !== 'demand') return
    const own = this.#demand.get(engine) ?? new Map<string, DemandReport>()
    this.#demand.set(engine, own)
    for (const report of message.reports) {
      const begun = (own.get(report.key)?.begun ?? 0) + report.begun
      own.set(report.key, { ...report, begun })
    }
  }

  /** Takes the demand that could not be told, each function's last. */
  takeDemand(): { engine: string; message: FromEngine }[] {
    const messages = Array.from(this.#demand, ([engine, reports]) => ({
      engine,
      message: { type: 'demand' as const, reports: [...reports.values()] },
    }))
    this.#demand.clear()
    return messages
  }
}

/** What an engine had, by function. */
interface Legacy {
  engine: string
  own: Map<string, Endpoints>
}

/** Of what is taken back an engine says when it uses it no more: until then it is held. */
function withHeld(message: Endpoints, before: Endpoints | undefined): Endpoints {
  const earlier = new Map(before?.endpoints.map((one) => [one.id, one.held ?? one.slots]))
  const endpoints = message.endpoints.map((one) => {
    const held = earlier.get(one.id) ?? null
    return one.slots !== null && held !== null && held > one.slots ? { ...one, held } : { ...one }
  })
  return { ...message, endpoints }
}
