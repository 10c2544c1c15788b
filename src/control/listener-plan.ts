import type { FromEngine, ListenerRole, ToEngine } from '../dataplane/engine-messages.ts'

/** Why an address can't be listened on. */
export interface ListenFailure {
  code: string
  message: string
}

interface Plan {
  host: string
  /** 0 until the first engine was given a free port. */
  port: number
  role: ListenerRole
  /** Engines that have been told and have not answered. */
  pending: Set<string>
  settle: ((outcome: { ok: true; port: number } | { ok: false; failure: ListenFailure }) => void) | null
}

/** The addresses on which all engines listen. Engines share each port; where any will do, the first engine picks it. */
export class ListenerPlan {
  readonly #engines: () => string[]
  readonly #send: (engine: string, message: ToEngine) => void
  readonly #plans = new Map<string, Plan>()

  constructor(engines: () => string[], send: (engine: string, message: ToEngine) => void) {
    this.#engines = engines
    this.#send = send
  }

  /** Resolves once every engine accepts connections there. */
  open(
    id: string,
    host: string,
    port: number,
    role: ListenerRole,
  ): Promise<{ ok: true; port: number } | { ok: false; failure: ListenFailure }> {
    return new Promise((settle) => {
      const plan: Plan = { host, port, role, pending: new Set(), settle }
      this.#plans.set(id, plan)
      const engines = this.#engines()
      // With port 0 the others wait for the first one's answer; without engines, for the first to start.
      for (const engine of port === 0 ? engines.slice(0, 1) : engines) this.#tell(engine, id, plan)
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
    if (!this.#plans.delete(id)) return
    for (const engine of this.#engines()) this.#send(engine, { type: 'unlisten', id })
  }

  /** The messages that bring a new engine to the plan. */
  forNewEngine(engine: string): ToEngine[] {
    const messages: ToEngine[] = []
    for (const [id, plan] of this.#plans) {
      if (plan.port === 0 && plan.pending.size > 0) continue // it is told when the port is known
      plan.pending.add(engine)
      messages.push({ type: 'listen', id, host: plan.host, port: plan.port, role: plan.role })
    }
    return messages
  }

  engineDied(engine: string): void {
    for (const [id, plan] of this.#plans) {
      if (!plan.pending.delete(engine) || plan.pending.size > 0) continue
      const next = plan.port === 0 ? this.#engines()[0] : undefined
      if (next !== undefined) this.#tell(next, id, plan)
      else if (plan.port !== 0) this.#settle(plan, { ok: true, port: plan.port })
    }
  }

  receive(engine: string, message: Extract<FromEngine, { type: 'listening' | 'listen-failed' }>): void {
    const plan = this.#plans.get(message.id)
    if (!plan) return
    plan.pending.delete(engine)
    if (message.type === 'listen-failed') {
      const { code, message: text } = message
      // An engine that joins later can't undo what the others do; the first failure decides while the plan is open.
      if (plan.settle) this.close(message.id)
      return this.#settle(plan, { ok: false, failure: { code, message: text } })
    }
    if (plan.port === 0) {
      plan.port = message.port
      for (const other of this.#engines()) if (other !== engine) this.#tell(other, message.id, plan)
    }
    if (plan.pending.size === 0) this.#settle(plan, { ok: true, port: plan.port })
  }

  #tell(engine: string, id: string, plan: Plan): void {
    plan.pending.add(engine)
    this.#send(engine, { type: 'listen', id, host: plan.host, port: plan.port, role: plan.role })
  }

  #settle(plan: Plan, outcome: Parameters<NonNullable<Plan['settle']>>[0]): void {
    plan.settle?.(outcome)
    plan.settle = null
  }
}
