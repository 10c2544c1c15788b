import type { FunctionSpec } from '../api/function-spec.ts'
import type { EngineQuery, FromEngine, MeshSlice, ToEngine } from '../dataplane/engine-messages.ts'
import { nodePrincipalOf } from '../dataplane/engine-node.ts'
import type { Instance, InstanceListener } from '../runtime/instance.ts'
import type { InstanceSet } from '../runtime/instance-set.ts'
import type { CertificateAuthority } from './certificate-authority.ts'
import type { CompiledFunction, CompiledMesh } from './compile-mesh.ts'
import { embeddedQuota } from './embedded-quota.ts'
import { FunctionController, isExternal, startsUnasked } from './function-controller.ts'
import { FunctionSlices } from './function-slices.ts'
import { gatewayPrincipal, trustDomains } from './gateway-identity.ts'
import { HostedBook } from './hosted-book.ts'
import { IdentityBook } from './identity-book.ts'
import { KeySetHub } from './key-set-hub.ts'
import type { ListenFailure } from './listener-plan.ts'
import { LocalNode, type NodePlan, type NodeStartProblem } from './local-node.ts'
import type { MeshNode, NodeEvents } from './mesh-node.ts'
import { MeshNodes } from './mesh-nodes.ts'
import { meshSlice } from './mesh-slices.ts'
import { type Place, PlacedSet } from './placement.ts'
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
}

