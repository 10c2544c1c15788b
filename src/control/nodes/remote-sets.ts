import type { FunctionSpec } from '../../api/function-spec.ts'
import type { InstanceListener } from '../../runtime/instance.ts'
import type { FromNode, InstanceState } from '../proto/mayfly/v1/nodes_pb.js'
import type { NodeOutbox, NodeStream } from './node-outbox.ts'
import { RemoteSet } from './remote-set.ts'
import { short } from './report-problem.ts'
import { readSetName, setName } from './set-name.ts'

export interface RemoteSetsOptions {
  outbox: NodeOutbox
  /** How many instances of a set the node may have from before. */
  mayBring(set: string): number
  /** Whether an id is another node's instance. */
  isTaken(instance: string): boolean
}

/** The sets of instances on another machine: those that it was asked to have, and what it brought along. */
export class RemoteSets {
  readonly #options: RemoteSetsOptions
  readonly #sets = new Map<string, RemoteSet>()
  /** What the node told of sets that nobody has claimed yet. */
  readonly #found = new Map<string, InstanceState[]>()
  #refused = 0

  /** `brought` is what the node has when it comes; what is beyond what it may bring is not taken over. */
  constructor(brought: readonly InstanceState[], options: RemoteSetsOptions) {
    this.#options = options
    for (const instance of brought) {
      const found = this.#found.get(instance.set) ?? []
      if (found.length < options.mayBring(instance.set)) this.#found.set(instance.set, [...found, instance])
      else this.#refused++
    }
  }

  /** Instances that were not the node's to have. */
  get refused(): number {
    return this.#refused
  }

  /** How many instances there are, by their sets' names. */
  counts(): Map<string, number> {
    return new Map(Array.from(this.#sets, ([name, set]) => [name, set.instances().length]))
  }

  /** Instances that were there when the node came, of sets that nobody has claimed yet. */
  found(): { key: string; revision: string; count: number }[] {
    return Array.from(this.#found, ([set, instances]) => ({ ...readSetName(set), count: instances.length }))
  }

  /** What the node has already is told when its stream is attached, by when the set's owner is complete. */
  create(spec: FunctionSpec, revision: string, listener: InstanceListener): RemoteSet {
    const name = setName(spec.key, revision)
    const { outbox, mayBring, isTaken } = this.#options
    // What the set is, the node hears once by each stream: behind a later one may be a node that never heard of it.
    let heardBy: NodeStream | null = null
    const orders = {
      setDesired: (count: number) => {
        const text = heardBy === outbox.stream ? '' : JSON.stringify(spec)
        heardBy = outbox.stream
        outbox.send({ case: 'setDesired', value: { set: name, count, spec: text } })
      },
      drain: () => {
        if (outbox.stream) outbox.send({ case: 'drainSet', value: { set: name } })
        else set.drained()
      },
      drained: (id: string) => outbox.send({ case: 'instanceDrained', value: { id } }),
      isTaken,
      refused: () => {
        this.#refused++
      },
    }
    const set: RemoteSet = new RemoteSet(spec, revision, listener, orders, mayBring(name))
    this.#sets.set(name, set)
    return set
  }

  /** The node tells of an instance or a set. */
  told({ what }: FromNode): void {
    switch (what.case) {
      case 'instanceState':
        return this.#sets.get(what.value.set)?.state(what.value)
      case 'instanceGone':
        return this.#sets.get(what.value.set)?.gone(what.value.id, short(what.value.why))
      case 'startFailed':
        return this.#sets.get(what.value.set)?.failed(short(what.value.reason), what.value.retryAt)
      case 'setDrained':
        if (this.#sets.get(what.value.set)?.drained()) this.#sets.delete(what.value.set)
    }
  }

  /** The node is there (again) with these: all else is gone, and is told anew what the node may not have heard. */
  reconcile(there: readonly InstanceState[]): void {
    for (const [name, set] of this.#sets) {
      const own = there.filter((instance) => instance.set === name)
      set.keepOnly(new Set(own.map(({ id }) => id)))
      for (const instance of own) set.state(instance)
      set.repeat()
    }
    for (const name of new Set(there.map(({ set }) => set))) {
      if (!this.#sets.has(name)) this.#options.outbox.send({ case: 'drainSet', value: { set: name } })
    }
    this.#found.clear()
  }

  egressUrl(key: string, instance: string): string | null {
    for (const set of this.#sets.values()) {
      const url = set.spec.key === key ? set.egressUrl(instance) : null
      if (url !== null) return url
    }
    return null
  }

  /** The node is lost, and all instances with it. */
  lost(): void {
    for (const set of this.#sets.values()) set.lost()
    this.#sets.clear()
  }
}
