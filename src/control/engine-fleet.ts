import type { EngineQuery, FromEngine, ToEngine } from '../dataplane/engine-messages.ts'

/** A channel to one engine, wherever it runs. */
export interface EngineLink {
  readonly pid: number | undefined
  send(message: ToEngine): void
  kill(): void
}

export interface EngineLinkEvents {
  message(message: FromEngine): void
  exit(how: string): void
}

export type SpawnEngine = (name: string, events: EngineLinkEvents) => EngineLink

export interface FleetEvents {
  /** A new engine accepts messages: gives those that bring it to the present state. */
  started(engine: string): ToEngine[]
  message(engine: string, message: FromEngine): void
  /** The engine died and is started again; what it held is free. */
  died(engine: string, how: string): void
}

/** A dead engine is replaced at once; one that dies within this time after its start after a pause, doubled each time. In milliseconds. */
const RESTART_MS = 1_000
const LONGEST_PAUSE_MS = 30_000
/** So many engines die before the fleet is complete for the first time, and it is given up. */
const MOST_FAILED_STARTS = 4
/** An engine answers a query within this time or is taken to have no answer. */
const QUERY_MS = 2_000

interface Entry {
  link: EngineLink
  up: boolean
  startedAt: number
  /** How many engines before it, one after the other, died at their start. */
  failures: number
}

/** Keeps a fixed number of engines running. */
export class EngineFleet {
  readonly #spawn: SpawnEngine
  readonly #events: FleetEvents
  readonly #prefix: string
  readonly #links = new Map<string, Entry>()
  readonly #queries = new Map<number, { engine: string; answered(answer: unknown): void }>()
  readonly #restarts = new Set<NodeJS.Timeout>()
  #nextQuery = 1
  #serial = 0
  /** Engines that have not ended their last requests yet, and what to do when all have. */
  #draining: { left: Set<string>; done: () => void } | null = null
  #starting: { count: number; failed: number; resolve: (problem: string | null) => void } | null = null
  #stopped = false

  /** `prefix` begins the engines' names, which are unique in a mesh. */
  constructor(spawn: SpawnEngine, events: FleetEvents, prefix = 'engine') {
    this.#spawn = spawn
    this.#events = events
    this.#prefix = prefix
  }

  /** Resolves once `count` engines accept messages, or with why they do not. */
  start(count: number): Promise<string | null> {
    return new Promise((resolve) => {
      this.#starting = { count, failed: 0, resolve }
      for (let i = 0; i < count; i++) this.#start(0)
    })
  }

  /** Whether it is one of these engines, that has not ended. */
  has(engine: string): boolean {
    return this.#links.has(engine)
  }

  /** The engines that accept messages. */
  engines(): string[] {
    return [...this.#links].filter(([, one]) => one.up).map(([name]) => name)
  }

  pids(): { engine: string; pid: number | undefined }[] {
    return [...this.#links].map(([engine, { link }]) => ({ engine, pid: link.pid }))
  }

  send(engine: string, message: ToEngine): void {
    const entry = this.#links.get(engine)
    if (entry?.up) entry.link.send(message)
  }

  broadcast(message: ToEngine): void {
    for (const engine of this.engines()) this.send(engine, message)
  }

  /** Asks every engine; those that do not answer in time are left out. */
  async query(query: EngineQuery): Promise<{ engine: string; answer: unknown }[]> {
    const asked = this.engines().map(async (engine) => ({ engine, answer: await this.#ask(engine, query) }))
    return (await Promise.all(asked)).filter(({ answer }) => answer !== undefined)
  }

  /** Lets requests under way end and stops all engines; those that have not ended after `timeoutMs` are killed. */
  async drain(timeoutMs: number): Promise<void> {
    const deadline = Date.now() + timeoutMs
    await this.drainStep('drain-gateway', deadline)
    await this.drainStep('drain', deadline)
    this.kill()
  }

  kill(): void {
    for (const { link } of this.#links.values()) link.kill()
  }

  /** A request that came in through one engine may need any other, so all take a step together. No engine is started any more. */
  drainStep(type: 'drain-gateway' | 'drain', deadline: number): Promise<void> {
    this.#stopped = true
    for (const timer of this.#restarts) clearTimeout(timer)
    const left = new Set(this.engines())
    if (left.size === 0) return Promise.resolve()
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer)
        this.#draining = null
        resolve()
      }
      const timer = setTimeout(done, deadline - Date.now())
      this.#draining = { left, done }
      for (const engine of left) this.send(engine, { type })
    })
  }

  #start(failures: number): void {
    const name = `${this.#prefix}-${this.#serial++}`
    const link = this.#spawn(name, {
      message: (message) => this.#message(name, message),
      exit: (how) => this.#exit(name, how),
    })
    this.#links.set(name, { link, up: false, startedAt: Date.now(), failures })
  }

  #message(name: string, message: FromEngine): void {
    const entry = this.#links.get(name)
    if (!entry) return
    switch (message.type) {
      case 'up':
        entry.up = true
        for (const initial of this.#events.started(name)) entry.link.send(initial)
        if (this.#starting && this.engines().length >= this.#starting.count) this.#started(null)
        return
      case 'answer':
        return this.#queries.get(message.id)?.answered(message.answer)
      case 'gateway-drained':
      case 'drained':
        return this.#drained(name)
      default:
        this.#events.message(name, message)
    }
  }

  #exit(name: string, how: string): void {
    const entry = this.#links.get(name)
    if (!entry) return
    this.#links.delete(name)
    for (const query of this.#queries.values()) if (query.engine === name) query.answered(undefined)
    if (this.#stopped) return this.#drained(name)
    this.#events.died(name, how)
    if (this.#starting && ++this.#starting.failed === MOST_FAILED_STARTS) this.#started(how)
    const failures = Date.now() - entry.startedAt < RESTART_MS ? entry.failures + 1 : 0
    const pause = failures === 0 ? 0 : Math.min(RESTART_MS * 2 ** (failures - 1), LONGEST_PAUSE_MS)
    const timer = setTimeout(() => {
      this.#restarts.delete(timer)
      this.#start(failures)
    }, pause)
    this.#restarts.add(timer)
  }

  #started(problem: string | null): void {
    this.#starting?.resolve(problem)
    this.#starting = null
  }

  #drained(name: string): void {
    if (this.#draining?.left.delete(name) && this.#draining.left.size === 0) this.#draining.done()
  }

  #ask(engine: string, query: EngineQuery): Promise<unknown> {
    const id = this.#nextQuery++
    return new Promise((resolve) => {
      const answered = (answer: unknown) => {
        clearTimeout(timer)
        this.#queries.delete(id)
        resolve(answer)
      }
      const timer = setTimeout(answered, QUERY_MS, undefined)
      this.#queries.set(id, { engine, answered })
      this.send(engine, { type: 'query', id, query })
    })
  }
}
