import { LONGEST_LEASE_MS } from '../state/quota-counter.ts'
import type { CompiledMesh } from './compile-mesh.ts'
import type { FunctionControllers } from './function-controllers.ts'
import type { FunctionSlices } from './function-slices.ts'
import type { MeshNode } from './mesh-node.ts'
import type { MeshNodes } from './mesh-nodes.ts'

/** What a node knows of a function it forgets when it has had no use for it for this long, in milliseconds. */
export const SLICE_IDLE_MS = 600_000
/** An engine settles a lease of a rate limit's requests within this time after its end, in milliseconds. */
const SETTLE_MS = 1_000
/** How often it is looked what is idle: so many times in the time after which it is, but not more often. In milliseconds. */
const LOOKS = 10
const LEAST_LOOK_MS = 250

export interface IdleSlicesParts {
  compiled(): CompiledMesh
  nodes: Pick<MeshNodes, 'all' | 'tenants'>
  slices: Pick<FunctionSlices, 'idle' | 'forget' | 'doesNotAsk'>
  controllers: Pick<FunctionControllers, 'letGo'>
  /** Milliseconds since the epoch. */
  now(): number
  idleMs: number
}

/** Has nodes forget functions of which nobody has asked them for long, and by which nothing is under way there. */
export class IdleSlices {
  readonly counters = { forgotten: 0 }
  readonly #parts: IdleSlicesParts

  constructor(parts: IdleSlicesParts) {
    this.#parts = parts
  }

  /** How often `look` is to be called, in milliseconds. */
  get lookMs(): number {
    return Math.max(LEAST_LOOK_MS, this.#parts.idleMs / LOOKS)
  }

  look(): void {
    const { nodes, slices, now, idleMs } = this.#parts
    for (const node of nodes.all) {
      // One that is out of reach would not hear that it may ask again.
      if (node.attached === false) continue
      const idle = slices
        .idle(node, now() - idleMs)
        .filter(([key, usedAt]) => this.#isAtRest(node, key, usedAt))
      if (idle.length === 0) continue
      this.counters.forgotten += idle.length
      slices.forget(
        node,
        idle.map(([key]) => key),
        idleMs,
      )
    }
  }

  /** False also while engines still have to give back what they hold of its instances. */
  #isAtRest(node: MeshNode, key: string, usedAt: number): boolean {
    const { nodes, slices, controllers } = this.#parts
    if (nodes.tenants.runs(node, key) || this.#leasesUntil(key, usedAt) > this.#parts.now()) return false
    return controllers.letGo(node, key, () => slices.doesNotAsk(node, key))
  }

  /** Until when its engines may have leases of its rate limits' requests that are not settled. */
  #leasesUntil(key: string, usedAt: number): number {
    const limited = (this.#parts.compiled().functions.get(key)?.quotaLimits.length ?? 0) > 0
    return limited ? usedAt + LONGEST_LEASE_MS + SETTLE_MS : usedAt
  }
}
