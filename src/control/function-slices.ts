import type { FromEngine, ToEngine } from '../dataplane/engine-messages.ts'
import type { CompiledFunction, CompiledMesh } from './compile-mesh.ts'
import { HeldAnswers } from './held-answers.ts'
import type { MeshNode } from './mesh-node.ts'
import { functionSlice } from './mesh-slices.ts'

/** Small messages are let go of soon, by both sides. */
const BATCH = 128

export interface SlicesHooks {
  /** A node's engines have been told of a function for which they have requests, for the first time. */
  learned(node: MeshNode, key: string): void
  /** Whether a request that comes in at the node waits for an instance whatever its engine finds out, and none is ready. */
  isCold(node: MeshNode, fn: CompiledFunction): boolean
  /** Such a request has come to that engine. */
  start(node: MeshNode, engine: string, key: string): void
}

/** Which node knows which functions: each is told of those that it has asked for or runs instances of, and of nothing else. */
export class FunctionSlices {
  readonly #compiled: () => CompiledMesh
  readonly #hooks: SlicesHooks
  /** Milliseconds since the epoch. */
  readonly #now: () => number
  readonly #held = new HeldAnswers((node, key) => this.#answer(node, key))
  /** By node; for each function when there was last a use for it, in milliseconds since the epoch. */
  readonly #known = new WeakMap<MeshNode, Map<string, number>>()
  /** By node: the functions for which requests came there. It knows others since it runs instances of them. */
  readonly #asked = new WeakMap<MeshNode, Set<string>>()

  constructor(compiled: () => CompiledMesh, hooks: SlicesHooks, now: () => number) {
    this.#compiled = compiled
    this.#hooks = hooks
    this.#now = now
  }

