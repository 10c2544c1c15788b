import type { FunctionSpec } from '../api/function-spec.ts'
import type { InstanceListener } from '../runtime/instance.ts'
import type { InstanceSet } from '../runtime/instance-set.ts'
import { isExternal } from './function-controller.ts'
import type { FunctionSlices } from './function-slices.ts'
import type { HostedBook } from './hosted-book.ts'
import type { MeshNode } from './mesh-node.ts'
import type { MeshNodes } from './mesh-nodes.ts'
import { type Place, PlacedSet } from './placement.ts'

/** Where instances of functions are: sets that follow the nodes that there are. */
export class InstancePlaces {
  readonly #nodes: MeshNodes
  readonly #slices: FunctionSlices
  /** null: the mesh has one node, whose engines serve its instances themselves. */
  readonly #hosted: HostedBook | null
  readonly #sets = new Set<PlacedSet>()
  /** In the order of functions with the same home, by that node: thousands of sets share few of them. */
  readonly #orders = new Map<string, readonly Place[]>()
  /** Nodes on which no further instances start. */
  readonly #cordoned = new Set<string>()

  constructor(nodes: MeshNodes, slices: FunctionSlices, hosted: HostedBook | null) {
    this.#nodes = nodes
    this.#slices = slices
    this.#hosted = hosted
  }

  createSet(spec: FunctionSpec, revision: string, listener: InstanceListener): InstanceSet {
    // Servers that others run are of no node; one speaks for them.
    const most = isExternal(spec) ? 1 : Number.POSITIVE_INFINITY
    const set = new PlacedSet(spec, revision, most, ({ name }) => {
      const node = this.#nodes.all.find((one) => one.name === name)!
      return node.createSet(spec, revision, this.#onNode(node, listener))
    })
    this.#sets.add(set)
    const drain = set.drain.bind(set)
    set.drain = () => drain().finally(() => this.#sets.delete(set))
    this.#settle(set, this.#found())
    return set
  }

  /** Nodes have come or gone. */
  nodesChanged(): void {
    this.#orders.clear()
    const found = this.#found()
    for (const set of this.#sets) this.#settle(set, found)
  }

  isSchedulable(node: string): boolean {
    return !this.#cordoned.has(node)
  }

  /** Whether further instances may start on a node. */
  setSchedulable(node: string, schedulable: boolean): void {
    if (schedulable) this.#cordoned.delete(node)
    else this.#cordoned.add(node)
    this.nodesChanged()
  }

  #settle(set: PlacedSet, found: ReadonlyMap<string, Place[]>): void {
    const ranked = this.#nodes.ranked(set.spec.key)
    const home = ranked[0]?.name ?? ''
    let places = this.#orders.get(home)
    if (!places) {
      places = ranked.map(({ name }) => ({ name, schedulable: this.isSchedulable(name) }))
      this.#orders.set(home, places)
    }
    for (const place of found.get(nameOf(set.spec.key, set.revision)) ?? []) set.at(place)
    set.setPlaces(places)
  }

  /** Where instances run already that no set has claimed yet, by their sets: on nodes that join. */
  #found(): Map<string, Place[]> {
    const found = new Map<string, Place[]>()
    for (const node of this.#nodes.all) {
      for (const { key, revision } of node.found?.() ?? []) {
        const places = found.get(nameOf(key, revision)) ?? []
        found.set(nameOf(key, revision), places)
        places.push({ name: node.name, schedulable: this.isSchedulable(node.name) })
      }
    }
    return found
  }

  /** A node's engines know an instance before others may send requests for it. */
  #onNode(node: MeshNode, listener: InstanceListener): InstanceListener {
    return {
      ...listener,
      starting: (instance) => {
        this.#nodes.place(instance.id, node)
        listener.starting?.(instance)
      },
      ready: (instance) => {
        if (this.#hosted) {
          this.#slices.ensure(node, instance.function)
          this.#hosted.add(node, instance)
        }
        listener.ready(instance)
      },
      gone: (instance, why) => {
        listener.gone(instance, why)
        this.#hosted?.remove(instance)
        this.#nodes.forget(instance.id)
      },
    }
  }
}

function nameOf(key: string, revision: string): string {
  return `${key}@${revision}`
}
