import type { FunctionSpec } from '../api/function-spec.ts'
import type { InstanceListener } from '../runtime/instance.ts'
import type { InstanceSet } from '../runtime/instance-set.ts'
import { isExternal } from './function-controller.ts'
import type { FunctionSlices } from './function-slices.ts'
import type { HostedBook } from './hosted-book.ts'
import type { MeshNode } from './mesh-node.ts'
import type { MeshNodes } from './mesh-nodes.ts'
import { type NodeRoom, NodeRooms, type RoomsChange } from './node-rooms.ts'
import { type FoundInstances, PlacedSet, placedName } from './placement.ts'
import type { Amounts } from './placement-choice.ts'

/** Where instances of functions are: sets that follow the nodes that there are. */
export class InstancePlaces {
  readonly #nodes: MeshNodes
  readonly #slices: FunctionSlices
  /** null: the mesh has one node, whose engines serve its instances themselves. */
  readonly #hosted: HostedBook | null
  readonly #sets = new Set<PlacedSet>()
  readonly #rooms = new NodeRooms()
  /** Nodes on which no further instances start; true: what is there is to go elsewhere. They may come only later. */
  readonly #closed = new Map<string, boolean>()

  constructor(nodes: MeshNodes, slices: FunctionSlices, hosted: HostedBook | null) {
    this.#nodes = nodes
    this.#slices = slices
    this.#hosted = hosted
    this.#update()
  }

  createSet(spec: FunctionSpec, revision: string, listener: InstanceListener): InstanceSet {
    const set = new PlacedSet({
      spec,
      revision,
      rooms: this.#rooms,
      external: isExternal(spec),
      first: this.#nodes.hashOf(spec.key),
      create: ({ node }, changed) => this.#setOn(node, spec, revision, telling(listener, changed)),
      failed: (reason, retryAt) => listener.failed(reason, retryAt),
    })
    this.#sets.add(set)
    const drain = set.drain.bind(set)
    set.drain = () => drain().finally(() => this.#sets.delete(set))
    return set
  }

  /** Nodes have come or gone. */
  nodesChanged(): void {
    const change = this.#update()
    this.#rooms.freed('all')
    if (change.added.length + change.removed.length === 0) return
    const found = foundBySet(change.added)
    for (const set of this.#sets) set.nodesChanged(change.removed, found)
  }

  /** What instances on a node ask for together; null: no such node runs any. */
  requested(node: string): Amounts | null {
    const taken = this.#rooms.all.find(({ name }) => name === node)?.taken
    return taken ? { ...taken } : null
  }

  isSchedulable(node: string): boolean {
    return !this.#closed.has(node)
  }

  /** Whether further instances may start on a node; where not, `drain` has those that are there go elsewhere. */
  setSchedulable(node: string, schedulable: boolean, drain: boolean): void {
    if (schedulable) this.#closed.delete(node)
    else this.#closed.set(node, drain)
    this.#close()
    for (const set of this.#sets) set.placesChanged()
  }

  /** A node is told of a function with the first order for an instance of it. */
  #setOn(node: MeshNode, spec: FunctionSpec, revision: string, listener: InstanceListener): InstanceSet {
    const set = node.createSet(spec, revision, this.#onNode(node, listener))
    if (this.#hosted) {
      const setDesired = set.setDesired.bind(set)
      set.setDesired = (count) => {
        if (count > 0) this.#slices.ensure(node, spec.key)
        setDesired(count)
      }
    }
    return set
  }

  #update(): RoomsChange {
    const change = this.#rooms.update(this.#nodes.workers)
    this.#close()
    return change
  }

  #close(): void {
    for (const room of this.#rooms.all) {
      const drain = this.#closed.get(room.name)
      room.cordoned = drain !== undefined
      room.draining = drain === true
    }
  }

  /** A node's engines know an instance before others may send requests for it. */
  #onNode(node: MeshNode, listener: InstanceListener): InstanceListener {
    return {
      ...listener,
      starting: (instance) => {
        this.#nodes.place(instance.id, node)
        this.#nodes.tenants.came(node, instance.function)
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
        this.#nodes.tenants.left(node, instance.function)
        this.#slices.left(node, instance.function)
      },
    }
  }
}

/** By their sets, then by the nodes that have them. */
function foundBySet(rooms: readonly NodeRoom[]): FoundInstances {
  const found = new Map<string, Map<NodeRoom, number>>()
  for (const room of rooms) {
    for (const { key, revision, count } of room.node.found?.() ?? []) {
      const name = placedName(key, revision)
      found.set(name, (found.get(name) ?? new Map()).set(room, count))
    }
  }
  return found
}

/** Tells of each thing that happens to an instance, when whom it concerns first has heard of it. */
function telling(listener: InstanceListener, changed: () => void): InstanceListener {
  return {
    starting: (instance) => {
      listener.starting?.(instance)
      changed()
    },
    ready: (instance) => {
      listener.ready(instance)
      changed()
    },
    stopping: (instance) => {
      const idle = listener.stopping?.(instance)
      changed()
      return idle
    },
    gone: (instance, why) => {
      listener.gone(instance, why)
      changed()
    },
    failed: (reason, retryAt) => listener.failed(reason, retryAt),
  }
}
