import type { MeshNode } from './mesh-node.ts'
import type { Amounts, Place } from './placement-choice.ts'

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
  readonly #waiting = new Set<() => void>()
  #calling = false

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

  /** `call` is called once when there may be room. */
  wait(call: () => void): void {
    this.#waiting.add(call)
  }

  /** There may be room where there was none. Who has waited longest is called first. */
  freed(): void {
    if (this.#calling || this.#waiting.size === 0) return
    this.#calling = true
    queueMicrotask(() => {
      this.#calling = false
      const waiting = [...this.#waiting]
      this.#waiting.clear()
      for (const call of waiting) call()
    })
  }
}
