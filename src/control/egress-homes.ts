import type { FunctionSpec } from '../api/function-spec.ts'
import { isExternal } from './function-controller.ts'
import type { MeshNode } from './mesh-node.ts'
import type { MeshNodes } from './mesh-nodes.ts'

/** Where functions' own addresses are, from which those call that are no instance of a process of ours. */
export class EgressHomes {
  readonly #nodes: MeshNodes
  readonly #homes = new Map<string, MeshNode>()

  constructor(nodes: MeshNodes) {
    this.#nodes = nodes
  }

  /** Servers that others run may call at any rate; a process calls from its instances' own addresses. */
  open(spec: FunctionSpec): Promise<void> {
    const home = this.#nodes.homeOf(spec.key)
    if (!home) return Promise.resolve()
    this.#homes.set(spec.key, home)
    return home.openEgress(spec.key, isExternal(spec) ? 'all' : 'one')
  }

  close(key: string): void {
    this.#homes.get(key)?.closeEgress(key)
    this.#homes.delete(key)
  }

  /** Whether a function calls from an address of its own on that node. */
  isHome(node: MeshNode, key: string): boolean {
    return this.#homes.get(key) === node
  }

  /** The address of a function, or of one of its instances; null where there is none. */
  url(key: string, instance: string | null): string | null {
    const node = (instance !== null && this.#nodes.hostOf(instance)) || this.#homes.get(key)
    return node?.egressUrl(key, instance) ?? null
  }

  lost(node: MeshNode): void {
    for (const [key, home] of this.#homes) if (home === node) this.#homes.delete(key)
  }

  /** Servers that others run have no other address than this one, so another node opens it. */
  reopen(specs: Iterable<FunctionSpec>): void {
    for (const spec of specs) if (isExternal(spec) && !this.#homes.has(spec.key)) void this.open(spec)
  }
}
