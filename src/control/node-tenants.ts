import type { MeshNode } from './mesh-node.ts'

/** A function's last requests may be under way for so long after its last instance has left a node, in milliseconds. */
const LEAVING_MS = 60_000

/** Which functions run on which nodes: a node may prove itself to be those, and no others. */
export class NodeTenants {
  readonly #now: () => number
  /** By node, then by function; `leftAt` is when the last instance left, in milliseconds since the epoch. */
  readonly #tenants = new WeakMap<MeshNode, Map<string, { instances: number; leftAt: number }>>()

  constructor(now: () => number = Date.now) {
    this.#now = now
  }

  came(node: MeshNode, key: string): void {
    const own = this.#tenants.get(node) ?? new Map<string, { instances: number; leftAt: number }>()
    this.#tenants.set(node, own)
    own.set(key, { instances: (own.get(key)?.instances ?? 0) + 1, leftAt: 0 })
  }

  left(node: MeshNode, key: string): void {
    const own = this.#tenants.get(node)
    const tenant = own?.get(key)
    if (!own || !tenant) return
    const now = this.#now()
    own.set(key, { instances: Math.max(0, tenant.instances - 1), leftAt: now })
    for (const [one, { instances, leftAt }] of own)
      if (instances === 0 && leftAt + LEAVING_MS < now) own.delete(one)
  }

  /** Whether instances of the function are on the node. */
  runs(node: MeshNode, key: string): boolean {
    return (this.#tenants.get(node)?.get(key)?.instances ?? 0) > 0
  }

  /** Whether instances of the function are on the node, or were a short time ago. */
  has(node: MeshNode, key: string): boolean {
    const tenant = this.#tenants.get(node)?.get(key)
    return tenant !== undefined && (tenant.instances > 0 || tenant.leftAt + LEAVING_MS >= this.#now())
  }
}
