import type { NodeAddress } from '../dataplane/node-messages.ts'
import type { Runtime } from '../runtime/runtime.ts'
import { EgressAddresses } from './egress-addresses.ts'
import { EngineFleet, type FleetEvents, type SpawnEngine } from './engine-fleet.ts'
import { ListenerPlan, type ListenFailure } from './listener-plan.ts'

/** What a node is to be. */
export interface NodePlan {
  name: string
  /** Engines that share its traffic. */
  engines: number
  spawn: SpawnEngine
  /** Runs instances of functions here; null: the node only takes requests from outside. */
  runtime: Runtime | null
  /** The address at which its engines take what other nodes' engines send; in a mesh of one node nobody does. */
  host: string
}

/** A group of engines in one place, with the instances that they serve directly. */
export class MeshNode {
  readonly plan: NodePlan
  readonly fleet: EngineFleet
  readonly listeners: ListenerPlan
  /** From where its functions call others. */
  readonly egress: EgressAddresses
  #address: NodeAddress | null = null

  /** `prefix` begins its engines' names. */
  constructor(plan: NodePlan, prefix: string, events: FleetEvents, notice: (text: string) => void) {
    this.plan = plan
    this.fleet = new EngineFleet(plan.spawn, events, prefix)
    this.listeners = new ListenerPlan(
      () => this.fleet.engines(),
      (engine, message) => this.fleet.send(engine, message),
      notice,
    )
    this.egress = new EgressAddresses(this.listeners, '127.0.0.1', notice)
  }

  get name(): string {
    return this.plan.name
  }

  /** Where other nodes' engines reach it; null before `openAddress`, and where it runs no instances. */
  get address(): NodeAddress | null {
    return this.#address
  }

  /** Opens the address for other nodes' engines; resolves with why that can't be done, or null. */
  async openAddress(): Promise<ListenFailure | null> {
    const { name, host, runtime } = this.plan
    if (runtime === null) return null
    const opened = await this.listeners.open(`node ${name}`, host, 0, { kind: 'node' })
    if (!opened.ok) return opened.failure
    this.#address = { name, host, port: opened.port }
    return null
  }
}
