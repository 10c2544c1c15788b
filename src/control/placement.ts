import type { FunctionSpec } from '../api/function-spec.ts'
import type { Instance } from '../runtime/instance.ts'
import type { InstanceSet } from '../runtime/instance-set.ts'

/** Where instances may run. */
export interface Place {
  readonly name: string
  /** New instances may start there. */
  readonly schedulable: boolean
}

/**
 * The instances of one revision over the nodes that there are, as one set. Nodes come and go: what a lost one ran is started on
 * others, and a new one takes its part of what is started from then on.
 */
export class PlacedSet implements InstanceSet {
  readonly spec: FunctionSpec
  readonly revision: string
  readonly #make: (place: Place) => InstanceSet
  readonly #most: number
  /** By node, in the order in which they are used. */
  #sets = new Map<string, { place: Place; set: InstanceSet }>()
  #desired = 0
  #drained: Promise<void> | null = null

  /** `most` bounds the nodes that are used at once: servers that others run are of no node, so one speaks for them. */
  constructor(spec: FunctionSpec, revision: string, most: number, make: (place: Place) => InstanceSet) {
    this.spec = spec
    this.revision = revision
    this.#most = most
    this.#make = make
  }

  /** The nodes that there are now, those to be used first in front. */
  setPlaces(places: readonly Place[]): void {
    if (this.#drained) return
    const before = this.#sets
    this.#sets = new Map(
      places.map((place) => [place.name, { place, set: before.get(place.name)?.set ?? this.#make(place) }]),
    )
    this.#spread()
  }

  instances(): Instance[] {
    return [...this.#sets.values()].flatMap(({ set }) => set.instances())
  }

  setDesired(count: number): void {
    this.#desired = count
    this.#spread()
  }

  failure(): { reason: string; retryAt: number } | null {
    for (const { set } of this.#sets.values()) {
      const failure = set.failure()
      if (failure !== null) return failure
    }
    return null
  }

  drain(): Promise<void> {
    this.#drained ??= Promise.all([...this.#sets.values()].map(({ set }) => set.drain())).then(() => {})
    return this.#drained
  }

  #spread(): void {
    if (this.#drained) return
    const all = [...this.#sets.values()]
    const usable = all.filter(({ place }) => place.schedulable).slice(0, this.#most)
    for (const one of all) {
      const index = usable.indexOf(one)
      one.set.setDesired(index < 0 ? 0 : share(this.#desired, index, usable.length))
    }
  }
}

/** The part of `count` that the node at `index` of `nodes` has; the first ones have one more where it is uneven. */
export function share(count: number, index: number, nodes: number): number {
  return Math.floor(count / nodes) + (index < count % nodes ? 1 : 0)
}
