import type { FunctionSpec } from '../api/function-spec.ts'
import type { EngineQuery, FromEngine, MeshSlice, ToEngine } from '../dataplane/engine-messages.ts'
import type { Runtime } from '../runtime/runtime.ts'
import type { CompiledFunction, CompiledMesh } from './compile-mesh.ts'
import { EgressAddresses } from './egress-addresses.ts'
import { embeddedQuota } from './embedded-quota.ts'
import { EngineFleet, type SpawnEngine } from './engine-fleet.ts'
import { FunctionController, isExternal, startsUnasked } from './function-controller.ts'
import { KeySetHub } from './key-set-hub.ts'
import { ListenerPlan, type ListenFailure } from './listener-plan.ts'
import { functionSlice, meshSlice } from './mesh-slices.ts'
import { QuotaHub, type QuotaSource } from './quota-hub.ts'
import { UserPolicyHub } from './user-policy-hub.ts'

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
  engines: number
  spawn: SpawnEngine
  runtime: Runtime
  /** Who leases the requests of rate limits; absent: this process, which forgets them when it ends. */
  quota?: QuotaSource
  /** Something that a user should read. */
  notice(text: string): void
}

/** A whole mesh on one machine: its functions under control, its engines, its gateway. */
export class Mesh {
  readonly #options: MeshOptions
  readonly #fleet: EngineFleet
  readonly #plan: ListenerPlan
  readonly #egress: EgressAddresses
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
    this.#fleet = new EngineFleet(options.spawn, {
      started: (engine) => this.#engineStarted(engine),
      message: (engine, message) => this.#engineMessage(engine, message),
      died: (engine, how) => this.#engineDied(engine, how),
    })
    this.#userPolicies = new UserPolicyHub((engine, message) => this.#fleet.send(engine, message))
    this.#keySets = new KeySetHub({ broadcast: (message) => this.#fleet.broadcast(message), ...options })
    this.#keySets.follow(compiled.functions.values())
    this.#quota = new QuotaHub(options.quota ?? embeddedQuota(), (engine, message) =>
      this.#fleet.send(engine, message),
    )
    this.#quota.follow(compiled.functions.values())
    this.#plan = new ListenerPlan(
      () => this.#fleet.engines(),
      (engine, message) => this.#fleet.send(engine, message),
      options.notice,
    )
    this.#egress = new EgressAddresses(this.#plan, '127.0.0.1', options.notice)
  }

  /** Starts engines and functions; resolves once the gateway accepts traffic, or with why it can't (the code may be ENGINES). */
  async start(): Promise<ListenFailure | null> {
    for (const { spec } of this.#compiled.functions.values()) if (startsUnasked(spec)) this.#control(spec)
    const problem = await this.#fleet.start(this.#options.engines)
    if (problem !== null) return { code: ENGINES, message: problem }
    const { host, port } = this.#options.gateway
    const gateway = this.#plan.open('gateway', host, port, { kind: 'gateway' })
    const egress = [...this.#compiled.functions.values()].map(({ spec }) => this.#openEgress(spec))
    const spares = this.#egress.fill()
    const opened = await gateway
    if (!opened.ok) return opened.failure
    this.#gatewayPort = opened.port
    await Promise.all([...egress, spares])
    this.#timers = [setInterval(() => this.#scale(), SCALE_MS), setInterval(() => this.#turn(), TURN_MS)]
    return null
  }

  /** Brings a new state of the manifests into force: only what changed is touched. */
  apply(next: CompiledMesh): void {
    const before = this.#compiled
    this.#compiled = next
    this.#fleet.broadcast({ type: 'mesh', mesh: meshSlice(next) })
    this.#keySets.follow(next.functions.values())
    this.#quota.follow(next.functions.values())
    this.#userPolicies.apply(this.#fleet.engines(), before, next)
    const renamed = before.config.domain !== next.config.domain
    const upsert = [...next.functions.values()].filter(
      (fn) => renamed || changed(before.functions.get(fn.spec.key), fn),
    )
    const remove = [...before.functions.keys()].filter((key) => !next.functions.has(key))
    if (upsert.length + remove.length > 0) {
      const { domain } = next.config
      this.#fleet.broadcast({
        type: 'functions',
        upsert: upsert.map((fn) => functionSlice(fn, domain)),
        remove,
      })
    }
    for (const key of remove) this.#removeFunction(key)
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
    return this.#egress.url(key, instance)
  }

  engines(): { engine: string; pid: number | undefined }[] {
    return this.#fleet.pids()
  }

  query(query: EngineQuery): Promise<{ engine: string; answer: unknown }[]> {
    return this.#fleet.query(query)
  }

  /** Refuses new connections, lets requests under way end, stops instances and engines. */
  async stop(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer)
    const engines = this.#fleet.engines()
    this.#keySets.close()
    await this.#fleet.drain(this.#compiled.limits.drainTimeoutMs + DRAIN_SLACK_MS)
    // No engine is left that could give its slots back: without this, instances would wait for that.
    for (const engine of engines) this.#forgetEngine(engine)
    this.#quota.close()
    await this.#options.runtime.close()
  }

  /** Servers that others run may call at any rate; a process calls from its instances' own addresses. */
  #openEgress(spec: FunctionSpec): Promise<void> {
    return this.#egress.openFunction(spec.key, isExternal(spec) ? 'all' : 'one')
  }

  /** The function's controller, made when it is first needed: most functions of a mesh are idle. */
  #controllerFor(key: string): FunctionController | undefined {
    const compiled = this.#compiled.functions.get(key)
    return this.#controllers.get(key) ?? (compiled && this.#control(compiled.spec))
  }

  #control(spec: FunctionSpec): FunctionController {
    const { notice, runtime } = this.#options
    const controller = new FunctionController(spec, this.#fleet.engines(), {
      createSet: (one, revision, listener) =>
        runtime.createSet(one, {
          revision,
          listener,
          environment: (instance) => this.#environment(one.key, instance.id),
        }),
      send: (engine, message) => this.#fleet.send(engine, message),
      broadcast: (message) => this.#fleet.broadcast(message),
      instanceStarting: (instance) => {
        this.#instancesStarted++
        this.#egress.openInstance(spec.key, instance.id)
      },
      instanceGone: (instance) => this.#egress.closeInstance(instance.id),
      notice,
    })
    this.#controllers.set(spec.key, controller)
    this.#busy.add(controller)
    return controller
  }

  async #environment(key: string, instance: string): Promise<Record<string, string>> {
    await this.#egress.instanceReady(instance)
    const url = this.#egress.url(key, instance)
    if (url === null) return {}
    // A request to the address itself, with the callee in Host, needs no proxy.
    const { host } = new URL(url)
    return { HTTP_PROXY: url, http_proxy: url, NO_PROXY: host, no_proxy: host, MAYFLY_URL: url }
  }

  #removeFunction(key: string): void {
    this.#egress.closeFunction(key)
    const controller = this.#controllers.get(key)
    if (!controller) return
    this.#controllers.delete(key)
    this.#busy.delete(controller)
    this.#contended.delete(controller)
    this.#leaving.add(controller)
    void controller.remove().then(() => this.#leaving.delete(controller))
  }

  #engineStarted(engine: string): ToEngine[] {
    const mesh: MeshSlice = meshSlice(this.#compiled)
    const { domain } = this.#compiled.config
    const slices = [...this.#compiled.functions.values()].map((fn) => functionSlice(fn, domain))
    const endpoints = [...this.#controllers.values()].flatMap(
      (controller) => controller.addEngine(engine) ?? [],
    )
    return [
      { type: 'mesh', mesh },
      ...this.#keySets.messages(),
      ...this.#userPolicies.forNewEngine(this.#compiled, Date.now()),
      ...batches(slices).map((upsert): ToEngine => ({ type: 'functions', upsert, remove: [] })),
      ...endpoints,
      ...this.#plan.forNewEngine(engine),
    ]
  }

  #engineDied(engine: string, how: string): void {
    this.#options.notice(`${engine} ended (${how}); another one is started`)
    this.#plan.engineDied(engine)
    this.#forgetEngine(engine)
  }

  #forgetEngine(engine: string): void {
    for (const controller of this.#controllers.values()) controller.engineDied(engine)
    for (const controller of this.#leaving) controller.engineDied(engine)
  }

  #engineMessage(engine: string, message: FromEngine): void {
    switch (message.type) {
      case 'user-state':
        return this.#userPolicies.receive(engine, message.updates, this.#fleet.engines())
      case 'listening':
      case 'listen-failed':
        return this.#plan.receive(engine, message)
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