/** A whole mesh on one machine: its functions under control, its engines, its gateway. */
export class Mesh {
  readonly #options: MeshOptions
  readonly #nodes: MeshNodes
  readonly #local: readonly LocalNode[]
  readonly #hosted = new HostedBook()
  readonly #slices = new FunctionSlices(
    () => this.#compiled,
    (node, key) => this.#tellEndpoints(node, key),
  )
  /** null: the mesh has one node. */
  readonly #identities: IdentityBook | null
  readonly #controllers = new Map<string, FunctionController>()
  /** Controllers that the autoscaler looks at; the others are at rest. */
  readonly #busy = new Set<FunctionController>()
  readonly #contended = new Set<FunctionController>()
  /** Controllers of deleted functions whose instances still work on their last requests. */
  readonly #leaving = new Set<FunctionController>()
  /** The sets of instances that follow the nodes that there are. */
  readonly #placed = new Set<PlacedSet>()
  /** Nodes on which no further instances start. */
  readonly #cordoned = new Set<string>()
  /** Where functions' own addresses are open. */
  readonly #egressHomes = new Map<string, MeshNode>()
  readonly #userPolicies: UserPolicyHub
  readonly #keySets: KeySetHub
  readonly #quota: QuotaHub
  #compiled: CompiledMesh
  #gatewayPort = 0
  #instancesStarted = 0
  #timers: NodeJS.Timeout[] = []

  constructor(compiled: CompiledMesh, options: MeshOptions) {
    this.#compiled = compiled
    this.#options = options
    this.#nodes = new MeshNodes(options.authority !== null)
    this.#local = options.nodes.map((plan) => this.#newNode(plan))
    for (const node of this.#local) this.#nodes.add(node)
    this.#identities = options.authority && this.#newIdentities(options.authority)
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
    for (const { spec } of this.#compiled.functions.values()) if (startsUnasked(spec)) this.#control(spec)
    const problem = await this.#startLocal()
    if (problem?.kind === 'engines') return { code: ENGINES, message: problem.message }
    if (problem?.kind === 'address') return problem.failure
    // What was ready before the nodes had their addresses.
    for (const controller of this.#controllers.values()) controller.tellAgain()
    const { host, port } = this.#options.gateway
    const gateway = this.#local.find(({ isGateway }) => isGateway)?.openGateway(host, port)
    const egress = [...this.#compiled.functions.values()].map(({ spec }) => this.#openEgress(spec))
    const workers = this.#local.filter(({ runsInstances }) => runsInstances)
    const spares = workers.map((node) => node.fillEgress())
    const opened = await gateway
    if (opened && !opened.ok) return opened.failure
    this.#gatewayPort = opened?.port ?? 0
    await Promise.all([...egress, ...spares])
    this.#timers = [setInterval(() => this.#scale(), SCALE_MS), setInterval(() => this.#turn(), TURN_MS)]
    return null
  }

  /** A node of another process joins; it is told all that it needs from here on. */
  attach(make: (events: NodeEvents) => MeshNode): MeshNode {
    const node: MeshNode = make(this.#eventsOf(() => node))
    this.#nodes.add(node)
    this.#slices.adopt(node, node.known?.() ?? [])
    for (const { key, count } of node.found?.() ?? []) this.#adopt(key, count)
    this.nodesChanged()
    return node
  }

  /** The node is gone, and with it its engines and instances. */
  detach(node: MeshNode): void {
    const engines = node.pids()
    this.#nodes.remove(node)
    for (const { engine } of engines) {
      this.#identities?.engineDied(engine)
      this.#forgetEngine(engine)
    }
    this.#hosted.removeNode(node)
    for (const [key, home] of this.#egressHomes) if (home === node) this.#egressHomes.delete(key)
    this.nodesChanged()
  }

  /** Tells nodes of each other, and lets instances start where they may now: a node has come or gone, or its address has changed. */
  nodesChanged(): void {
    this.#tellNodes()
    for (const set of this.#placed) set.setPlaces(this.#placesFor(set.spec))
    for (const controller of this.#controllers.values()) controller.tellAgain()
    for (const { spec } of this.#compiled.functions.values()) {
      if (!this.#egressHomes.has(spec.key) && isExternal(spec)) void this.#openEgress(spec)
    }
  }

  /** Whether further instances may start on a node; false where there is no such node. */
  setSchedulable(name: string, schedulable: boolean): boolean {
    if (!this.#nodes.all.some((node) => node.name === name)) return false
    if (schedulable) this.#cordoned.delete(name)
    else this.#cordoned.add(name)
    for (const set of this.#placed) set.setPlaces(this.#placesFor(set.spec))
    return true
  }

  /** Brings a new state of the manifests into force: only what changed is touched. */
  apply(next: CompiledMesh): void {
    const before = this.#compiled
    this.#compiled = next
    if (meshChanged(before, next)) this.#nodes.broadcast({ type: 'mesh', mesh: meshSlice(next) })
    this.#keySets.follow(next.functions.values())
    this.#quota.follow(next.functions.values())
    this.#userPolicies.apply(this.#nodes.engines(), before, next)
    const renamed = before.config.domain !== next.config.domain
    const upsert = [...next.functions.values()].filter(
      (fn) => renamed || changed(before.functions.get(fn.spec.key), fn),
    )
    const remove = [...before.functions.keys()].filter((key) => !next.functions.has(key))
    this.#slices.apply(this.#nodes.all, upsert, remove)
    for (const key of remove) this.#removeFunction(key)
    this.#identities?.setTrustDomains(trustDomains(next.config))
    this.#identities?.prune()
    if (before.config.trustDomain !== next.config.trustDomain) this.#tellNodes()
    for (const { spec } of upsert) {
      if (!before.functions.has(spec.key)) void this.#openEgress(spec)
      const controller = this.#controllers.get(spec.key)
      if (controller && !sameProgram(controller.spec, spec)) {
        controller.replace(spec)
        this.#busy.add(controller)
      } else if (!controller && startsUnasked(spec)) this.#control(spec)
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
    return this.#instancesStarted
  }

  /** What controls a function; undefined for one that was never asked for. */
  controller(key: string): FunctionController | undefined {
    return this.#controllers.get(key)
  }

  egressUrl(key: string, instance: string | null = null): string | null {
    const node = (instance !== null && this.#nodes.hostOf(instance)) || this.#egressHomes.get(key)
    return node?.egressUrl(key, instance) ?? null
  }

  nodes(): NodeStatus[] {
    return this.#nodes.all.map((node) => ({
      node: node.name,
      roles: [...(node.isGateway ? ['gateway'] : []), ...(node.runsInstances ? ['functions'] : [])],
      address: node.address && `${node.address.host}:${node.address.port}`,
      engines: node.engines(),
      schedulable: !this.#cordoned.has(node.name),
    }))
  }

  engines(): { engine: string; pid: number | undefined }[] {
    return this.#nodes.pids()
  }

  query(query: EngineQuery): Promise<{ engine: string; answer: unknown }[]> {
    return this.#nodes.query(query)
  }

  /** Certificates that engines hold; none in a mesh of one node. */
  async identities() {
    return (await this.#identities?.list()) ?? []
  }

  /** Makes all certificates issued so far count for nothing; resolves with the new epoch, or null in a mesh of one node. */
  async beginEpoch(): Promise<number | null> {
    return (await this.#identities?.beginEpoch()) ?? null
  }

  /** Ceases to decide, and leaves nodes of other processes as they are. */
  leave(): void {
    for (const timer of this.#timers) clearInterval(timer)
    this.#keySets.close()
    this.#quota.close()
    this.#identities?.close()
  }

  /** Refuses new connections, lets requests under way end, stops instances and engines. */
  async stop(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer)
    const engines = this.#nodes.engines()
    this.#keySets.close()
    await this.#nodes.drain(this.#compiled.limits.drainTimeoutMs + DRAIN_SLACK_MS)
    // No engine is left that could give its slots back: without this, instances would wait for that.
    for (const engine of engines) this.#forgetEngine(engine)
    this.#quota.close()
    this.#identities?.close()
    await this.#nodes.close()
  }

  /** Servers that others run may call at any rate; a process calls from its instances' own addresses. */
  #openEgress(spec: FunctionSpec): Promise<void> {
    const home = this.#nodes.homeOf(spec.key)
    if (!home) return Promise.resolve()
    this.#egressHomes.set(spec.key, home)
    return home.openEgress(spec.key, isExternal(spec) ? 'all' : 'one')
  }

  /** The function's controller, made when it is first needed: most functions of a mesh are idle. */
  #controllerFor(key: string): FunctionController | undefined {
    const compiled = this.#compiled.functions.get(key)
    return this.#controllers.get(key) ?? (compiled && this.#control(compiled.spec))
  }

  /** The node's engines know the function from now on: they are told of its instances. */
  #tellEndpoints(node: MeshNode, key: string): void {
    const controller = this.#controllers.get(key)
    if (!controller) return
    for (const engine of node.engines()) {
      const message = controller.addEngine(engine)
      if (message) node.send(engine, this.#nodes.told(engine, message))
    }
  }

  /** The nodes whose engines know the function: they alone have a part in its instances. */
  #nodesKnowing(key: string): MeshNode[] {
    return this.#nodes.all.filter((node) => this.#slices.knows(node, key))
  }

  /** A node that joins has instances of the function, which are to stay. */
  #adopt(key: string, count: number): void {
    const compiled = this.#compiled.functions.get(key)
    const controller = this.#controllers.get(key)
    if (controller) controller.keep(controller.instances().length + count)
    else if (compiled) this.#control(compiled.spec, count)
  }

  /** `adopted` instances run already. */
  #control(spec: FunctionSpec, adopted = 0): FunctionController {
    const { notice } = this.#options
    const controller = new FunctionController(
      spec,
      this.#nodesKnowing(spec.key).flatMap((node) => node.engines()),
      {
        createSet: (one, revision, listener) => this.#createSet(one, revision, listener),
        send: (engine, message) => this.#nodes.send(engine, message),
        broadcast: (message) => {
          for (const node of this.#nodesKnowing(spec.key)) node.broadcast(message)
        },
        instanceStarting: () => {
          this.#instancesStarted++
        },
        notice,
      },
      adopted,
    )
    this.#controllers.set(spec.key, controller)
    this.#busy.add(controller)
    return controller
  }

  #createSet(spec: FunctionSpec, revision: string, listener: InstanceListener): InstanceSet {
    const most = isExternal(spec) ? 1 : Number.POSITIVE_INFINITY
    const set = new PlacedSet(spec, revision, most, ({ name }) => {
      const node = this.#nodes.all.find((one) => one.name === name)!
      return node.createSet(spec, revision, this.#onNode(node, listener))
    })
    this.#placed.add(set)
    const drain = set.drain.bind(set)
    set.drain = () => drain().finally(() => this.#placed.delete(set))
    set.setPlaces(this.#placesFor(spec))
    return set
  }

  #placesFor({ key }: FunctionSpec): Place[] {
    return this.#nodes.ranked(key).map(({ name }) => ({ name, schedulable: !this.#cordoned.has(name) }))
  }

  /** Its engines know an instance before others may send requests for it. */
  #onNode(node: MeshNode, listener: InstanceListener): InstanceListener {
    const several = this.#identities !== null
    return {
      ...listener,
      starting: (instance) => {
        this.#nodes.place(instance.id, node)
        listener.starting?.(instance)
      },
      ready: (instance) => {
        if (several) {
          this.#slices.ensure(node, instance.function)
          this.#hosted.add(node, instance)
        }
        listener.ready(instance)
      },
      gone: (instance: Instance, why) => {
        listener.gone(instance, why)
        this.#hosted.remove(instance)
        this.#nodes.forget(instance.id)
      },
    }
  }

  #removeFunction(key: string): void {
    this.#egressHomes.get(key)?.closeEgress(key)
    this.#egressHomes.delete(key)
    const controller = this.#controllers.get(key)
    if (!controller) return
    this.#controllers.delete(key)
    this.#busy.delete(controller)
    this.#contended.delete(controller)
    this.#leaving.add(controller)
    void controller.remove().then(() => this.#leaving.delete(controller))
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
      started: (engine) => this.#engineStarted(node(), engine),
      found: (engine, endpoints) => this.#engineFound(engine, endpoints),
      message: (engine, message) => this.#engineMessage(node(), engine, message),
      died: (engine, how) => this.#engineDied(engine, how),
    }
  }

  /** Resolves once all engines of this process accept messages and its nodes' addresses connections, or with what went wrong. */
  async #startLocal(): Promise<NodeStartProblem | null> {
    const problems = await Promise.all(this.#local.map((node) => node.start()))
    const problem = problems.find((one) => one !== null)
    if (problem) return problem
    if (this.#identities === null) return null
    for (const node of this.#local) {
      const failure = await node.openAddress()
      if (failure) return failure
    }
    return null
  }

  #newIdentities(authority: CertificateAuthority): IdentityBook {
    return new IdentityBook({
      authority,
      trustDomains: trustDomains(this.#compiled.config),
      mayHold: (engine, principal) => this.#mayHold(engine, principal),
      send: (engine, message) => this.#nodes.send(engine, message),
      trustChanged: () => this.#tellNodes(),
      settled: () => this.#nodes.query({ kind: 'identities' }),
      notice: this.#options.notice,
    })
  }

  /** A node speaks for the gateway, or for functions that may run on it. */
  #mayHold(engine: string, principal: string): boolean {
    const node = this.#nodes.nodeOf(engine)
    if (!node) return false
    const gateway = gatewayPrincipal(this.#compiled.config)
    if (principal === gateway) return node.isGateway
    if (!node.runsInstances) return false
    if (principal === nodePrincipalOf(gateway)) return true
    return [...this.#compiled.functions.values()].some(({ spec }) => spec.principal === principal)
  }

  #nodeMessages(node: MeshNode): ToEngine[] {
    if (this.#identities === null) return []
    const { name } = node
    const trust = this.#identities.trust(name)
    const principal = gatewayPrincipal(this.#compiled.config)
    return [
      {
        type: 'node',
        node: { name, forwards: this.#nodes.forwards(node), gatewayPrincipal: principal, trust },
      },
    ]
  }

  #tellNodes(): void {
    for (const node of this.#nodes.all) {
      for (const message of this.#nodeMessages(node)) node.broadcast(message)
    }
  }

  /** What every engine of a node is to know. */
  #stateFor(node: MeshNode): ToEngine[] {
    const mesh: MeshSlice = meshSlice(this.#compiled)
    return [
      { type: 'mesh', mesh },
      ...this.#nodeMessages(node),
      ...this.#keySets.messages(),
      ...this.#userPolicies.modules(this.#compiled),
      ...this.#slices.messages(node),
      ...this.#hosted.messages(node),
    ]
  }

  #engineStarted(node: MeshNode, engine: string): ToEngine[] {
    const endpoints = this.#slices
      .keys(node)
      .flatMap((key) => this.#controllers.get(key)?.addEngine(engine) ?? [])
    return [
      ...this.#userPolicies.states(node.name, Date.now()),
      ...endpoints.map((message) => this.#nodes.told(engine, message)),
    ]
  }

  /** Endpoints that a control plane before this one has let an engine use. */
  #engineFound(engine: string, endpoints: readonly ToEngine[]): void {
    for (const message of endpoints) {
      if (message.type !== 'endpoints') continue
      this.#controllerFor(message.key)?.found(engine, message.endpoints)
    }
  }

  #hubNodes(): HubNode[] {
    return this.#nodes.all.map((node) => ({ name: node.name, engines: node.engines() }))
  }

  #engineDied(engine: string, how: string): void {
    this.#options.notice(`${engine} ended (${how}); another one is started`)
    this.#identities?.engineDied(engine)
    this.#forgetEngine(engine)
  }

  #forgetEngine(engine: string): void {
    for (const controller of this.#controllers.values()) controller.engineDied(engine)
    for (const controller of this.#leaving) controller.engineDied(engine)
  }

  #engineMessage(node: MeshNode, engine: string, message: FromEngine): void {
    switch (message.type) {
      case 'user-state':
        return this.#userPolicies.receive(engine, node.name, message.updates, this.#hubNodes())
      case 'function-wanted':
        return this.#slices.wanted(node, engine, message)
      case 'identity-wanted':
        return void this.#identities?.wanted(engine, message.principal)
      case 'quota':
        return this.#quota.receive(engine, node.name, message.request)
      case 'key-set-wanted':
        return this.#keySets.wanted(message.id)
      case 'returned':
        return this.#returned(engine, message)
      case 'demand': {
        const now = Date.now()
        for (const report of message.reports) {
          const controller = this.#controllerFor(report.key)
          if (!controller) continue
          controller.demand(engine, report, now)
          this.#busy.add(controller)
          this.#contended.add(controller)
        }
      }
    }
  }

  /** A deleted function may have been written anew under its name; an instance's id is one controller's alone. */
  #returned(engine: string, { key, endpoint, slots }: Extract<FromEngine, { type: 'returned' }>): void {
    this.#controllers.get(key)?.returned(engine, endpoint, slots)
    for (const controller of this.#leaving) {
      if (controller.key === key) controller.returned(engine, endpoint, slots)
    }
  }

  #scale(): void {
    const now = Date.now()
    for (const controller of this.#busy) if (!controller.scale(now)) this.#busy.delete(controller)
  }

  #turn(): void {
    for (const controller of this.#contended) if (!controller.turn()) this.#contended.delete(controller)
  }
}

/** Whether what every engine is told of the mesh as a whole is another. */
function meshChanged(before: CompiledMesh, after: CompiledMesh): boolean {
  const said = (mesh: CompiledMesh) =>
    JSON.stringify({ ...meshSlice(mesh), gatewayPolicy: mesh.gateway.hash })
  return said(before) !== said(after)
}

/** Where it stands in its file does not matter. */
function changed(before: CompiledFunction | undefined, after: CompiledFunction): boolean {
  if (before === after) return false
  const said = ({ policy, spec, ...rest }: CompiledFunction) =>
    JSON.stringify({ ...rest, policy: policy.hash, spec: { ...spec, source: null } })
  return !before || said(before) !== said(after)
}

/** Instances that run may stay: nothing that they were started with has changed. */
function sameProgram(a: FunctionSpec, b: FunctionSpec): boolean {
  const program = ({ image, env, workingDir, readiness, concurrency, scaling, port }: FunctionSpec) =>
    JSON.stringify({ image, env, workingDir, readiness, concurrency, scaling, port })
  return program(a) === program(b)
}
