import type { FunctionSpec } from '../api/function-spec.ts'
import type { EngineQuery, FromEngine, MeshSlice, ToEngine } from '../dataplane/engine-messages.ts'
import type { Instance } from '../runtime/instance.ts'
import type { CertificateAuthority } from './certificate-authority.ts'
import type { CompiledMesh } from './compile-mesh.ts'
import { EgressHomes } from './egress-homes.ts'
import { embeddedQuota } from './embedded-quota.ts'
import { type FunctionController, isExternal, startsUnasked } from './function-controller.ts'
import { FunctionControllers } from './function-controllers.ts'
import { FunctionSlices } from './function-slices.ts'
import { HostedBook } from './hosted-book.ts'
import { IdleSlices, SLICE_IDLE_MS } from './idle-slices.ts'
import { InstancePlaces } from './instance-places.ts'
import { KeySetHub } from './key-set-hub.ts'
import type { ListenFailure } from './listener-plan.ts'
import { LocalNode, type NodePlan, type NodeStartProblem } from './local-node.ts'
import { type MeshDifference, meshChanged, meshDifference } from './mesh-difference.ts'
import type { MeshNode, NodeEvents } from './mesh-node.ts'
import { MeshNodes } from './mesh-nodes.ts'
import { meshSlice } from './mesh-slices.ts'
import { concerning } from './node-concerns.ts'
import { NodeTrust } from './node-trust.ts'
import type { Amounts } from './placement-choice.ts'
import { QuotaHub, type QuotaSource } from './quota-hub.ts'
import { type HubNode, UserPolicyHub } from './user-policy-hub.ts'

/** Knative's autoscaler ticks each 2 s. */
const SCALE_MS = 2_000
/** How long an engine keeps slots that others wait for, in milliseconds. */
const TURN_MS = 100
/** Beyond the engines' own drain time. */
const DRAIN_SLACK_MS = 1_000

/** The code of a failure that is the engines' own: they do not start. */
export const ENGINES = 'ENGINES'

export interface MeshOptions {
  gateway: { host: string; port: number }
  /** Nodes of this process; others may join. */
  nodes: readonly NodePlan[]
  /** Issues the certificates by which several nodes know each other's workloads; null: there is one node and no other joins. */
  authority: CertificateAuthority | null
  /** Who leases the requests of rate limits; absent: this process, which forgets them when it ends. */
  quota?: QuotaSource
  /** Nodes forget functions for which they have had no use for so long; absent: SLICE_IDLE_MS. */
  sliceIdleMs?: number
  /** Milliseconds since the epoch, for what is idle; absent: Date.now. */
  now?(): number
  /** Something that a user should read. */
  notice(text: string): void
}

export interface NodeStatus {
  node: string
  /** It takes requests from outside, it runs functions. */
  roles: string[]
  /** Where other nodes' engines reach it; null: they need not. */
  address: string | null
  engines: string[]
  /** Further instances may start there. */
  schedulable: boolean
  /** How many functions its engines know. */
  functions: number
  /** What instances there ask for together; null: none run there. */
  requested: Amounts | null
}

/** A whole mesh on one machine: its functions under control, its engines, its gateway. */
export class Mesh {
  readonly #options: MeshOptions
  readonly #nodes: MeshNodes
  readonly #local: readonly LocalNode[]
  readonly #hosted = new HostedBook()
  readonly #slices: FunctionSlices
  readonly #idle: IdleSlices
  /** null: the mesh has one node. */
  readonly #trust: NodeTrust | null
  readonly #controllers: FunctionControllers
  readonly #places: InstancePlaces
  readonly #egress: EgressHomes
  readonly #userPolicies: UserPolicyHub
  readonly #keySets: KeySetHub
  readonly #quota: QuotaHub
  #compiled: CompiledMesh
  #gatewayPort = 0
  #timers: NodeJS.Timeout[] = []

