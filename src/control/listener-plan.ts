import type { FromEngine, ListenerRole, ToEngine } from '../dataplane/engine-messages.ts'

/** Why an address can't be listened on. */
export interface ListenFailure {
  code: string
  message: string
}

export type ListenOutcome = { ok: true; port: number } | { ok: false; failure: ListenFailure }

/** The code of an address that was closed before it was open. */
export const CLOSED = 'CLOSED'

interface Plan {
  host: string
  /** 0 until the first engine was given a free port. */
  port: number
  role: ListenerRole
  /** The engine that listens, where one is enough; null where all do, or none is there. */
  owner: string | null
  spread: 'all' | 'one'
  /** Engines that have been told and have not answered; null where there is none. */
  pending: Set<string> | null
  settle: ((outcome: ListenOutcome) => void) | null
}

/** An engine that can't join the others at an open address tries again after this time, in milliseconds. */
const RETRY_MS = 1_000

/** The addresses on which engines listen. Engines share a port; where any port will do, the first engine picks it. */
export class ListenerPlan {
  readonly #engines: () => string[]
  readonly #send: (engine: string, message: ToEngine) => void
  readonly #notice: (text: string) => void
  readonly #plans = new Map<string, Plan>()

  constructor(
    engines: () => string[],
    send: (engine: string, message: ToEngine) => void,
    notice: (text: string) => void,
  ) {
    this.#engines = engines
    this.#send = send
    this.#notice = notice
  }

  /** Resolves once connections are accepted there, by all engines or by one that another replaces when it dies. */
  open(
    id: string,
    host: string,
    port: number,
    role: ListenerRole,
    spread: 'all' | 'one' = 'all',
  ): Promise<ListenOutcome> {
    return new Promise((settle) => {
      const plan: Plan = { host, port, role, owner: null, spread, pending: null, settle }
      this.#plans.set(id, plan)
      const engines = this.#engines()
      // With port 0 the others wait for the first one's answer; without engines, for the first to start.
      const first = port === 0 || spread === 'one' ? engines.slice(0, 1) : engines
      for (const engine of first) this.#tell(engine, id, plan)
    })
  }

  /** Gives the address to somebody else. */
  assign(id: string, role: ListenerRole): void {
    const plan = this.#plans.get(id)
    if (!plan) return
    plan.role = role
    for (const engine of this.#engines()) this.#send(engine, { type: 'assign', id, role })
  }

  close(id: string): void {
    const plan = this.#plans.get(id)
    if (!plan) return
    this.#plans.delete(id)
    for (const engine of this.#engines()) this.#send(engine, { type: 'unlisten', id })
    this.#settle(plan, { ok: false, failure: { code: CLOSED, message: 'it was closed' } })
  }

  /** The messages that bring a new engine to the plan. */
  forNewEngine(engine: string): ToEngine[] {
    const messages: ToEngine[] = []
    for (const [id, plan] of this.#plans) {
      if (plan.spread === 'one' && plan.owner !== null) continue
      if (plan.port === 0 && plan.pending) continue // it is told when the port is known
      this.#expect(engine, plan)
      messages.push({ type: 'listen', id, host: plan.host, port: plan.port, role: plan.role })
    }
    return messages
  }

  engineDied(engine: string): void {
    for (const [id, plan] of this.#plans) {
      const wasPending = this.#answered(engine, plan)
      const orphaned = plan.owner === engine
      if (orphaned) plan.owner = null
      if (!orphaned && !(wasPending && plan.pending === null)) continue
      const next = orphaned || plan.port === 0 ? this.#engines().find((one) => one !== engine) : undefined
      if (next !== undefined) this.#tell(next, id, plan)
      else if (plan.port !== 0) this.#settle(plan, { ok: true, port: plan.port })
    }
  }

  receive(engine: string, message: Extract<FromEngine, { type: 'listening' | 'listen-failed' }>): void {
    const plan = this.#plans.get(message.id)
    if (!plan) return
    this.#answered(engine, plan)
    if (message.type === 'listen-failed') {
      // An engine that joins later can't undo what the others do; the first failure decides while the plan is open.
      if (!plan.settle) return this.#retry(engine, message.id, plan, message.message)
      const { code, message: text } = message
      this.#settle(plan, { ok: false, failure: { code, message: text } })
      return this.close(message.id)
    }
    if (plan.port === 0) {
      plan.port = message.port
      const others = plan.spread === 'all' ? this.#engines().filter((other) => other !== engine) : []
      for (const other of others) this.#tell(other, message.id, plan)
    }
    if (plan.pending === null) this.#settle(plan, { ok: true, port: plan.port })
  }

  #tell(engine: string, id: string, plan: Plan): void {
    this.#expect(engine, plan)
    this.#send(engine, { type: 'listen', id, host: plan.host, port: plan.port, role: plan.role })
  }

  /** All engines may have been dead for a moment, and somebody else took the port in it. */
  #retry(engine: string, id: string, plan: Plan, why: string): void {
    this.#notice(`${engine} can't listen on ${plan.host}:${plan.port} and tries again: ${why}`)
    const timer = setTimeout(() => {
      if (this.#plans.get(id) === plan && this.#engines().includes(engine)) this.#tell(engine, id, plan)
    }, RETRY_MS)
    timer.unref()
  }

  #expect(engine: string, plan: Plan): void {
    if (plan.spread === 'one') plan.owner = engine
    plan.pending ??= new Set()
    plan.pending.add(engine)
  }

  #answered(engine: string, plan: Plan): boolean {
    const was = plan.pending?.delete(engine) ?? false
    if (plan.pending?.size === 0) plan.pending = null
    return was
  }

  #settle(plan: Plan, outcome: ListenOutcome): void {
    plan.settle?.(outcome)
    plan.settle = null
  }
}
