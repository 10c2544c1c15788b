import type { FunctionSpec } from '../api/function-spec.ts'
import type { DemandReport, EndpointSlice, ToEngine } from '../dataplane/engine-messages.ts'
import type { Instance, InstanceListener } from '../runtime/instance.ts'
import type { InstanceSet } from '../runtime/instance-set.ts'
import { SlotLedger } from '../state/slot-ledger.ts'
import { Autoscaler } from './autoscaler.ts'
import { EngineNeeds } from './engine-needs.ts'
import { revisionName } from './revision-name.ts'

export interface ControllerHooks {
  /** Makes the (empty) instance set of a revision. */
  createSet(spec: FunctionSpec, revision: string, listener: InstanceListener): InstanceSet
  send(engine: string, message: ToEngine): void
  broadcast(message: ToEngine): void
  instanceStarting(instance: Instance): void
  /** Something that a user should read. */
  notice(text: string): void
}

/** Longer than a slot takes from one engine to another by way of control, in milliseconds. */
const SLOT_MOVE_MS = 5

interface Revision {
  spec: FunctionSpec
  name: string
  set: InstanceSet
}

/** One function under control: how many instances it has, of which revision, and which engine may use them. */
export class FunctionController {
  readonly key: string
  readonly #hooks: ControllerHooks
  readonly #ledger = new SlotLedger()
  readonly #needs = new EngineNeeds()
  /** Instances on their way out, each with what resolves when no engine uses it any more. */
  readonly #retiring = new Map<string, () => void>()
  #generation = 0
  #current: Revision
  /** Earlier revisions that serve until the current one has a ready instance. */
  #earlier: Revision[] = []
  readonly #autoscaler: Autoscaler
  #desired = 0
  #startTimer: NodeJS.Timeout | null = null
  /** The function is deleted: engines do not know it any more, or by that name know another one. */
  #removed = false
  #requests = 0
  /** Until when its load may be another than is known here, since it began before: in milliseconds since the epoch. */
  readonly #unsureUntil: number

  /** `adopted` instances of the current revision run already and are found by its set. */
  constructor(spec: FunctionSpec, engines: string[], hooks: ControllerHooks, adopted = 0) {
    this.key = spec.key
    this.#hooks = hooks
    for (const engine of engines) this.#ledger.addEngine(engine)
    this.#current = this.#newRevision(spec)
    this.#autoscaler = new Autoscaler(spec.scaling)
    if (adopted > 0) this.#autoscaler.burst(Date.now(), adopted)
    this.#unsureUntil = adopted > 0 ? Date.now() + spec.scaling.windowMs : 0
    const { minScale, initialScale } = spec.scaling
    this.#setDesired(Math.max(minScale, initialScale, isExternal(spec) ? 1 : 0, adopted))
  }

