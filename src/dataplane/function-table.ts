import type { EndpointSet } from './endpoint-set.ts'
import type { FunctionSlice } from './engine-messages.ts'

/** A function in an engine: how to judge its requests and where its instances are. */
export interface FunctionEntry {
  slice: FunctionSlice
  policy: Buffer
  endpoints: EndpointSet
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
    if (before) this.#forgetHosts(before)
    const entry = before ?? { slice, policy: Buffer.alloc(0), endpoints: this.#newEndpoints(slice.key) }
    entry.slice = slice
    entry.policy = Buffer.from(slice.policy.buffer, slice.policy.byteOffset, slice.policy.byteLength)
    this.#byKey.set(slice.key, entry)
    for (const host of slice.gatewayHosts) this.#byGatewayHost.set(host, entry)
  }

  remove(key: string): void {
    const entry = this.#byKey.get(key)
    if (!entry) return
    this.#forgetHosts(entry)
    this.#byKey.delete(key)
    entry.endpoints.close(`${key} was deleted`)
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

const CLUSTER_SUFFIXES = new Set(['', 'svc', 'svc.cluster.local'])
