import type { FunctionSpec } from '../api/function-spec.ts'
import type { Instance } from '../runtime/instance.ts'
import type { InstanceSet } from '../runtime/instance-set.ts'
import type { NodeRoom, NodeRooms } from './node-rooms.ts'
import { type Amounts, choosePlace, chooseSurplus, type Held } from './placement-choice.ts'

export interface PlacedSetParts {
  spec: FunctionSpec
  revision: string
  rooms: NodeRooms
  /** Servers that others run are of no node, so one speaks for them. */
  external: boolean
  /** Which node is looked at first, so that functions begin on different ones. */
  first: number
  /** The (empty) set of the revision on a node; `changed` is called when something is another about its instances. */
  create(room: NodeRoom, changed: () => void): InstanceSet
  /** Instances have had no place for a while. */
  failed(reason: string, retryAt: number): void
}

/** Instances that nodes had before they joined, by their sets (`placedName`). */
export type FoundInstances = ReadonlyMap<string, ReadonlyMap<NodeRoom, number>>

export function placedName(key: string, revision: string): string {
  return `${key}@${revision}`
}

/** Room often comes soon: so long nobody is told that there is none. In milliseconds. */
const PATIENCE_MS = 1_000
/** How long requests are refused for want of room before they may wait for it anew, in milliseconds. */
const RETRY_MS = 1_000

/** What is on one node. */
interface Share extends Held<NodeRoom> {
  set: InstanceSet
  count: number
  /** What the set was last told. */
  told: number | null
  /** Instances for which it takes room. */
  held: number
  /** Instances that the node had before it joined, until it tells of them. */
  brought: number
}

/**
 * The instances of one revision over the nodes that there are, as one set. Each start goes to the node that suits it best; what a
 * lost node ran is started on others; what has no room waits for it. From a node that is drained, instances go only when as many
 * are ready elsewhere.
 */
export class PlacedSet implements InstanceSet {
  readonly #parts: PlacedSetParts
  readonly #asked: Amounts
  readonly #shares = new Map<NodeRoom, Share>()
  #desired = 0
  #soon = false
  #lacking: { reason: string; since: number; timer: NodeJS.Timeout } | null = null
  #drained: Promise<void> | null = null
  readonly #retry = () => this.#placeSoon()