  constructor(compiled: CompiledMesh, options: MeshOptions) {
    this.#compiled = compiled
    this.#options = options
    this.#nodes = new MeshNodes(options.authority !== null)
    this.#local = options.nodes.map((plan) => this.#newNode(plan))
    for (const node of this.#local) this.#nodes.add(node)
    const { authority, notice } = options
    this.#trust =
      authority &&
      new NodeTrust({
        authority,
        nodes: this.#nodes,
        compiled: () => this.#compiled,
        speaksFor: (node, key) => this.#nodes.tenants.has(node, key) || this.#egress.isHome(node, key),
        notice,
      })
    this.#egress = new EgressHomes(this.#nodes)
    const now = options.now ?? Date.now
    this.#slices = new FunctionSlices(
      () => this.#compiled,
      {
        learned: (node, key) => this.#controllers.tellEndpoints(node, key),
        isCold: (node, fn) => this.#controllers.isCold(node, fn),
        start: (node, engine, key) => this.#controllers.expect(node, engine, key),
      },
      now,
    )
    this.#places = new InstancePlaces(this.#nodes, this.#slices, options.authority && this.#hosted)
    this.#controllers = new FunctionControllers({
      compiled: () => this.#compiled,
      nodes: this.#nodes,
      slices: this.#slices,
      places: this.#places,
      notice,
    })
    this.#idle = new IdleSlices({
      compiled: () => this.#compiled,
      nodes: this.#nodes,
      slices: this.#slices,
      controllers: this.#controllers,
      now,
      idleMs: options.sliceIdleMs ?? SLICE_IDLE_MS,
    })
    this.#userPolicies = new UserPolicyHub((engine, message) => this.#nodes.send(engine, message))
    this.#keySets = new KeySetHub({ broadcast: (message) => this.#nodes.broadcast(message), ...options })
    this.#keySets.follow(compiled.functions.values())
    this.#quota = new QuotaHub(options.quota ?? embeddedQuota(), (engine, message) =>
      this.#nodes.send(engine, message),
    )
    this.#quota.follow(compiled.functions.values())
  }

  /** Starts engines and functions; resolves once the gateway accepts traffic, or with why it can't (the code may be ENGINES). */
  async start(): Promise<ListenFailure | null> {
    for (const { spec } of this.#compiled.functions.values())
      if (startsUnasked(spec)) this.#controllers.control(spec)
    const problem = await this.#startLocal()
    if (problem?.kind === 'engines') return { code: ENGINES, message: problem.message }
    if (problem?.kind === 'address') return problem.failure
    // What was ready before the nodes had their addresses.
    this.#controllers.tellAgain(this.#nodes.takeMoved())
    const { host, port } = this.#options.gateway
    const gateway = this.#local.find(({ isGateway }) => isGateway)?.openGateway(host, port)
    const egress = [...this.#compiled.functions.values()].map(({ spec }) => this.#egress.open(spec))
    const workers = this.#local.filter(({ runsInstances }) => runsInstances)
    const spares = workers.map((node) => node.fillEgress())
    const opened = await gateway
    if (opened && !opened.ok) return opened.failure
    this.#gatewayPort = opened?.port ?? 0
    await Promise.all([...egress, ...spares])
    this.#timers = [
      setInterval(() => this.#controllers.scale(), SCALE_MS),
      setInterval(() => this.#controllers.turn(), TURN_MS),
      setInterval(() => this.#idle.look(), this.#idle.lookMs),
    ]
    return null
  }

  /** Nodes of other processes join; they are told all that they need from here on. */
  attach(makes: readonly ((events: NodeEvents) => MeshNode)[]): MeshNode[] {
    const nodes = makes.map((make) => {
      const node: MeshNode = make(this.#eventsOf(() => node))
      this.#nodes.add(node)
      this.#slices.adopt(node, node.known?.() ?? [])
      return node
    })
    const found = Map.groupBy(
      nodes.flatMap((node) => node.found?.() ?? []),
      ({ key }) => key,
    )
    for (const [key, sets] of found)
      this.#controllers.adopt(
        key,
        sets.reduce((sum, { count }) => sum + count, 0),
      )
    this.nodesChanged()
    return nodes
  }

  /** The node is gone, and with it its instances. Its engines have ended, or else may still use what they hold elsewhere. */
  detach(node: MeshNode, engines: 'ended' | 'out of reach'): void {
    const names = node.pids().map(({ engine }) => engine)
    this.#nodes.remove(node)
    if (engines === 'ended') this.forgetEngines(names)
    else for (const engine of names) this.#controllers.engineAbsent(engine)
    this.#hosted.removeNode(node)
    this.#egress.lost(node)
    this.nodesChanged()
  }

  /** What these engines held is free: they have ended. */
  forgetEngines(engines: readonly string[]): void {
    for (const engine of engines) {
      this.#trust?.identities.engineDied(engine)
      this.#controllers.forgetEngine(engine)
    }
  }

  /** Tells nodes of each other, and lets instances start where they may now: a node has come or gone, or its address has changed. */
  nodesChanged(): void {
    this.#trust?.tell()
    this.#places.nodesChanged()
    this.#controllers.tellAgain(this.#nodes.takeMoved())
    this.#egress.reopen(Array.from(this.#compiled.functions.values(), ({ spec }) => spec))
  }

  /** Whether further instances may start on a node, which may come only later; `drain`: those that are there go elsewhere. */
  setSchedulable(name: string, schedulable: boolean, drain = false): void {
    this.#places.setSchedulable(name, schedulable, drain)
  }

  /** The node of an instance, by its id; null: there is no such instance. */
  hostOf(instance: string): string | null {
    return this.#nodes.hostOf(instance)?.name ?? null
  }

  /** Brings a new state of the manifests into force: only what changed is touched. `told` says what that is, where that is known. */
  apply(next: CompiledMesh, told: MeshDifference | null = null): void {
    const before = this.#compiled
    this.#compiled = next
    const difference = told?.since === before ? told : meshDifference(before, next)
    const { upsert, remove } = difference
    if (meshChanged(before, next)) this.#nodes.broadcast({ type: 'mesh', mesh: meshSlice(next) })
    const were = [...upsert.map(({ spec }) => spec.key), ...remove].map((key) => before.functions.get(key))
    const changed = [...upsert, ...were.filter((fn) => fn !== undefined)]
    if (changed.some(({ tokenKeys }) => tokenKeys.length > 0)) this.#keySets.follow(next.functions.values())
    if (changed.some(({ quotaLimits }) => quotaLimits.length > 0)) this.#quota.follow(next.functions.values())
    if (before.modules !== next.modules || changed.some(({ userPolicies }) => userPolicies !== null))
      this.#userPolicies.apply(this.#nodes.engines(), before, next)
    this.#slices.apply(this.#nodes.all, upsert, remove)
    for (const key of remove) {
      this.#egress.close(key)
      this.#controllers.remove(key)
    }
    this.#trust?.applied(before, difference)
    for (const { spec } of upsert) {
      if (!before.functions.has(spec.key) && this.#hasOwnAddress(spec)) void this.#egress.open(spec)
      if (this.#controllers.get(spec.key)) this.#controllers.replace(spec)
      else if (startsUnasked(spec)) this.#controllers.control(spec)
    }
  }

  get compiled(): CompiledMesh {
    return this.#compiled
  }

  get gateway(): string {
    const { host } = this.#options.gateway
    return `http://${host.includes(':') ? `[${host}]` : host}:${this.#gatewayPort}`
  }

  get instancesStarted(): number {
    return this.#controllers.instancesStarted
  }

  /** What controls a function; undefined for one that was never asked for. */
  controller(key: string): FunctionController | undefined {
    return this.#controllers.get(key)
  }

  /** Instances of deleted functions, which end. */
  leaving(): Instance[] {
    return this.#controllers.leaving()
  }

  egressUrl(key: string, instance: string | null = null): string | null {
    return this.#egress.url(key, instance)
  }

  nodes(): NodeStatus[] {
    return this.#nodes.all.map((node) => ({
      node: node.name,
      roles: [...(node.isGateway ? ['gateway'] : []), ...(node.runsInstances ? ['functions'] : [])],
      address: node.address && `${node.address.host}:${node.address.port}`,
      engines: node.engines(),
      functions: this.#slices.count(node),
      schedulable: this.#places.isSchedulable(node.name),
      requested: this.#places.requested(node.name),
    }))
  }

  engines(): { engine: string; pid: number | undefined }[] {
    return this.#nodes.pids()
  }

  /** What whoever leases the limits' requests has counted. */
  get quotaCounters(): Record<string, number> {
    return this.#quota.counters
  }

  query(query: EngineQuery): Promise<{ engine: string; answer: unknown }[]> {
    return this.#nodes.query(query)
  }

  /** Certificates that engines hold; none in a mesh of one node. */
  async identities() {
    return (await this.#trust?.identities.list()) ?? []
  }

  /** Makes all certificates issued so far count for nothing; resolves with the new epoch, or null in a mesh of one node. */
  async beginEpoch(): Promise<number | null> {
    return (await this.#trust?.identities.beginEpoch()) ?? null
  }

  /** Ceases to decide, and leaves nodes of other processes as they are. */
  leave(): void {
    for (const timer of this.#timers) clearInterval(timer)
    this.#slices.close()
    this.#keySets.close()
    this.#quota.close()
    this.#trust?.identities.close()
  }

  /** Refuses new connections, lets requests under way end, stops instances and engines. */
  async stop(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer)
    const engines = this.#nodes.engines()
    this.#slices.close()
    this.#keySets.close()
    await this.#nodes.drain(this.#compiled.limits.drainTimeoutMs + DRAIN_SLACK_MS)
    // No engine is left that could give its slots back: without this, instances would wait for that.
    for (const engine of engines) this.#controllers.forgetEngine(engine)
    this.#quota.close()
    this.#trust?.identities.close()
    await this.#nodes.close()
  }

  #newNode(plan: NodePlan): LocalNode {
    const prefix = this.#options.authority === null ? 'engine' : `${plan.name}-engine`
    const node: LocalNode = new LocalNode(
      plan,
      prefix,
      this.#eventsOf(() => node),
      this.#options.notice,
    )
    return node
  }

  #eventsOf(node: () => MeshNode): NodeEvents {
    return {
      state: () => this.#stateFor(node()),
      started: (engine) => [
        ...this.#userPolicies.states(node().name, Date.now()),
        ...this.#controllers.forNewEngine(node(), engine),
      ],
      found: (engine, endpoints) => this.#controllers.found(engine, endpoints),
      message: (engine, message) => this.#engineMessage(node(), engine, message),
      hostOf: (instance) => this.hostOf(instance),
      ended: (engine) => this.#controllers.engineAbsent(engine),
      died: (engine, how) => this.#engineDied(engine, how),
    }
  }

  /** Resolves once all engines of this process accept messages and its nodes' addresses connections, or with what went wrong. */
  async #startLocal(): Promise<NodeStartProblem | null> {
    const problems = await Promise.all(this.#local.map((node) => node.start()))
    const problem = problems.find((one) => one !== null)
    if (problem) return problem
    if (this.#trust === null) return null
    for (const node of this.#local) {
      const failure = await node.openAddress()
      if (failure) return failure
    }
    return null
  }

  /** What every engine of a node is to know. */
  #stateFor(node: MeshNode): ToEngine[] {
    const mesh: MeshSlice = meshSlice(this.#compiled)
    return [
      { type: 'mesh', mesh },
      ...(this.#trust ? [this.#trust.message(node)] : []),
      ...this.#keySets.messages(),
      ...this.#userPolicies.modules(this.#compiled),
      ...this.#slices.messages(node),
      ...this.#hosted.messages(node),
    ]
  }

  /** Processes on other machines call from their instances' addresses alone: nobody would hear of another one. */
  #hasOwnAddress(spec: FunctionSpec): boolean {
    return isExternal(spec) || this.#local.length > 0
  }

  #hubNodes(): HubNode[] {
    return this.#nodes.all.map((node) => ({ name: node.name, engines: node.engines() }))
  }

  #engineDied(engine: string, how: string): void {
    this.#options.notice(`${engine} ended (${how}); another one is started`)
    this.#trust?.identities.engineDied(engine)
    this.#controllers.forgetEngine(engine)
  }

  #engineMessage(node: MeshNode, engine: string, said: FromEngine): void {
    const message = concerning(said, node, this.#compiled, this.#slices)
    switch (message?.type) {
      case 'user-state':
        return this.#userPolicies.receive(engine, node.name, message.updates, this.#hubNodes())
      case 'function-wanted':
        return this.#slices.wanted(node, engine, message)
      case 'identity-wanted':
        return void this.#trust?.identities.wanted(engine, message.principal)
      case 'quota':
        return this.#quota.receive(engine, node.name, message.request)
      case 'key-set-wanted':
        return this.#keySets.wanted(message.id)
      case 'returned':
        return this.#controllers.returned(engine, message)
      case 'demand':
        return this.#controllers.demand(engine, message)
    }
  }
}
