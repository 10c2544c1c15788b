import type { FunctionSpec } from '../api/function-spec.ts'
import type { EngineQuery, FromEngine, ToEngine } from '../dataplane/engine-messages.ts'
import type { NodeAddress } from '../dataplane/node-messages.ts'
import type { Instance, InstanceListener } from '../runtime/instance.ts'
import type { InstanceSet } from '../runtime/instance-set.ts'
import type { Compartment } from '../runtime/isolation/compartment.ts'
import { insideEnvironment } from '../runtime/isolation/inside-environment.ts'
import type { Isolation } from '../runtime/isolation/isolation.ts'
import type { Runtime } from '../runtime/runtime.ts'
import { EgressAddresses, type PlaceOutcome } from './egress-addresses.ts'
import { EngineFleet, type SpawnEngine } from './engine-fleet.ts'
import { ListenerPlan, type ListenFailure, type ListenOutcome } from './listener-plan.ts'
import type { MeshNode, NodeEvents } from './mesh-node.ts'

/** What a node of this process is to be. */
export interface NodePlan {
  name: string
  /** It takes requests from outside. */
  gateway: boolean
  /** Engines that share its traffic. */
  engines: number
  spawn: SpawnEngine
  /** Runs instances of functions here; null: the node only takes requests from outside. */
  runtime: Runtime | null
  /** The address at which its engines take what other nodes' engines send; in a mesh of one node nobody does. */
  host: string
  /** Its port there; 0: any free one. */
  port: number
}

export type NodeStartProblem =
  | { kind: 'engines'; message: string }
  | { kind: 'address'; failure: ListenFailure }

/** A node whose engines and instances are children of this process. */
export class LocalNode implements MeshNode {
  readonly #plan: NodePlan
  readonly #fleet: EngineFleet
  readonly #listeners: ListenerPlan
  readonly #egress: EgressAddresses
  /** Of instances that are isolated: each at the one address that its compartment lets it reach. */
  readonly #isolated: EgressAddresses<Compartment> | null
  #address: NodeAddress | null = null

  /** `prefix` begins its engines' names. */
  constructor(plan: NodePlan, prefix: string, events: NodeEvents, notice: (text: string) => void) {
    this.#plan = plan
    const fleetEvents = {
      started: (engine: string) => [
        ...events.state(),
        ...events.started(engine),
        ...this.#listeners.forNewEngine(engine),
      ],
      message: (engine: string, message: FromEngine) => {
        if (message.type === 'listening' || message.type === 'listen-failed')
          this.#listeners.receive(engine, message)
        else events.message(engine, message)
      },
      died: (engine: string, how: string) => {
        this.#listeners.engineDied(engine)
        events.died(engine, how)
      },
    }
    this.#fleet = new EngineFleet(plan.spawn, fleetEvents, prefix)
    this.#listeners = new ListenerPlan(
      () => this.#fleet.engines(),
      (engine, message) => this.#fleet.send(engine, message),
      notice,
    )
    this.#egress = new EgressAddresses(this.#listeners, '127.0.0.1', notice)
    const isolation = plan.runtime?.isolation ?? null
    this.#isolated = isolation && new EgressAddresses(this.#listeners, () => compartment(isolation), notice)
  }

  get name(): string {
    return this.#plan.name
  }

  get isGateway(): boolean {
    return this.#plan.gateway
  }

  get runsInstances(): boolean {
    return this.#plan.runtime !== null
  }

  get address(): NodeAddress | null {
    return this.#address
  }

  /** Resolves once its engines accept messages, or with what went wrong. */
  async start(): Promise<NodeStartProblem | null> {
    const message = await this.#fleet.start(this.#plan.engines)
    return message === null ? null : { kind: 'engines', message }
  }

  /** Opens the address for other nodes' engines. */
  async openAddress(): Promise<NodeStartProblem | null> {
    const { name, host, port, runtime } = this.#plan
    if (runtime === null) return null
    const opened = await this.#listeners.open(`node ${name}`, host, port, { kind: 'node' })
    if (!opened.ok) return { kind: 'address', failure: opened.failure }
    this.#address = { name, host, port: opened.port }
    return null
  }

  /** Opens the address for clients outside the mesh. */
  openGateway(host: string, port: number): Promise<ListenOutcome> {
    return this.#listeners.open('gateway', host, port, { kind: 'gateway' })
  }

  /** Has egress addresses open before instances ask for one. */
  fillEgress(): Promise<void> {
    return (this.#isolated ?? this.#egress).fill()
  }

  engines(): string[] {
    return this.#fleet.engines()
  }

  has(engine: string): boolean {
    return this.#fleet.has(engine)
  }

  pids(): { engine: string; pid: number | undefined }[] {
    return this.#fleet.pids()
  }

  send(engine: string, message: ToEngine): void {
    this.#fleet.send(engine, message)
  }

  broadcast(message: ToEngine): void {
    this.#fleet.broadcast(message)
  }

  query(query: EngineQuery): Promise<{ engine: string; answer: unknown }[]> {
    return this.#fleet.query(query)
  }

  openEgress(key: string, engines: 'all' | 'one'): Promise<void> {
    return this.#egress.openFunction(key, engines)
  }

  closeEgress(key: string): void {
    this.#egress.closeFunction(key)
  }

  egressUrl(key: string, instance: string | null): string | null {
    const own = instance === null ? undefined : this.#isolated?.placeOf(instance)
    return own ? `http://${own.host}:${own.port}` : this.#egress.url(key, instance)
  }

  createSet(spec: FunctionSpec, revision: string, listener: InstanceListener): InstanceSet {
    const { runtime } = this.#plan
    if (runtime === null) throw new Error(`${this.name} runs no instances`)
    const isolated = spec.image.kind === 'endpoint' ? null : this.#isolated
    const egress = isolated ?? this.#egress
    return runtime.createSet(spec, {
      revision,
      listener: {
        ...listener,
        starting: (instance) => {
          listener.starting?.(instance)
          egress.openInstance(spec.key, instance.id)
        },
        gone: (instance, why) => {
          listener.gone(instance, why)
          egress.closeInstance(instance.id)
        },
      },
      environment: (instance) =>
        isolated ? this.#isolatedEnvironment(isolated, instance) : this.#environment(spec.key, instance),
      compartment: (instance) => isolated?.placeOf(instance.id) ?? null,
    })
  }

  drainStep(type: 'drain-gateway' | 'drain', deadline: number): Promise<void> {
    return this.#fleet.drainStep(type, deadline)
  }

  async close(): Promise<void> {
    this.#fleet.kill()
    await this.#plan.runtime?.close()
  }

  async #isolatedEnvironment(egress: EgressAddresses<Compartment>, { id }: Instance) {
    await egress.instanceReady(id)
    return insideEnvironment()
  }

  async #environment(key: string, { id }: Instance): Promise<Record<string, string>> {
    await this.#egress.instanceReady(id)
    const url = this.#egress.url(key, id)
    if (url === null) return {}
    // A request to the address itself, with the callee in Host, needs no proxy.
    const { host } = new URL(url)
    return { HTTP_PROXY: url, http_proxy: url, NO_PROXY: host, no_proxy: host, MAYFLY_URL: url }
  }
}

/** The place of an address that one isolated instance alone is to reach. */
async function compartment(isolation: Isolation): Promise<PlaceOutcome<Compartment>> {
  const made = await isolation.make()
  return made.ok ? { ok: true, place: made.compartment } : made
}
