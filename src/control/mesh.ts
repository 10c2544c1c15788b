import type { FunctionSpec } from '../api/function-spec.ts'
import type { EngineQuery, FromEngine, MeshSlice, ToEngine } from '../dataplane/engine-messages.ts'
import { nodePrincipalOf } from '../dataplane/engine-node.ts'
import type { CertificateAuthority } from './certificate-authority.ts'
import type { CompiledFunction, CompiledMesh } from './compile-mesh.ts'
import { embeddedQuota } from './embedded-quota.ts'
import { type FunctionController, isExternal, startsUnasked } from './function-controller.ts'
import { FunctionControllers } from './function-controllers.ts'
import { FunctionSlices } from './function-slices.ts'
import { gatewayPrincipal, trustDomains } from './gateway-identity.ts'
import { HostedBook } from './hosted-book.ts'
import { IdentityBook } from './identity-book.ts'
import { InstancePlaces } from './instance-places.ts'
import { KeySetHub } from './key-set-hub.ts'
import type { ListenFailure } from './listener-plan.ts'
import { LocalNode, type NodePlan, type NodeStartProblem } from './local-node.ts'
import type { MeshNode, NodeEvents } from './mesh-node.ts'
import { MeshNodes } from './mesh-nodes.ts'
import { meshSlice } from './mesh-slices.ts'
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
    (node, key) => this.#controllers.tellEndpoints(node, key),
  )
  /** null: the mesh has one node. */
  readonly #identities: IdentityBook | null
  readonly #controllers: FunctionControllers
  readonly #places: InstancePlaces
  /** Where functions' own addresses are open. */
  readonly #egressHomes = new Map<string, MeshNode>()
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
    this.#identities = options.authority && this.#newIdentities(options.authority)
    this.#places = new InstancePlaces(this.#nodes, this.#slices, options.authority && this.#hosted)
    this.#controllers = new FunctionControllers({
      compiled: () => this.#compiled,
      nodes: this.#nodes,
      slices: this.#slices,
      places: this.#places,
      notice: options.notice,
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
    this.#controllers.tellAgain()
    const { host, port } = this.#options.gateway
    const gateway = this.#local.find(({ isGateway }) => isGateway)?.openGateway(host, port)
    const egress = [...this.#compiled.functions.values()].map(({ spec }) => this.#openEgress(spec))
    const workers = this.#local.filter(({ runsInstances }) => runsInstances)
    const spares = workers.map((node) => node.fillEgress())
    const opened = await gateway
    if (opened && !opened.ok) return opened.failure
    this.#gatewayPort = opened?.port ?? 0
    await Promise.all([...egress, ...spares])
    this.#timers = [
      setInterval(() => this.#controllers.scale(), SCALE_MS),
      setInterval(() => this.#controllers.turn(), TURN_MS),
    ]
    return null
  }

  /** A node of another process joins; it is told all that it needs from here on. */
  attach(make: (events: NodeEvents) => MeshNode): MeshNode {
    const node: MeshNode = make(this.#eventsOf(() => node))
    this.#nodes.add(node)
    this.#slices.adopt(node, node.known?.() ?? [])
    for (const { key, count } of node.found?.() ?? []) this.#controllers.adopt(key, count)
    this.nodesChanged()
    return node
  }

  /** The node is gone, and with it its engines and instances. */
  detach(node: MeshNode): void {
    const engines = node.pids()
    this.#nodes.remove(node)
    for (const { engine } of engines) {
      this.#identities?.engineDied(engine)
      this.#controllers.forgetEngine(engine)
    }
    this.#hosted.removeNode(node)
    for (const [key, home] of this.#egressHomes) if (home === node) this.#egressHomes.delete(key)
    this.nodesChanged()
  }

  /** Tells nodes of each other, and lets instances start where they may now: a node has come or gone, or its address has changed. */
  nodesChanged(): void {
    this.#tellNodes()
    this.#places.nodesChanged()
    this.#controllers.tellAgain()
    for (const { spec } of this.#compiled.functions.values()) {
      if (!this.#egressHomes.has(spec.key) && isExternal(spec)) void this.#openEgress(spec)
    }
  }

  /** Whether further instances may start on a node; false where there is no such node. */
  setSchedulable(name: string, schedulable: boolean): boolean {
    if (!this.#nodes.all.some((node) => node.name === name)) return false
    this.#places.setSchedulable(name, schedulable)
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
      schedulable: this.#places.isSchedulable(node.name),
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
    for (const engine of engines) this.#controllers.forgetEngine(engine)
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

  #removeFunction(key: string): void {
    this.#egressHomes.get(key)?.closeEgress(key)
    this.#egressHomes.delete(key)
    this.#controllers.remove(key)
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

  #hubNodes(): HubNode[] {
    return this.#nodes.all.map((node) => ({ name: node.name, engines: node.engines() }))
  }

  #engineDied(engine: string, how: string): void {
    this.#options.notice(`${engine} ended (${how}); another one is started`)
    this.#identities?.engineDied(engine)
    this.#controllers.forgetEngine(engine)
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
        return this.#controllers.returned(engine, message)
      case 'demand':
        return this.#controllers.demand(engine, message)
    }
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
