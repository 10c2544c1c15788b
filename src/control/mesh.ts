import type { FunctionSpec } from '../api/function-spec.ts'
import type { EngineQuery, FromEngine, MeshSlice, ToEngine } from '../dataplane/engine-messages.ts'
import type { Instance, InstanceListener } from '../runtime/instance.ts'
import type { InstanceSet } from '../runtime/instance-set.ts'
import type { CertificateAuthority } from './certificate-authority.ts'
import type { CompiledFunction, CompiledMesh } from './compile-mesh.ts'
import { embeddedQuota } from './embedded-quota.ts'
import { FunctionController, isExternal, startsUnasked } from './function-controller.ts'
import { gatewayPrincipal, trustDomains } from './gateway-identity.ts'
import { HostedBook } from './hosted-book.ts'
import { IdentityBook } from './identity-book.ts'
import { KeySetHub } from './key-set-hub.ts'
import type { ListenFailure } from './listener-plan.ts'
import { MeshNode, type NodePlan } from './mesh-node.ts'
import { MeshNodes } from './mesh-nodes.ts'
import { functionSlice, meshSlice } from './mesh-slices.ts'
import { spreadSet } from './placement.ts'
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
  /** The first takes requests from outside; at least one runs instances. */
  nodes: readonly NodePlan[]
  /** Issues the certificates by which several nodes know each other's workloads; null for one node. */
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
}

/** A whole mesh on one machine: its functions under control, its engines, its gateway. */
export class Mesh {
  readonly #options: MeshOptions
  readonly #nodes: MeshNodes
  readonly #hosted = new HostedBook()
  /** null: the mesh has one node. */
  readonly #identities: IdentityBook | null
  readonly #controllers = new Map<string, FunctionController>()
  /** Controllers that the autoscaler looks at; the others are at rest. */
  readonly #busy = new Set<FunctionController>()
  readonly #contended = new Set<FunctionController>()
  /** Controllers of deleted functions whose instances still work on their last requests. */
  readonly #leaving = new Set<FunctionController>()
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
    this.#nodes = new MeshNodes(options.nodes.map((plan) => this.#newNode(plan)))
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
    const problem = await this.#nodes.start()
    if (problem?.kind === 'engines') return { code: ENGINES, message: problem.message }
    if (problem?.kind === 'address') return problem.failure
    // What was ready before the nodes had their addresses.
    for (const controller of this.#controllers.values()) controller.tellAgain()
    const { host, port } = this.#options.gateway
    const gateway = this.#nodes.gateway.listeners.open('gateway', host, port, { kind: 'gateway' })
    const egress = [...this.#compiled.functions.values()].map(({ spec }) => this.#openEgress(spec))
    const spares = this.#nodes.workers.map((node) => node.egress.fill())
    const opened = await gateway
    if (!opened.ok) return opened.failure
    this.#gatewayPort = opened.port
    await Promise.all([...egress, ...spares])
    this.#timers = [setInterval(() => this.#scale(), SCALE_MS), setInterval(() => this.#turn(), TURN_MS)]
    return null
  }

  /** Brings a new state of the manifests into force: only what changed is touched. */
  apply(next: CompiledMesh): void {
    const before = this.#compiled
    this.#compiled = next
    this.#nodes.broadcast({ type: 'mesh', mesh: meshSlice(next) })
    this.#keySets.follow(next.functions.values())
    this.#quota.follow(next.functions.values())
    this.#userPolicies.apply(this.#nodes.engines(), before, next)
    const renamed = before.config.domain !== next.config.domain
    const upsert = [...next.functions.values()].filter(
      (fn) => renamed || changed(before.functions.get(fn.spec.key), fn),
    )
    const remove = [...before.functions.keys()].filter((key) => !next.functions.has(key))
    if (upsert.length + remove.length > 0) {
      const { domain } = next.config
      this.#nodes.broadcast({
        type: 'functions',
        upsert: upsert.map((fn) => functionSlice(fn, domain)),
        remove,
      })
    }
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
    const node = (instance !== null && this.#nodes.hostOf(instance)) || this.#nodes.homeOf(key)
    return node.egress.url(key, instance)
  }

  nodes(): NodeStatus[] {
    const { gateway, workers, all } = this.#nodes
    return all.map((node) => ({
      node: node.name,
      roles: [...(node === gateway ? ['gateway'] : []), ...(workers.includes(node) ? ['functions'] : [])],
      address: node.address && `${node.address.host}:${node.address.port}`,
      engines: node.fleet.engines(),
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
    const runtimes = new Set(this.#nodes.workers.map(({ plan }) => plan.runtime!))
    await Promise.all([...runtimes].map((runtime) => runtime.close()))
  }

  /** Servers that others run may call at any rate; a process calls from its instances' own addresses. */
  #openEgress(spec: FunctionSpec): Promise<void> {
    return this.#nodes.homeOf(spec.key).egress.openFunction(spec.key, isExternal(spec) ? 'all' : 'one')
  }

  /** The function's controller, made when it is first needed: most functions of a mesh are idle. */
  #controllerFor(key: string): FunctionController | undefined {
    const compiled = this.#compiled.functions.get(key)
    return this.#controllers.get(key) ?? (compiled && this.#control(compiled.spec))
  }

  #control(spec: FunctionSpec): FunctionController {
    const { notice } = this.#options
    const controller = new FunctionController(spec, this.#nodes.engines(), {
      createSet: (one, revision, listener) => this.#createSet(one, revision, listener),
      send: (engine, message) => this.#nodes.send(engine, message),
      broadcast: (message) => this.#nodes.broadcast(message),
      instanceStarting: (instance) => {
        this.#instancesStarted++
        this.#nodes.hostOf(instance.id)?.egress.openInstance(spec.key, instance.id)
      },
      instanceGone: (instance) => this.#nodes.hostOf(instance.id)?.egress.closeInstance(instance.id),
      notice,
    })
    this.#controllers.set(spec.key, controller)
    this.#busy.add(controller)
    return controller
  }

