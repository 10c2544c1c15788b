import type { FunctionSpec } from '../api/function-spec.ts'
import type { InstanceSet } from '../runtime/instance-set.ts'

/** The instances of one revision on several nodes, evenly; `sets` has one for each node, the first is the home node's. */
export function spreadSet(spec: FunctionSpec, revision: string, sets: readonly InstanceSet[]): InstanceSet {
  return {
    spec,
    revision,
    instances: () => sets.flatMap((set) => set.instances()),
    setDesired(count) {
      sets.forEach((set, index) => {
        set.setDesired(share(count, index, sets.length))
      })
    },
    failure: () => sets.map((set) => set.failure()).find((failure) => failure !== null) ?? null,
    async drain() {
      await Promise.all(sets.map((set) => set.drain()))
    },
  }
}

/** The part of `count` that the node at `index` of `nodes` has; the first ones have one more where it is uneven. */
export function share(count: number, index: number, nodes: number): number {
  return Math.floor(count / nodes) + (index < count % nodes ? 1 : 0)
}