  /** What a new engine of the node is told. */
  messages(node: MeshNode): ToEngine[] {
    const { functions } = this.#compiled()
    const known = [...this.#of(node).keys()].flatMap((key) => functions.get(key) ?? [])
    const count = Math.ceil(known.length / BATCH)
    return Array.from({ length: count }, (_, i) => this.#upsert(known.slice(i * BATCH, (i + 1) * BATCH)))
  }

  /**
   * An engine asks: its node is told of the function, or the engine that there is none. Where nothing of it runs, it is started first
   * and the answer goes with its endpoint; but at once where more requests come, which control has to hear of.
   */
  wanted(
    node: MeshNode,
    engine: string,
    { key, host }: Extract<FromEngine, { type: 'function-wanted' }>,
  ): void {
    const mesh = this.#compiled()
    const found = key ?? keyOfHost(host ?? '', mesh.config.domain)
    const fn = found === null ? undefined : mesh.functions.get(found)
    if (!fn || (key === null && fn.spec.clusterLocal))
      return node.send(engine, { type: 'function-absent', key, host })
    if (this.release(node, fn.spec.key)) return
    if (host === null || this.knows(node, fn.spec.key) || !this.#hooks.isCold(node, fn))
      return this.#tell(node, fn)
    if (!this.#held.hold(node, fn.spec.key, host)) return this.#tell(node, fn)
    this.#askedBy(node).add(fn.spec.key)
    this.#hooks.start(node, engine, fn.spec.key)
  }

  /** Answers what was held back until now; call it before the node's engines are told anything else of the function. */
  release(node: MeshNode, key: string): boolean {
    if (this.#held.take(node, key) === null) return false
    this.#answer(node, key)
    return true
  }

  close(): void {
    this.#held.close()
  }

  /** The node is to know the function, if there is such a one. */
  ensure(node: MeshNode, key: string): void {
    const fn = this.#compiled().functions.get(key)
    if (!fn) return
    const isKnown = this.#of(node).has(key)
    this.#of(node).set(key, this.#now())
    if (isKnown) return
    this.#tellDestinations(node, fn)
    node.broadcast(this.#upsert([fn]))
  }

  /** Notes that a node's engines have requests for a function, so that it does not forget it. */
  used(node: MeshNode, key: string): void {
    if (this.#touch(node, key)) this.#askedBy(node).add(key)
  }

  /** The last instance that the node had of a function is gone. */
  left(node: MeshNode, key: string): void {
    this.#touch(node, key)
  }

  /** The node knows these functions already, from a control plane before this one. */
  adopt(node: MeshNode, keys: readonly string[]): void {
    const { functions } = this.#compiled()
    for (const key of keys) if (functions.has(key)) this.#of(node).set(key, this.#now())
  }

  /** Tells those who know them of functions that are new or changed, and of those that are gone. */
  apply(nodes: readonly MeshNode[], changed: readonly CompiledFunction[], removed: readonly string[]): void {
    for (const node of nodes) {
      const known = this.#of(node)
      const upsert = changed.filter(({ spec }) => known.has(spec.key))
      const remove = removed.filter((key) => known.delete(key))
      for (const key of removed) {
        this.#askedBy(node).delete(key)
        const host = this.#held.take(node, key)
        if (host !== null) node.broadcast({ type: 'function-absent', key: null, host })
      }
      for (const fn of upsert) this.#tellDestinations(node, fn)
      if (upsert.length + remove.length > 0) node.broadcast({ ...this.#upsert(upsert), remove })
    }
  }

  /** The functions for which there was no use on the node since then, each with when there was. */
  idle(node: MeshNode, since: number): [key: string, usedAt: number][] {
    return [...this.#of(node)].filter(([, usedAt]) => usedAt <= since)
  }

  /** Its engines give back what they hold of the function's instances, and have no part in them until they ask again. */
  doesNotAsk(node: MeshNode, key: string): void {
    this.#askedBy(node).delete(key)
  }

  /** Has the node forget functions. An engine that has come to use one within `idleMs` keeps it, and asks for it again. */
  forget(node: MeshNode, keys: string[], idleMs: number): void {
    for (const key of keys) {
      this.#of(node).delete(key)
      this.#askedBy(node).delete(key)
    }
    node.broadcast({ type: 'forget-functions', keys, idleMs })
  }

  /** The functions for which the node's engines have requests. */
  asked(node: MeshNode): string[] {
    return [...this.#askedBy(node)]
  }

  hasAsked(node: MeshNode, key: string): boolean {
    return this.#askedBy(node).has(key)
  }

  knows(node: MeshNode, key: string): boolean {
    return this.#of(node).has(key)
  }

  /** How many functions the node knows. */
  count(node: MeshNode): number {
    return this.#of(node).size
  }

  #touch(node: MeshNode, key: string): boolean {
    const known = this.#of(node)
    if (!known.has(key)) return false
    known.set(key, this.#now())
    return true
  }

  #answer(node: MeshNode, key: string): void {
    const fn = this.#compiled().functions.get(key)
    if (fn) this.#tell(node, fn)
  }

  /** It is told even if it knows it: one of its engines may not have heard yet. */
  #tell(node: MeshNode, fn: CompiledFunction): void {
    const { key } = fn.spec
    const known = this.#of(node)
    if (!known.has(key)) this.#tellDestinations(node, fn)
    known.set(key, this.#now())
    node.broadcast(this.#upsert([fn]))
    this.#ask(node, key)
  }

  #ask(node: MeshNode, key: string): void {
    const asked = this.#askedBy(node)
    if (asked.has(key)) return
    asked.add(key)
    this.#hooks.learned(node, key)
  }

  /** Where a function's routes lead, its caller's engine has to know as well. */
  #tellDestinations(node: MeshNode, { spec, routes }: CompiledFunction): void {
    const known = this.#of(node)
    const { functions } = this.#compiled()
    for (const { destinations, mirrors } of routes?.routes ?? []) {
      for (const { function: key } of [...destinations, ...mirrors]) {
        const fn = functions.get(key)
        if (!fn || key === spec.key || known.has(key)) continue
        known.set(key, this.#now())
        node.broadcast(this.#upsert([fn]))
        this.#ask(node, key)
      }
    }
  }

  #upsert(functions: readonly CompiledFunction[]): Extract<ToEngine, { type: 'functions' }> {
    const { domain } = this.#compiled().config
    return { type: 'functions', upsert: functions.map((fn) => functionSlice(fn, domain)), remove: [] }
  }

  #askedBy(node: MeshNode): Set<string> {
    const asked = this.#asked.get(node) ?? new Set()
    this.#asked.set(node, asked)
    return asked
  }

  #of(node: MeshNode): Map<string, number> {
    let known = this.#known.get(node)
    if (!known) {
      known = new Map()
      this.#known.set(node, known)
    }
    return known
  }
}

/** "namespace/name" of the function whose host at the gateway it would be: NAME.NAMESPACE.DOMAIN. */
function keyOfHost(host: string, domain: string): string | null {
  const suffix = `.${domain}`
  if (!host.endsWith(suffix)) return null
  const [name, namespace, ...more] = host.slice(0, -suffix.length).split('.')
  return name && namespace && more.length === 0 ? `${namespace}/${name}` : null
}