  constructor(parts: PlacedSetParts) {
    this.#parts = parts
    const requests = parts.spec.resources?.requests
    const { external } = parts
    this.#asked = {
      cpuMillis: (!external && requests?.cpuMillis) || 0,
      memoryBytes: (!external && requests?.memoryBytes) || 0,
    }
  }

  get spec(): FunctionSpec {
    return this.#parts.spec
  }

  get revision(): string {
    return this.#parts.revision
  }

  /** Nodes have come or gone; some that have come had instances before that. */
  nodesChanged(removed: readonly NodeRoom[], found: FoundInstances): void {
    for (const room of removed) this.#shares.delete(room)
    if (this.#drained) return
    for (const [room, count] of found.get(placedName(this.spec.key, this.revision)) ?? [])
      this.#claim(room, count)
    if (this.#shares.size > 0 || this.#desired > 0) this.#placeSoon()
  }

  /** Whether instances may start on nodes, or are to leave them, has changed. */
  placesChanged(): void {
    if (!this.#drained) this.#placeSoon()
  }

  instances(): Instance[] {
    return [...this.#shares.values()].flatMap(({ set }) => set.instances())
  }

  setDesired(count: number): void {
    this.#desired = this.#parts.external ? Math.min(count, 1) : count
    this.#placeSoon()
  }

  failure(): { reason: string; retryAt: number } | null {
    for (const { set, count } of this.#shares.values()) {
      const failure = count > 0 ? set.failure() : null
      if (failure !== null) return failure
    }
    if (this.#lacking === null) return null
    const { reason, since } = this.#lacking
    const now = Date.now()
    return now < since + PATIENCE_MS ? null : { reason, retryAt: now + RETRY_MS }
  }

  drain(): Promise<void> {
    this.#desired = 0
    this.#lack(null)
    this.#drained ??= Promise.all(Array.from(this.#shares.values(), (share) => this.#drain(share))).then(
      () => {},
    )
    return this.#drained
  }

  async #drain(share: Share): Promise<void> {
    await share.set.drain()
    share.count = 0
    this.#account(share)
  }

  /** Not within a call of a set about its instances, which is in the midst of something. */
  #placeSoon(): void {
    if (this.#soon || this.#drained) return
    this.#soon = true
    queueMicrotask(() => {
      this.#soon = false
      if (!this.#drained) this.#place()
    })
  }

  #place(): void {
    const shares = [...this.#shares.values()]
    for (const share of shares) this.#endWhereNoneStarts(share)
    const staying = shares.filter(({ place }) => !place.draining)
    let placed = staying.reduce((sum, { count }) => sum + count, 0)
    for (; placed > this.#desired; placed--) this.#shares.get(chooseSurplus(staying)!)!.count--
    let reason: string | null = null
    for (; placed < this.#desired; placed++) {
      const choice = choosePlace(this.#asked, this.#parts.rooms.all, staying, this.#parts.first)
      if (!choice.ok) {
        ;({ reason } = choice)
        break
      }
      const share = this.#shareOf(choice.place)
      if (!staying.includes(share)) staying.push(share)
      share.count++
      this.#account(share)
    }
    if (staying.length < this.#shares.size)
      this.#leave(
        shares.filter(({ place }) => place.draining),
        staying.reduce((sum, { count, ready }) => sum + Math.min(count, ready), 0),
      )
    for (const share of this.#shares.values()) this.#tell(share)
    this.#lack(reason)
  }

  /** Where no instance may start, what ends by itself is not started again, but elsewhere. */
  #endWhereNoneStarts(share: Share): void {
    if (!share.place.schedulable) share.count = Math.min(share.count, up(share))
  }

  /** Nodes that are drained keep instances for which none is ready elsewhere. */
  #leave(leaving: Share[], readyElsewhere: number): void {
    let here = leaving.reduce((sum, { count }) => sum + count, 0)
    for (; here > Math.max(0, this.#desired - readyElsewhere); here--)
      this.#shares.get(chooseSurplus(leaving)!)!.count--
  }

  #tell(share: Share): void {
    // What became of its instances otherwise is accounted as it happens.
    if (share.told === share.count) return
    this.#account(share)
    share.told = share.count
    if (!this.#parts.external || share.count > 0) share.set.setDesired(share.count)
    else {
      // Nobody stops such servers: their addresses are given up.
      void share.set.drain().then(() => {
        if (this.#shares.get(share.place) === share) this.#shares.delete(share.place)
        this.#placeSoon()
      })
    }
  }

  /** Takes the node's room for what is there and what is to be. */
  #account(share: Share): void {
    const all = share.set.instances().length
    const running = up(share)
    const stopping = all > 0 ? all - running : 0
    // Of what is drained, what was ordered may be there though nothing is heard of it yet.
    const held = this.#drained ? Math.max(share.count, all) : Math.max(share.count, running) + stopping
    if (held === share.held) return
    share.place.take(this.#asked, held - share.held)
    const less = held < share.held
    share.held = held
    if (less) this.#parts.rooms.freed(share.place)
  }

  /** Makes a share of what the node had before it joined. */
  #claim(room: NodeRoom, count: number): void {
    const share = this.#shareOf(room)
    share.count = share.brought = this.#parts.external ? 1 : count
    this.#account(share)
  }

  #shareOf(room: NodeRoom): Share {
    const known = this.#shares.get(room)
    if (known) return known
    const set = this.#parts.create(room, () => {
      share.brought = 0
      if (this.#drained) share.count = Math.min(share.count, set.instances().length)
      this.#endWhereNoneStarts(share)
      this.#account(share)
      this.#placeSoon()
    })
    const share: Share = {
      place: room,
      set,
      count: 0,
      told: null,
      held: 0,
      brought: 0,
      get ready() {
        return Math.max(this.brought, set.instances().filter(({ state }) => state === 'ready').length)
      },
    }
    this.#shares.set(room, share)
    return share
  }

  /** Notes that instances have no place for this reason; null: all have one. */
  #lack(reason: string | null): void {
    if (reason === null) {
      if (this.#lacking) clearTimeout(this.#lacking.timer)
      this.#lacking = null
      return
    }
    this.#parts.rooms.wait(this.#asked, this.#retry)
    if (this.#lacking) {
      this.#lacking.reason = reason
      return
    }
    const timer = setTimeout(() => {
      const failure = this.#lacking && this.failure()
      if (failure) this.#parts.failed(failure.reason, failure.retryAt)
    }, PATIENCE_MS)
    timer.unref()
    this.#lacking = { reason, since: Date.now(), timer }
  }
}

/** Instances that are there and are not on their way out. */
function up({ set, brought }: Share): number {
  const running = set.instances().filter(({ state }) => state === 'starting' || state === 'ready').length
  return Math.max(running, brought)
}