  /** Servers that others run are of no node; one speaks for them. */
  #createSet(spec: FunctionSpec, revision: string, listener: InstanceListener): InstanceSet {
    const home = this.#nodes.homeOf(spec.key)
    const others = isExternal(spec) ? [] : this.#nodes.workers.filter((node) => node !== home)
    const sets = [home, ...others].map((node) =>
      node.plan.runtime!.createSet(spec, {
        revision,
        listener: this.#onNode(node, listener),
        environment: (instance) => this.#environment(node, spec.key, instance.id),
      }),
    )
    return sets.length === 1 ? sets[0]! : spreadSet(spec, revision, sets)
  }

  /** Its engines know an instance before others may send requests for it. */
  #onNode(node: MeshNode, listener: InstanceListener): InstanceListener {
    const several = this.#nodes.all.length > 1
    return {
      ...listener,
      starting: (instance) => {
        this.#nodes.place(instance.id, node)
        listener.starting?.(instance)
      },
      ready: (instance) => {
        if (several) this.#hosted.add(node, instance)
        listener.ready(instance)
      },
      gone: (instance: Instance, why) => {
        listener.gone(instance, why)
        this.#hosted.remove(instance)
        this.#nodes.remove(instance.id)
      },
    }
  }

  async #environment({ egress }: MeshNode, key: string, instance: string): Promise<Record<string, string>> {
    await egress.instanceReady(instance)
    const url = egress.url(key, instance)
    if (url === null) return {}
    // A request to the address itself, with the callee in Host, needs no proxy.
    const { host } = new URL(url)
    return { HTTP_PROXY: url, http_proxy: url, NO_PROXY: host, no_proxy: host, MAYFLY_URL: url }
  }

  #removeFunction(key: string): void {
    this.#nodes.homeOf(key).egress.closeFunction(key)
    const controller = this.#controllers.get(key)
    if (!controller) return
    this.#controllers.delete(key)
    this.#busy.delete(controller)
    this.#contended.delete(controller)
    this.#leaving.add(controller)
    void controller.remove().then(() => this.#leaving.delete(controller))
  }

  #newNode(plan: NodePlan): MeshNode {
    const prefix = this.#options.nodes.length === 1 ? 'engine' : `${plan.name}-engine`
    const node: MeshNode = new MeshNode(
      plan,
      prefix,
      {
        started: (engine) => this.#engineStarted(node, engine),
        message: (engine, message) => this.#engineMessage(node, engine, message),
        died: (engine, how) => this.#engineDied(node, engine, how),
      },
      this.#options.notice,
    )
    return node
  }

  #newIdentities(authority: CertificateAuthority): IdentityBook {
    return new IdentityBook({
      authority,
      nodes: this.#nodes.all.map(({ name }) => name),
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
    if (principal === gatewayPrincipal(this.#compiled.config)) return node === this.#nodes.gateway
    if (!this.#nodes.workers.includes(node)) return false
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
      for (const message of this.#nodeMessages(node)) node.fleet.broadcast(message)
    }
  }

  #engineStarted(node: MeshNode, engine: string): ToEngine[] {
    const mesh: MeshSlice = meshSlice(this.#compiled)
    const { domain } = this.#compiled.config
    const slices = [...this.#compiled.functions.values()].map((fn) => functionSlice(fn, domain))
    const endpoints = [...this.#controllers.values()].flatMap(
      (controller) => controller.addEngine(engine) ?? [],
    )
    return [
      { type: 'mesh', mesh },
      ...this.#nodeMessages(node),
      ...this.#keySets.messages(),
      ...this.#userPolicies.forNewEngine(node.name, this.#compiled, Date.now()),
      ...batches(slices).map((upsert): ToEngine => ({ type: 'functions', upsert, remove: [] })),
      ...this.#hosted.messages(node),
      ...endpoints.map((message) => this.#nodes.told(engine, message)),
      ...node.listeners.forNewEngine(engine),
    ]
  }

  #hubNodes(): HubNode[] {
    return this.#nodes.all.map(({ name, fleet }) => ({ name, engines: fleet.engines() }))
  }

  #engineDied(node: MeshNode, engine: string, how: string): void {
    this.#options.notice(`${engine} ended (${how}); another one is started`)
    node.listeners.engineDied(engine)
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
      case 'listening':
      case 'listen-failed':
        return node.listeners.receive(engine, message)
      case 'identity-wanted':
        return void this.#identities?.wanted(engine, message.principal)
      case 'quota':
        return this.#quota.receive(engine, message.request)
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

/** Small messages are let go of soon, by both sides. */
function batches<T>(items: readonly T[]): T[][] {
  const count = Math.ceil(items.length / BATCH)
  return Array.from({ length: count }, (_, i) => items.slice(i * BATCH, (i + 1) * BATCH))
}

const BATCH = 128

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
