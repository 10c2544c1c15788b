import type { EndpointSet } from './endpoint-set.ts'
import type { FunctionSlice } from './engine-messages.ts'

/** A function in an engine: how to judge its requests and where its instances are. */
export class FunctionEntry {
  readonly #newEndpoints: (key: string) => EndpointSet
  #endpoints: EndpointSet | null = null
  slice: FunctionSlice
  policy: Buffer

  constructor(slice: FunctionSlice, newEndpoints: (key: string) => EndpointSet) {
    this.#newEndpoints = newEndpoints
    this.slice = slice
    this.policy = ownPolicy(slice)
  }

  /** Made when it is first needed: most functions of a mesh are idle. */
  get endpoints(): EndpointSet {
    this.#endpoints ??= this.#newEndpoints(this.slice.key)
    return this.#endpoints
  }

  replace(slice: FunctionSlice): void {
    this.slice = slice
    this.policy = ownPolicy(slice)
  }

  close(reason: string): void {
    this.#endpoints?.close(reason)
  }
}

/** The functions that this engine knows, by key, by gateway host and by the names that callers use. */
export class FunctionTable {
  readonly #byKey = new Map<string, FunctionEntry>()
  readonly #byGatewayHost = new Map<string, FunctionEntry>()
  readonly #newEndpoints: (key: string) => EndpointSet

  constructor(newEndpoints: (key: string) => EndpointSet) {
    this.#newEndpoints = newEndpoints
  }

  /** Puts a function in force, or its new version; requests already admitted keep what they were admitted by. */
  upsert(slice: FunctionSlice): void {
    const before = this.#byKey.get(slice.key)
    if (before) {
      this.#forgetHosts(before)
      before.replace(slice)
    }
    const entry = before ?? new FunctionEntry(slice, this.#newEndpoints)
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

  get(key: string): FunctionEntry | undefined {
    return this.#byKey.get(key)
  }

  entries(): IterableIterator<FunctionEntry> {
    return this.#byKey.values()
  }

  byGatewayHost(host: string): FunctionEntry | undefined {
    return this.#byGatewayHost.get(host)
  }

  /** The function that `host` names for a caller in `namespace`: `name`, `name.ns`, `name.ns.svc` or `name.ns.svc.cluster.local`. */
  byCalleeName(host: string, namespace: string): FunctionEntry | undefined {
    const labels = host.split('.')
    const [name, ns = namespace, ...rest] = labels
    if (!CLUSTER_SUFFIXES.has(rest.join('.'))) return undefined
    return this.#byKey.get(`${ns}/${name}`)
  }

  #forgetHosts(entry: FunctionEntry): void {
    for (const host of entry.slice.gatewayHosts) {
      if (this.#byGatewayHost.get(host) === entry) this.#byGatewayHost.delete(host)
    }
  }
}

/** A copy of its own, packed with others, so that the message that brought it can go. */
function ownPolicy(slice: FunctionSlice): Buffer {
  const policy = Buffer.from(slice.policy)
  slice.policy = policy
  return policy
}

const CLUSTER_SUFFIXES = new Set(['', 'svc', 'svc.cluster.local'])
