import type { FunctionSpec } from '../../api/function-spec.ts'
import type { EngineQuery, ToEngine } from '../../dataplane/engine-messages.ts'
import type { NodeAddress } from '../../dataplane/node-messages.ts'
import type { InstanceListener } from '../../runtime/instance.ts'
import type { InstanceSet } from '../../runtime/instance-set.ts'
import type { MeshNode, NodeEvents } from '../mesh-node.ts'
import type { Amounts } from '../placement-choice.ts'
import type { EngineUp, FromNode, Hello, InstanceState, ToNode } from '../proto/mayfly/v1/nodes_pb.js'
import { readEndpoints, readEngineReport } from './engine-report.ts'
import { engineProblem, instanceProblem, MOST_ENGINES } from './hello-problem.ts'
import { type NodeQuestion, NodeQuestions } from './node-questions.ts'
import { isLasting } from './node-state.ts'
import { RemoteSet } from './remote-set.ts'
import { readSetName, setName } from './set-name.ts'
import { contentHash, fromWire, toWire } from './wire-value.ts'

/** A message for a node; defaults are left out. */
export type Order =
  NonNullable<ToNode['what']> extends infer What
    ? What extends { case: string; value: object }
      ? { case: What['case']; value: Partial<Omit<What['value'], '$typeName' | '$unknown'>> }
      : never
    : never

/** The stream to a node while there is one. */
export interface NodeStream {
  send(order: Order, contents: { hash: string; bytes: Uint8Array }[]): void
  /** The node is told nothing more, but why. */
  end(why: string): void
}

/** Characters of a reason that are kept. */
const MOST_REASON = 1_000

/** Contents that a node is known to hold are remembered up to this number. */
const MOST_HELD = 100_000

/** A node that another process runs, as the control plane sees it through its stream. It outlives the stream for a while. */
export class RemoteNode implements MeshNode {
  readonly name: string
  readonly tellsHosted = true
  readonly #events: NodeEvents
  readonly #sets = new Map<string, RemoteSet>()
  /** What a node told of sets that nobody has claimed yet. */
  readonly #found = new Map<string, InstanceState[]>()
  readonly #engines = new Map<string, number>()
  readonly #egress = new Map<
    string,
    { all: boolean; url: string | null; opened: PromiseWithResolvers<void> }
  >()
  readonly #questions = new NodeQuestions()
  /** How many instances of each set the node may have from before. */
  readonly #mayBring: (set: string) => number
  #refused = 0
  #held = new Set<string>()
  #stream: NodeStream | null = null
  #hello: Hello

  /** `mayBring` says how many instances of each set it may have from before; what it has beyond those is not taken over. */
  constructor(name: string, hello: Hello, events: NodeEvents, mayBring: (set: string) => number) {
    this.name = name
    this.#hello = hello
    this.#events = events
    this.#mayBring = mayBring
    for (const instance of hello.instances) {
      const found = this.#found.get(instance.set) ?? []
      if (found.length < mayBring(instance.set)) this.#found.set(instance.set, [...found, instance])
      else this.#refused++
    }
  }

  /** What the node said that was not its to say. */
  get refused(): number {
    return this.#refused
  }

