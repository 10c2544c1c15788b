import type { FunctionSpec } from '../../api/function-spec.ts'
import type { EngineQuery, FunctionSlice, ToEngine } from '../../dataplane/engine-messages.ts'
import type { NodeAddress } from '../../dataplane/node-messages.ts'
import type { InstanceListener } from '../../runtime/instance.ts'
import type { InstanceSet } from '../../runtime/instance-set.ts'
import type { MeshNode, NodeEvents } from '../mesh-node.ts'
import type { Amounts } from '../placement-choice.ts'
import type { EngineUp, FromNode, Hello } from '../proto/mayfly/v1/nodes_pb.js'
import { readEndpoints, readEngineReport } from './engine-report.ts'
import { MOST_ENGINES } from './hello-problem.ts'
import { NodeOutbox, type NodeStream, type Order } from './node-outbox.ts'
import { type NodeQuestion, NodeQuestions } from './node-questions.ts'
import { isLasting } from './node-state.ts'
import { RemoteEgress } from './remote-egress.ts'
import { RemoteSets } from './remote-sets.ts'
import { reportProblem, short } from './report-problem.ts'
import { sliceDigest } from './slice-digest.ts'
import { fromWire } from './wire-value.ts'

/** A node that another process runs, as the control plane sees it through its stream. It outlives the stream for a while. */
export class RemoteNode implements MeshNode {
  readonly name: string
  readonly tellsHosted = true
  readonly #events: NodeEvents
  readonly #sets: RemoteSets
  readonly #engines = new Map<string, number>()
  /** Engines that ended, each with how: what they held is free once the node has said that no other engine of its takes it over. */
  readonly #ended = new Map<string, string>()
  readonly #egress = new RemoteEgress((order) => this.#order(order))
  readonly #questions = new NodeQuestions()
  /** Messages of its engines that were none. */
  #refused = 0
  readonly #outbox = new NodeOutbox()
  #hello: Hello

