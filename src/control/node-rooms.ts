import type { MeshNode } from './mesh-node.ts'
import { type Amounts, fits, type Place } from './placement-choice.ts'

/** What an instance that asks for nothing counts for in how full a node is, as in Kubernetes' scheduler. */
const UNSAID: Amounts = { cpuMillis: 100, memoryBytes: 200 * 2 ** 20 }

/** One node's room for instances, and what of it is taken. */
export class NodeRoom implements Place {
  readonly node: MeshNode
  cordoned = false
  /** What is there is to go elsewhere. */
  draining = false
  #taken = { cpuMillis: 0, memoryBytes: 0 }
  #weight = { cpuMillis: 0, memoryBytes: 0 }

  constructor(node: MeshNode) {
    this.node = node
  }

  get name(): string {
    return this.node.name
  }

  get zone(): string {
    return this.node.zone ?? ''
  }

  get schedulable(): boolean {
    return !this.cordoned && this.node.attached !== false
  }

  get capacity(): Amounts | null {
    return this.node.capacity ?? null
  }

  get taken(): Amounts {
    return this.#taken
  }

  get load(): number {
    const { capacity } = this
    if (capacity === null) return 0
    return Math.max(
      this.#weight.cpuMillis / Math.max(1, capacity.cpuMillis),
      this.#weight.memoryBytes / Math.max(1, capacity.memoryBytes),
    )
  }

  /** So many instances more are there that ask for so much each, or fewer. */
  take({ cpuMillis, memoryBytes }: Amounts, count: number): void {
    this.#taken.cpuMillis += cpuMillis * count
    this.#taken.memoryBytes += memoryBytes * count
    this.#weight.cpuMillis += (cpuMillis || UNSAID.cpuMillis) * count
    this.#weight.memoryBytes += (memoryBytes || UNSAID.memoryBytes) * count
  }
}

/** What has changed about which nodes there are. */
export interface RoomsChange {
  added: NodeRoom[]
  removed: NodeRoom[]
}

/** The nodes that run instances, with their room; and who waits for some of it. */
export class NodeRooms {
  #rooms: NodeRoom[] = []
  /** Who waits for room, with what an instance of theirs asks for. */
  readonly #waiting = new Map<() => void, Amounts>()
  /** Nodes that have more room since the last look at who waits; 'all': each may. */
  #freed: Set<NodeRoom> | 'all' = new Set()
  #looking = false

  get all(): readonly NodeRoom[] {
    return this.#rooms
  }

  /** These are the nodes that run instances now. */
  update(nodes: readonly MeshNode[]): RoomsChange {
    const before = new Map(this.#rooms.map((room) => [room.node, room]))
    const added: NodeRoom[] = []
    this.#rooms = nodes.map((node) => {
      const known = before.get(node)
      if (known) {
        before.delete(node)
        return known
      }
      const room = new NodeRoom(node)
      added.push(room)
      return room
    })
    return { added, removed: [...before.values()] }
  }

  /** `call` is called once when there may be room for an instance that asks for so much. */
  wait(asked: Amounts, call: () => void): void {
    this.#waiting.set(call, asked)
  }

  /** There may be room on a node, or on any. Who has waited longest is called first. */
  freed(room: NodeRoom | 'all'): void {
    if (this.#waiting.size === 0) return
    if (room === 'all') this.#freed = 'all'
    else if (this.#freed !== 'all') this.#freed.add(room)
    if (this.#looking) return
    this.#looking = true
    queueMicrotask(() => this.#look())
  }

  #look(): void {
    const freed = this.#freed
    this.#freed = new Set()
    this.#looking = false
    for (const [call, asked] of [...this.#waiting]) {
      if (freed !== 'all' && ![...freed].some((room) => room.schedulable && fits(asked, room))) continue
      this.#waiting.delete(call)
      call()
    }
  }
}
