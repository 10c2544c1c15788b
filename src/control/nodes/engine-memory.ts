import type { DemandReport, FromEngine, ToEngine } from '../../dataplane/engine-messages.ts'

type Endpoints = Extract<ToEngine, { type: 'endpoints' }>
type Identities = Extract<ToEngine, { type: 'identities' }>

/** What a node remembers of single engines, for the time in which its control plane is out of reach. */
export class EngineMemory {
  /** By engine, then by function: what it may use. */
  readonly #endpoints = new Map<string, Map<string, Endpoints>>()
  /** What dead engines had the use of, that nobody has yet. */
  readonly #orphaned: Map<string, Endpoints>[] = []
  readonly #identities = new Map<string, Identities['upsert'][number]>()
  /** Demand that could not be told, by engine and function. */
  readonly #demand = new Map<string, Map<string, DemandReport>>()

  /** An engine is told something. */
  told(engine: string, message: ToEngine): void {
    if (message.type === 'endpoints') {
      const own = this.#endpoints.get(engine) ?? new Map<string, Endpoints>()
      this.#endpoints.set(engine, own)
      if (message.endpoints.length > 0) own.set(message.key, message)
      else own.delete(message.key)
    } else if (message.type === 'identities') {
      for (const one of message.upsert) this.#identities.set(one.principal, one)
      for (const principal of message.remove) this.#identities.delete(principal)
    } else if (message.type === 'functions') {
      for (const key of message.remove) for (const own of this.#endpoints.values()) own.delete(key)
    }
  }

  endpoints(engine: string): Endpoints[] {
    return [...(this.#endpoints.get(engine)?.values() ?? [])]
  }

  /** The answer to an engine that wants an identity, where another one of the node has it and it is valid. */
  identity(principal: string): Identities | null {
    const known = this.#identities.get(principal)
    if (!known || known.notAfter <= Date.now()) return null
    return { type: 'identities', upsert: [known], remove: [] }
  }

  /** An engine is dead; `isTold`: the control plane hears of it and takes back what it had. */
  died(engine: string, isTold: boolean): void {
    const own = this.#endpoints.get(engine)
    this.#endpoints.delete(engine)
    this.#demand.delete(engine)
    if (own && own.size > 0 && !isTold) this.#orphaned.push(own)
  }

  /** A new engine takes over what a dead one had: its requests have ended with it. */
  inherit(engine: string): ToEngine[] {
    const own = this.#orphaned.shift()
    if (!own) return []
    this.#endpoints.set(engine, own)
    return [...own.values()]
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
