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
  /** In the order in which they are used. */
  #places: readonly Place[] = []
  /** By node; a node that never had a part in it has none. */
  readonly #sets = new Map<string, InstanceSet>()
  #desired = 0
  #drained: Promise<void> | null = null

  /** `most` bounds the nodes that are used at once: servers that others run are of no node, so one speaks for them. */
  constructor(spec: FunctionSpec, revision: string, most: number, make: (place: Place) => InstanceSet) {
    this.spec = spec
    this.revision = revision
    this.#most = most
    this.#make = make
  }

  /** The nodes that there are now, those to be used first in front; the list may be shared by many sets. */
  setPlaces(places: readonly Place[]): void {
    if (this.#drained) return
    this.#places = places
    const names = new Set(places.map(({ name }) => name))
    for (const name of this.#sets.keys()) if (!names.has(name)) this.#sets.delete(name)
    this.#spread()
  }

  /** The place has instances already, or is to be asked for some. */
  at(place: Place): InstanceSet {
    const known = this.#sets.get(place.name)
    if (known) return known
    const set = this.#make(place)
    this.#sets.set(place.name, set)
    return set
  }

  instances(): Instance[] {
    return [...this.#sets.values()].flatMap((set) => set.instances())
  }

  setDesired(count: number): void {
    this.#desired = count
    this.#spread()
  }

  failure(): { reason: string; retryAt: number } | null {
    for (const set of this.#sets.values()) {
      const failure = set.failure()
      if (failure !== null) return failure
    }
    return null
  }

  drain(): Promise<void> {
    this.#drained ??= Promise.all([...this.#sets.values()].map((set) => set.drain())).then(() => {})
    return this.#drained
  }

  /** Nodes without a part hear nothing of it. */
  #spread(): void {
    if (this.#drained) return
    const usable = this.#places.filter(({ schedulable }) => schedulable).slice(0, this.#most)
    const parts = new Map<string, number>()
    for (let i = 0; i < usable.length && i < this.#desired; i++)
      parts.set(usable[i]!.name, share(this.#desired, i, usable.length))
    for (const [name, set] of this.#sets) if (!parts.has(name)) set.setDesired(0)
    for (const place of usable.slice(0, parts.size)) this.at(place).setDesired(parts.get(place.name)!)
  }
}

/** The part of `count` that the node at `index` of `nodes` has; the first ones have one more where it is uneven. */
export function share(count: number, index: number, nodes: number): number {
  return Math.floor(count / nodes) + (index < count % nodes ? 1 : 0)
}