  /** `mayBring` says how many instances of each set it may have from before; what it has beyond those is not taken over. */
  constructor(name: string, hello: Hello, events: NodeEvents, mayBring: (set: string) => number) {
    this.name = name
    this.#hello = hello
    this.#events = events
    this.#sets = new RemoteSets(hello.instances, {
      outbox: this.#outbox,
      mayBring,
      isTaken: (id) => (events.hostOf?.(id) ?? name) !== name,
    })
  }

  /** What the node said that was not its to say. */
  get refused(): number {
    return this.#refused + this.#sets.refused
  }

  /** The instances that it has, by their sets' names. */
  held(): Map<string, number> {
    return this.#sets.counts()
  }

  get hello(): Hello {
    return this.#hello
  }

  get attached(): boolean {
    return this.#outbox.stream !== null
  }

  get isGateway(): boolean {
    return this.#hello.gateway
  }

  get runsInstances(): boolean {
    return this.#hello.runsInstances
  }

  get zone(): string {
    return this.#hello.zone
  }

  get capacity(): Amounts {
    const { cpus, memoryBytes } = this.#hello
    return { cpuMillis: Math.floor(cpus * 1_000), memoryBytes }
  }

  get address(): NodeAddress | null {
    const { host, port } = this.#hello
    return port === 0 ? null : { name: this.name, host, port }
  }

  // ---- the stream ----

  /** Says what its engines go on using, before anything is shared anew. */
  claim(): void {
    for (const one of this.#hello.engines) this.#events.found?.(one.engine, endpointsOf(one))
  }

  /** The stream is there, for the first time or again: the node is told how everything is. */
  attach(stream: NodeStream, hello: Hello): void {
    this.#hello = hello
    this.#outbox.open(stream, hello.held)
    this.#order({ case: 'syncBegin', value: {} })
    const digests = new Map(hello.functions.map((key, i) => [key, hello.digests[i]]))
    for (const message of this.#events.state()) this.#tellLacking(message, digests)
    this.#order({ case: 'syncEnd', value: {} })
    this.#egress.repeat()
    this.#reconcileEngines(hello.engines)
    this.#sets.reconcile(hello.instances)
  }

  /** The stream is broken; the node may come back. */
  detach(stream: NodeStream): void {
    if (this.#outbox.stream !== stream) return
    this.#outbox.close()
    this.#questions.giveUp()
  }

  /** The node does not come back: all that it had is gone. */
  lose(): void {
    this.#outbox.close()
    this.#sets.lost()
  }

  /** What the node says; gives what is wrong with it, or null. */
  receive(message: FromNode): string | null {
    const problem = reportProblem(this.name, message)
    if (problem !== null) return problem
    if (
      message.what.case === 'engineUp' &&
      this.#engines.size >= MOST_ENGINES &&
      !this.has(message.what.value.engine)
    )
      return `it has more than ${MOST_ENGINES} engines`
    this.#take(message)
    return null
  }

  #take(message: FromNode): void {
    const { what } = message
    switch (what.case) {
      case 'hello':
        // Its address is known now.
        this.#hello = what.value
        return
      case 'engineUp':
        return this.#engineUp(what.value)
      case 'engineSays': {
        if (!this.#engines.has(what.value.engine)) return
        const report = readEngineReport(fromWire(what.value.message, () => undefined))
        if (report) this.#events.message(what.value.engine, report)
        else this.#refused++
        return
      }
      case 'engineEnded':
        return this.#engineEnded(what.value.engine, short(what.value.how))
      case 'instanceState':
      case 'instanceGone':
      case 'startFailed':
      case 'setDrained':
        return this.#sets.told(message)
      case 'egressOpened':
        return this.#egress.opened(what.value.function, what.value.url)
      case 'answer':
        return this.#questions.answered(
          what.value.id,
          fromWire(what.value.value, () => undefined),
        )
    }
  }

  // ---- MeshNode ----

  engines(): string[] {
    return [...this.#engines.keys()]
  }

  /** Those that ended, and what they held may be another one's. */
  ended(): string[] {
    return [...this.#ended.keys()]
  }

  has(engine: string): boolean {
    return this.#engines.has(engine)
  }

  pids(): { engine: string; pid: number | undefined }[] {
    return Array.from(this.#engines, ([engine, pid]) => ({ engine, pid: pid || undefined }))
  }

  send(engine: string, message: ToEngine): void {
    this.#outbox.sendMessage(
      (message_) => ({ case: 'tellEngine', value: { engine, message: message_ } }),
      message,
    )
  }

  broadcast(message: ToEngine): void {
    this.#tell(message, !isLasting(message))
  }

  async query(query: EngineQuery): Promise<{ engine: string; answer: unknown }[]> {
    const answer = await this.ask({ kind: 'engines', query })
    if (!Array.isArray(answer)) return []
    // Each of its engines answers for itself, and none for another node's.
    return (answer as { engine: string; answer: unknown }[]).filter((one) => this.has(one?.engine))
  }

  /** Asks the node itself; undefined where it does not answer in time. */
  ask(question: NodeQuestion): Promise<unknown> {
    if (!this.#outbox.stream) return Promise.resolve(undefined)
    return this.#questions.ask((id) =>
      this.#outbox.sendMessage((text) => ({ case: 'ask', value: { id, question: text } }), question),
    )
  }

  openEgress(key: string, engines: 'all' | 'one'): Promise<void> {
    return this.#egress.open(key, engines)
  }

  closeEgress(key: string): void {
    this.#egress.close(key)
  }

  egressUrl(key: string, instance: string | null): string | null {
    return (instance !== null && this.#sets.egressUrl(key, instance)) || this.#egress.url(key)
  }

  createSet(spec: FunctionSpec, revision: string, listener: InstanceListener): InstanceSet {
    return this.#sets.create(spec, revision, listener)
  }

  known(): readonly string[] {
    return this.#hello.functions
  }

  /** Instances that were there when the node came, of sets that nobody has claimed yet. */
  found(): { key: string; revision: string; count: number }[] {
    return this.#sets.found()
  }

  async drainStep(type: 'drain-gateway' | 'drain', deadline: number): Promise<void> {
    await this.ask({ kind: 'drain', type, deadline })
  }

  /** A control plane that ends leaves its nodes as they are: they go on serving. */
  async close(): Promise<void> {}

  // ---- details ----

  #engineUp({ engine, pid }: Pick<EngineUp, 'engine' | 'pid'>): void {
    this.#engines.set(engine, pid)
    for (const message of this.#events.started(engine)) this.send(engine, message)
  }

  #engineEnded(engine: string, how: string): void {
    if (!this.#engines.delete(engine)) return
    this.#ended.set(engine, how)
    this.#events.ended?.(engine)
    void this.#settle(engine)
  }

  /** Cut off, the node lets another engine take over what this one had, unless it knows that it was heard. */
  async #settle(engine: string): Promise<void> {
    while (this.attached && this.#ended.has(engine))
      // None comes in time: it is asked again.
      if ((await this.ask({ kind: 'engine-ended', engine })) !== undefined) this.#forget(engine)
  }

  #forget(engine: string): void {
    const how = this.#ended.get(engine)
    if (how === undefined) return
    this.#ended.delete(engine)
    this.#events.died(engine, how)
  }

  /** What new engines have taken over is theirs before that of the dead is free. */
  #reconcileEngines(there: readonly EngineUp[]): void {
    const names = new Set(there.map(({ engine }) => engine))
    for (const engine of this.#engines.keys()) {
      if (names.has(engine)) continue
      this.#engines.delete(engine)
      this.#ended.set(engine, 'it ended while its node was out of reach')
    }
    for (const one of there)
      if (!this.#engines.has(one.engine)) this.#events.found?.(one.engine, endpointsOf(one))
    for (const engine of [...this.#ended.keys()]) {
      // Its node says once more that it has ended, and what it has left.
      if (names.has(engine)) this.#ended.delete(engine)
      else this.#forget(engine)
    }
    for (const one of there) this.#engineUp(one)
  }

  #tell(message: ToEngine, once: boolean): void {
    this.#outbox.sendMessage((text) => ({ case: 'tell', value: { message: text, once } }), message)
  }

  /** Of functions the node is told those that it does not have as they are. */
  #tellLacking(message: ToEngine, digests: ReadonlyMap<string, string | undefined>): void {
    if (message.type !== 'functions' || digests.size === 0) return this.#tell(message, false)
    const isHeld = (slice: FunctionSlice) => digests.get(slice.key) === sliceDigest(slice)
    const { true: held = [], false: lacking = [] } = Object.groupBy(message.upsert, (one) =>
      isHeld(one) ? 'true' : 'false',
    )
    if (held.length > 0) this.#order({ case: 'keep', value: { functions: held.map(({ key }) => key) } })
    if (lacking.length > 0) this.#tell({ ...message, upsert: lacking }, false)
  }

  #order(order: Order): void {
    this.#outbox.send(order)
  }
}

function endpointsOf({ endpoints }: EngineUp): ToEngine[] {
  return endpoints.flatMap((text) => readEndpoints(fromWire(text, () => undefined)) ?? [])
}