  /** The instances that it has, by their sets' names. */
  held(): Map<string, number> {
    return new Map(Array.from(this.#sets, ([name, set]) => [name, set.instances().length]))
  }

  get hello(): Hello {
    return this.#hello
  }

  get attached(): boolean {
    return this.#stream !== null
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
    this.#stream = stream
    this.#held = new Set(hello.held)
    this.#order({ case: 'syncBegin', value: {} })
    for (const message of this.#events.state()) this.#tell(message, false)
    this.#order({ case: 'syncEnd', value: {} })
    for (const [key, { all }] of this.#egress)
      this.#order({ case: 'openEgress', value: { function: key, all } })
    this.#reconcileEngines(hello.engines)
    this.#reconcileInstances(hello.instances)
  }

  /** The stream is broken; the node may come back. */
  detach(stream: NodeStream): void {
    if (this.#stream !== stream) return
    this.#stream = null
    this.#questions.giveUp()
  }

  /** The node does not come back: all that it had is gone. */
  lose(): void {
    this.#stream = null
    for (const set of this.#sets.values()) set.lost()
    this.#sets.clear()
  }

  /** What the node says; gives what is wrong with it, or null. */
  receive(message: FromNode): string | null {
    const { what } = message
    if (what.case === 'engineUp') {
      const problem = engineProblem(this.name, what.value)
      if (problem !== null) return problem
      if (this.#engines.size >= MOST_ENGINES && !this.has(what.value.engine))
        return `it has more than ${MOST_ENGINES} engines`
    }
    if (what.case === 'instanceState') {
      const problem = instanceProblem(what.value)
      if (problem !== null) return problem
    }
    if (what.case === 'startFailed' && !Number.isFinite(what.value.retryAt))
      return 'a start is tried again at no time'
    this.#take(message)
    return null
  }

  #take({ what }: FromNode): void {
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
        if (this.#engines.delete(what.value.engine)) this.#events.died(what.value.engine, what.value.how)
        return
      case 'instanceState':
        return this.#sets.get(what.value.set)?.state(what.value)
      case 'instanceGone':
        return this.#sets.get(what.value.set)?.gone(what.value.id, what.value.why)
      case 'startFailed':
        return this.#sets
          .get(what.value.set)
          ?.failed(what.value.reason.slice(0, MOST_REASON), what.value.retryAt)
      case 'setDrained':
        this.#sets.get(what.value.set)?.drained()
        this.#sets.delete(what.value.set)
        return
      case 'egressOpened': {
        const egress = this.#egress.get(what.value.function)
        if (!egress) return
        egress.url = what.value.url || null
        return egress.opened.resolve()
      }
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

  has(engine: string): boolean {
    return this.#engines.has(engine)
  }

  pids(): { engine: string; pid: number | undefined }[] {
    return Array.from(this.#engines, ([engine, pid]) => ({ engine, pid: pid || undefined }))
  }

  send(engine: string, message: ToEngine): void {
    this.#withContents((message_) => ({ case: 'tellEngine', value: { engine, message: message_ } }), message)
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
    if (!this.#stream) return Promise.resolve(undefined)
    return this.#questions.ask((id) =>
      this.#withContents((text) => ({ case: 'ask', value: { id, question: text } }), question),
    )
  }

  openEgress(key: string, engines: 'all' | 'one'): Promise<void> {
    const opened = Promise.withResolvers<void>()
    this.#egress.set(key, { all: engines === 'all', url: null, opened })
    this.#order({ case: 'openEgress', value: { function: key, all: engines === 'all' } })
    return opened.promise
  }

  closeEgress(key: string): void {
    this.#egress.get(key)?.opened.resolve()
    if (this.#egress.delete(key)) this.#order({ case: 'closeEgress', value: { function: key } })
  }

  egressUrl(key: string, instance: string | null): string | null {
    const own = this.#egress.get(key)?.url ?? null
    if (instance === null) return own
    for (const set of this.#sets.values()) {
      const url = set.spec.key === key ? set.egressUrl(instance) : null
      if (url !== null) return url
    }
    return own
  }

  createSet(spec: FunctionSpec, revision: string, listener: InstanceListener): InstanceSet {
    const name = setName(spec.key, revision)
    // What the set is, the node hears once by each stream: behind a later one may be a node that never heard of it.
    let heardBy: NodeStream | null = null
    const set: RemoteSet = new RemoteSet(
      spec,
      revision,
      listener,
      {
        setDesired: (count) => {
          const text = heardBy === this.#stream ? '' : JSON.stringify(spec)
          heardBy = this.#stream
          this.#order({ case: 'setDesired', value: { set: name, count, spec: text } })
        },
        drain: () => {
          if (this.#stream) this.#order({ case: 'drainSet', value: { set: name } })
          else set.drained()
        },
        drained: (id) => this.#order({ case: 'instanceDrained', value: { id } }),
        isTaken: (id) => (this.#events.hostOf?.(id) ?? this.name) !== this.name,
        refused: () => {
          this.#refused++
        },
      },
      this.#mayBring(name),
    )
    this.#sets.set(name, set)
    // What it has already is told when the stream is attached, by when the set's owner is complete.
    return set
  }

  known(): readonly string[] {
    return this.#hello.functions
  }

  /** Instances that were there when the node came, of sets that nobody has claimed yet. */
  found(): { key: string; revision: string; count: number }[] {
    return Array.from(this.#found, ([set, instances]) => ({ ...readSetName(set), count: instances.length }))
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

  #reconcileEngines(there: readonly EngineUp[]): void {
    const names = new Set(there.map(({ engine }) => engine))
    for (const engine of this.#engines.keys()) {
      if (names.has(engine)) continue
      this.#engines.delete(engine)
      this.#events.died(engine, 'it ended while its node was out of reach')
    }
    for (const one of there) {
      if (!this.#engines.has(one.engine)) this.#events.found?.(one.engine, endpointsOf(one))
      this.#engineUp(one)
    }
  }

  #reconcileInstances(there: readonly InstanceState[]): void {
    for (const [name, set] of this.#sets) {
      const own = there.filter((instance) => instance.set === name)
      set.keepOnly(new Set(own.map(({ id }) => id)))
      for (const instance of own) set.state(instance)
      set.repeat()
    }
    for (const name of new Set(there.map(({ set }) => set))) {
      if (!this.#sets.has(name)) this.#order({ case: 'drainSet', value: { set: name } })
    }
    this.#found.clear()
  }

  #tell(message: ToEngine, once: boolean): void {
    this.#withContents((text) => ({ case: 'tell', value: { message: text, once } }), message)
  }

  /** Sends what is made of the message's text, with the contents that it refers to and the node lacks. */
  #withContents(order: (text: string) => Order, message: unknown): void {
    if (!this.#stream) return
    const contents: { hash: string; bytes: Uint8Array }[] = []
    const text = toWire(message, (bytes) => {
      const hash = contentHash(bytes)
      if (!this.#held.has(hash)) {
        if (this.#held.size >= MOST_HELD) this.#held.clear()
        this.#held.add(hash)
        contents.push({ hash, bytes })
      }
      return hash
    })
    this.#stream.send(order(text), contents)
  }

  #order(order: Order): void {
    this.#stream?.send(order, [])
  }
}

function endpointsOf({ endpoints }: EngineUp): ToEngine[] {
  return endpoints.flatMap((text) => readEndpoints(fromWire(text, () => undefined)) ?? [])
}
