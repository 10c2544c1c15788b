import type { TrafficPlan } from '../policy/traffic-plan.ts'
import type { Circuits } from './circuit.ts'
import type { EndpointSet } from './endpoint-set.ts'
import type { FunctionSlice } from './engine-messages.ts'
import { HostedInstances } from './hosted-instances.ts'

/** A function in an engine: how to judge its requests and where its instances are. */
export class FunctionEntry {
  readonly #make: FunctionParts
  #endpoints: EndpointSet | null = null
  #hosted: HostedInstances | null = null
  #circuits: Circuits | null
  #plainCircuits: Circuits | null = null
  slice: FunctionSlice
  policy: Buffer
  /** When a request last asked for it, by the table's clock. */
  usedAt: number

  constructor(slice: FunctionSlice, make: FunctionParts, now: number) {
    this.#make = make
    this.usedAt = now
    this.#circuits = slice.traffic && make.circuits(slice.traffic)
    this.slice = slice
    this.policy = ownPolicy(slice)
  }

  /** null: no DestinationRule applies to it. */
  get circuits(): Circuits | null {
    return this.#circuits
  }

  /** Those by which the attempts of routed requests are counted where no DestinationRule applies. */
  get plainCircuits(): Circuits {
    this.#plainCircuits ??= this.#make.circuits(null)!
    return this.#plainCircuits
  }

  /** Made when it is first needed: most functions of a mesh are idle. */
  get endpoints(): EndpointSet {
    this.#endpoints ??= this.#make.endpoints(this.slice.key)
    return this.#endpoints
  }

  /** Circuits begin anew where what they judge by has changed, as Envoy's clusters do. */
  replace(slice: FunctionSlice): void {
    if (!sameTraffic(this.slice, slice)) this.#circuits = slice.traffic && this.#make.circuits(slice.traffic)
    this.slice = slice
    this.policy = ownPolicy(slice)
  }

  /** Its instances on this node, for requests of other nodes' engines. */
  get hosted(): HostedInstances {
    this.#hosted ??= new HostedInstances()
    return this.#hosted
  }

  /** No request has asked for it since, and none is under way by it. */
  isIdle(since: number): boolean {
    return this.usedAt <= since && this.#endpoints?.quiet !== false && this.#hosted?.quiet !== false
  }

  close(reason: string): void {
    this.#endpoints?.close(reason)
    this.#hosted?.close()
  }
}

/** What is made for each function of an engine. */
export interface FunctionParts {
  endpoints(key: string): EndpointSet
  /** null: by the defaults alone. */
  circuits(plan: TrafficPlan | null): Circuits
}

/** The functions that this engine knows, by key, by gateway host and by the names that callers use. */
export class FunctionTable {
  readonly #byKey = new Map<string, FunctionEntry>()
  readonly #byGatewayHost = new Map<string, FunctionEntry>()
  readonly #make: FunctionParts
  /** Monotonic milliseconds, set now and then. */
  now = 0

  constructor(make: FunctionParts) {
    this.#make = make
  }

  /** Puts a function in force, or its new version; requests already admitted keep what they were admitted by. */
  upsert(slice: FunctionSlice): void {
    const before = this.#byKey.get(slice.key)
    if (before) {
      this.#forgetHosts(before)
      before.replace(slice)
    }
    const entry = before ?? new FunctionEntry(slice, this.#make, this.now)
    this.#byKey.set(slice.key, entry)
    for (const host of slice.gatewayHosts) this.#byGatewayHost.set(host, entry)
  }

  remove(key: string): void {
    const entry = this.#byKey.get(key)
    if (!entry) return
    this.#forgetHosts(entry)
    this.#byKey.delete(key)
    entry.close(`${key} was deleted`)
  }

  /** For a request; so are the other ways to find a function. */
  get(key: string): FunctionEntry | undefined {
    return this.#used(this.#byKey.get(key))
  }

  /** Not for a request. */
  peek(key: string): FunctionEntry | undefined {
    return this.#byKey.get(key)
  }

  /** Forgets a function that nothing has to do with since then; false where it stays. */
  forget(key: string, since: number): boolean {
    const entry = this.#byKey.get(key)
    if (entry && !entry.isIdle(since)) return false
    this.remove(key)
    return true
  }

  entries(): IterableIterator<FunctionEntry> {
    return this.#byKey.values()
  }

  byGatewayHost(host: string): FunctionEntry | undefined {
    return this.#used(this.#byGatewayHost.get(host))
  }

  /** The function that `host` names for a caller in `namespace`: `name`, `name.ns`, `name.ns.svc` or `name.ns.svc.cluster.local`. */
  byCalleeName(host: string, namespace: string): FunctionEntry | undefined {
    const key = calleeKey(host, namespace)
    return key === null ? undefined : this.get(key)
  }

  #used(entry: FunctionEntry | undefined): FunctionEntry | undefined {
    if (entry) entry.usedAt = this.now
    return entry
  }

  #forgetHosts(entry: FunctionEntry): void {
    for (const host of entry.slice.gatewayHosts) {
      if (this.#byGatewayHost.get(host) === entry) this.#byGatewayHost.delete(host)
    }
  }
}

/** Whom a caller in `namespace` means by `host`: "namespace/name", whether there is such a function or not; null: nobody. */
export function calleeKey(host: string, namespace: string): string | null {
  const [name, ns = namespace, ...rest] = host.split('.')
  return name && ns && CLUSTER_SUFFIXES.has(rest.join('.')) ? `${ns}/${name}` : null
}

/** A copy of its own, packed with others, so that the message that brought it can go. */
function ownPolicy(slice: FunctionSlice): Buffer {
  const policy = Buffer.from(slice.policy)
  slice.policy = policy
  return policy
}

function sameTraffic(a: FunctionSlice, b: FunctionSlice): boolean {
  return JSON.stringify(a.traffic) === JSON.stringify(b.traffic)
}

const CLUSTER_SUFFIXES = new Set(['', 'svc', 'svc.cluster.local'])
