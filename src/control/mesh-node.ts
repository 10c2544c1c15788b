import type { FunctionSpec } from '../api/function-spec.ts'
import type { EngineQuery, FromEngine, ToEngine } from '../dataplane/engine-messages.ts'
import type { NodeAddress } from '../dataplane/node-messages.ts'
import type { InstanceListener } from '../runtime/instance.ts'
import type { InstanceSet } from '../runtime/instance-set.ts'
import type { Amounts } from './placement-choice.ts'

/** What a node's engines do that concerns the whole mesh. */
export interface NodeEvents {
  /** What every engine of the node is to know, in an order in which it can use it. */
  state(): ToEngine[]
  /** A new engine accepts messages and knows that: gives what is for it alone. */
  started(engine: string): ToEngine[]
  /** An engine that a control plane before this one has told of endpoints goes on using them. */
  found?(engine: string, endpoints: readonly ToEngine[]): void
  message(engine: string, message: FromEngine): void
  /** The node of an instance, by its id; null: there is no such instance. */
  hostOf?(instance: string): string | null
  /** The engine died, and another one may have taken over what it held. */
  ended?(engine: string): void
  /** The engine died and is started again; what it held is free. */
  died(engine: string, how: string): void
}

/** A group of engines in one place, with the instances that they serve directly: in this process's machine or another. */
export interface MeshNode {
  readonly name: string
  /** It takes requests from outside. */
  readonly isGateway: boolean
  /** Instances of functions run there. */
  readonly runsInstances: boolean
  /** Where other nodes' engines reach it; null: they need not, or it is not open yet. */
  readonly address: NodeAddress | null
  /** What instances there may ask for together; absent or null: there is no bound. */
  readonly capacity?: Amounts | null
  /** Where it stands, so that instances of a function are spread over zones. */
  readonly zone?: string
  /** Whether it hears orders now; absent: always. */
  readonly attached?: boolean
  /** The engines that accept messages. Their names are unique in a mesh. */
  engines(): string[]
  /** Whether it is one of its engines, that has not ended. */
  has(engine: string): boolean
  pids(): { engine: string; pid: number | undefined }[]
  send(engine: string, message: ToEngine): void
  broadcast(message: ToEngine): void
  /** Asks every engine; those that do not answer in time are left out. */
  query(query: EngineQuery): Promise<{ engine: string; answer: unknown }[]>
  /** Opens the address from which a function calls others; resolves when it is open. */
  openEgress(key: string, engines: 'all' | 'one'): Promise<void>
  closeEgress(key: string): void
  /** The address of a function, or of one of its instances; null where there is none. */
  egressUrl(key: string, instance: string | null): string | null
  /** The instances of one revision there; none yet. Each has an egress address of its own, of which its environment tells. */
  createSet(spec: FunctionSpec, revision: string, listener: InstanceListener): InstanceSet
  /** It tells its engines itself which instances are there. */
  readonly tellsHosted?: boolean
  /** Functions that its engines know since before it joined. */
  known?(): readonly string[]
  /** Instances that ran there before it joined, of sets that were not made yet. */
  found?(): { key: string; revision: string; count: number }[]
  /** Engines accept nothing more from outside, or at all; resolves when what is under way has ended, or at `deadline` (ms since the epoch). */
  drainStep(type: 'drain-gateway' | 'drain', deadline: number): Promise<void>
  /** Ends its engines and instances. */
  close(): Promise<void>
}