  /**
   * So many instances run, some of them on a node that joins: where the function's load is not known for a window yet, they
   * stay until it is. Else they are of a node that was lost and is back, and others run in their place.
   */
  keep(count: number): void {
    if (count <= this.#desired || Date.now() > this.#unsureUntil) return
    this.#autoscaler.burst(Date.now(), count)
    this.#setDesired(count)
  }

  /** An engine goes on using instances as a control plane before this one has let it. */
  found(engine: string, endpoints: readonly EndpointSlice[]): void {
    this.#ledger.addEngine(engine)
    for (const { id, slots, held } of endpoints)
      if (slots !== null) this.#ledger.found(engine, id, slots, held)
  }

  get spec(): FunctionSpec {
    return this.#current.spec
  }

  get revision(): string {
    return this.#current.name
  }

  get desired(): number {
    return this.#desired
  }

  /** Requests that engines began for it. */
  get requests(): number {
    return this.#requests
  }

  failure(): { reason: string; retryAt: number } | null {
    return this.#current.set.failure()
  }

  instances(): Instance[] {
    return [...this.#earlier, this.#current].flatMap(({ set }) => set.instances())
  }

  /** Brings a changed manifest into force: new instances start, the old ones serve until one of them is ready. */
  replace(spec: FunctionSpec): void {
    const before = this.#current
    this.#current = this.#newRevision(spec)
    this.#autoscaler.reconfigure(spec.scaling)
    const { minScale, initialScale } = spec.scaling
    const up = before.set.instances().length
    if (up === 0) void before.set.drain()
    else this.#earlier.push(before)
    this.#setDesired(Math.max(up, minScale, initialScale, isExternal(spec) ? 1 : 0))
  }

  /** Stops everything; resolves when no instance is left. Engines have been told that the function is gone. */
  async remove(): Promise<void> {
    this.#removed = true
    if (this.#startTimer) clearTimeout(this.#startTimer)
    // Engines say once that they use an instance no more, which may be before a distant set says that it stops.
    for (const { id } of this.instances()) this.#ledger.retire(id)
    await Promise.all([...this.#earlier, this.#current].map(({ set }) => set.drain()))
  }

  addEngine(engine: string): ToEngine | null {
    this.#ledger.addEngine(engine)
    this.#share(engine)
    const endpoints = this.#ledger.slices(engine)
    return endpoints.length > 0 ? this.#endpoints(engine) : null
  }

  /** Tells every engine once more which instances it may use. */
  tellAgain(): void {
    for (const engine of this.#ledger.engines) this.#hooks.send(engine, this.#endpoints(engine))
  }

  /** It goes on using what it holds; what it last needed still counts, so that others are not left with too little. */
  engineAbsent(engine: string): void {
    this.#ledger.suspendEngine(engine)
    this.#share()
  }

  engineDied(engine: string): void {
    this.#needs.delete(engine)
    for (const id of this.#ledger.removeEngine(engine)) this.#retired(id)
    this.#share()
  }

  /** Whether the engine has requests for it. */
  isNeededBy(engine: string): boolean {
    return (this.#needs.byEngine.get(engine) ?? 0) > 0
  }

  /** Has an engine that does not need it give back what it holds; true where that is nothing. */
  letGo(engine: string): boolean {
    if (this.#ledger.engines.includes(engine)) {
      this.#needs.delete(engine)
      this.#ledger.withdraw(engine)
      this.#share()
    }
    return !this.#ledger.holds(engine)
  }

  /** An engine has a request that waits, and learns of the function only when it can be served. */
  expect(engine: string, now: number): void {
    this.#needs.expect(engine, now)
    this.#autoscaler.record(now, this.#needs.total, 0)
    this.#share()
    this.#startSoon()
  }

  /** An engine's report of requests under way. */
  demand(engine: string, report: DemandReport, now: number): void {
    const joins = !this.#ledger.engines.includes(engine)
    this.#ledger.addEngine(engine)
    this.#requests += report.begun
    const isNew = this.#needs.reported(engine, report.waiting + report.inFlight)
    this.#autoscaler.record(now, this.#needs.total, report.begun)
    // Slots are shared already by needs that are the same.
    if (isNew || joins) this.#share()
    if (report.waiting === 0) return
    this.#startSoon()
    this.#tellFailure(engine, now)
  }

  returned(engine: string, instance: string, slots: number): void {
    if (this.#ledger.returned(engine, instance, slots)) this.#retired(instance)
    this.#share()
  }

  /** A step of the autoscaler; false where the function is at rest, so that none is needed until the next demand. */
  scale(now: number): boolean {
    this.#needs.forgetExpected(now)
    const need = this.#needs.total
    if (isExternal(this.spec)) return need > 0
    this.#autoscaler.record(now, need)
    const ready = this.#current.set.instances().filter((instance) => instance.state === 'ready').length
    this.#setDesired(this.#autoscaler.desired(now, ready) ?? this.#desired)
    if (need > 0) this.#startFor(need)
    return need > 0 || this.#desired > this.spec.scaling.minScale || this.instances().length > 0
  }

  /** Lets slots that several engines need go round; true where that is needed again. */
  turn(): boolean {
    if (!this.#needs.contending || limitOf(this.spec) === null) return false
    this.#ledger.nextTurn()
    this.#share()
    return true
  }

  #newRevision(spec: FunctionSpec): Revision {
    this.#generation = Math.max(spec.generation ?? 0, this.#generation + 1)
    const name = revisionName(spec.service ?? spec.name, this.#generation)
    const set = this.#hooks.createSet(spec, name, {
      starting: (instance) => this.#hooks.instanceStarting(instance),
      ready: (instance) => this.#ready(instance, spec),
      stopping: (instance) => this.#stopping(instance),
      gone: (instance) => this.#gone(instance),
      failed: (reason, retryAt) => this.#failed(reason, retryAt),
    })
    return { spec, name, set }
  }

  #ready(instance: Instance, spec: FunctionSpec): void {
    if (this.#removed) return
    const { host, port } = instance.address
    this.#ledger.addInstance({ id: instance.id, host, port, limit: limitOf(spec) })
    this.#share()
    if (instance.revision === this.#current.name) this.#endEarlier()
  }

  #endEarlier(): void {
    for (const { set } of this.#earlier.splice(0)) void set.drain()
  }

  #stopping(instance: Instance): Promise<void> | undefined {
    const drained = this.#ledger.retire(instance.id)
    this.#share()
    if (drained) return undefined
    return new Promise((resolve) => this.#retiring.set(instance.id, resolve))
  }

  #retired(id: string): void {
    this.#retiring.get(id)?.()
    this.#retiring.delete(id)
  }

  #gone(instance: Instance): void {
    this.#retired(instance.id)
    this.#ledger.removeInstance(instance.id)
    this.#share()
  }

  #failed(reason: string, retryAt: number): void {
    if (this.#removed) return
    this.#hooks.notice(`${this.key} does not start: ${reason}`)
    // While others serve, of this revision or an earlier one, requests wait for those.
    if (this.#isServed) return
    this.#hooks.broadcast({ type: 'failing', key: this.key, reason, retryAt })
  }

  /** Requests wait that came after all engines were told that nothing starts. */
  #tellFailure(engine: string, now: number): void {
    if (this.#ledger.serves) return
    const failure = this.#current.set.failure()
    if (failure === null || failure.retryAt <= now || this.#isServed) return
    this.#hooks.send(engine, { type: 'failing', key: this.key, ...failure })
  }

  get #isServed(): boolean {
    return this.instances().some(({ state }) => state === 'ready')
  }

  /**
   * Requests wait: starts what they need instead of at the autoscaler's next step; at once from zero, else when a slot has
   * had the time to come over from an engine that does not need it.
   */
  #startSoon(): void {
    if (this.#desired === 0) return this.#startFor(this.#needs.total)
    this.#startTimer ??= setTimeout(() => {
      this.#startTimer = null
      this.#startFor(this.#needs.total)
    }, SLOT_MOVE_MS)
  }

  #startFor(need: number): void {
    const { scaling } = this.spec
    const limit = limitOf(this.spec)
    const wanted = Math.max(limit === null ? 1 : Math.ceil(need / limit), scaling.activationScale)
    const most = scaling.maxScale > 0 ? Math.min(wanted, scaling.maxScale) : wanted
    if (most <= this.#desired) return
    this.#autoscaler.burst(Date.now(), most)
    this.#setDesired(most)
  }

  #setDesired(count: number): void {
    this.#desired = count
    this.#current.set.setDesired(count)
    // Where nobody needs an instance, the new revision has none that would take over.
    if (count === 0) this.#endEarlier()
  }

  /** Shares the slots anew and tells the engines for which something changed, but `except`. */
  #share(except?: string): void {
    this.#ledger.share(this.#needs.byEngine)
    for (const engine of this.#ledger.takeChanged().keys()) {
      if (!this.#removed && engine !== except) this.#hooks.send(engine, this.#endpoints(engine))
    }
  }

  #endpoints(engine: string): ToEngine {
    return {
      type: 'endpoints',
      key: this.key,
      external: isExternal(this.spec),
      endpoints: this.#ledger.slices(engine),
    }
  }
}

/** Whether instances are to be there before the first request. */
export function startsUnasked(spec: FunctionSpec): boolean {
  return isExternal(spec) || spec.scaling.minScale > 0 || spec.scaling.initialScale > 0
}

/** Requests at once for each instance; null: no limit. */
function limitOf(spec: FunctionSpec): number | null {
  return spec.concurrency === 0 ? null : spec.concurrency
}

export function isExternal(spec: FunctionSpec): boolean {
  return spec.image.kind === 'endpoint'
}
