import type { ToNode } from '../proto/mayfly/v1/nodes_pb.js'
import { contentHash, toWire } from './wire-value.ts'

/** A message for a node; defaults are left out. */
export type Order =
  NonNullable<ToNode['what']> extends infer What
    ? What extends { case: string; value: object }
      ? { case: What['case']; value: Partial<Omit<What['value'], '$typeName' | '$unknown'>> }
      : never
    : never

/** An order with the contents that it refers to and the node does not hold. */
export interface Parcel {
  order: Order
  contents: { hash: string; bytes: Uint8Array }[]
}

/** The stream to a node while there is one. */
export interface NodeStream {
  /** What is said at once goes in one message. */
  send(parcels: readonly Parcel[]): void
  /** The node is told nothing more, but why. */
  end(why: string): void
}

/** Contents that a node is known to hold are remembered up to this number. */
const MOST_HELD = 100_000
/** What is said at once goes in several messages beyond so many orders, or bytes of texts and contents. */
const MOST_ORDERS = 256
const MOST_BYTES = 256 * 1024

/**
 * What goes to a node, while there is a stream. Orders that one event gives rise to go in one message, in their order: a slice with
 * the start that it is for, or with the endpoints of who waits for it.
 */
export class NodeOutbox {
  #held = new Set<string>()
  #stream: NodeStream | null = null
  #parcels: Parcel[] = []
  #bytes = 0
  #flushing = false

  /** null: nothing goes anywhere. */
  get stream(): NodeStream | null {
    return this.#stream
  }

  /** The node holds contents by these hashes. What was for a stream before it is said anew. */
  open(stream: NodeStream, held: readonly string[]): void {
    this.#parcels = []
    this.#bytes = 0
    this.#stream = stream
    this.#held = new Set(held)
  }

  close(): void {
    this.#flush()
    this.#stream = null
  }

  send(order: Order): void {
    if (this.#stream) this.#add({ order, contents: [] }, 0)
  }

  /** Sends what is made of the message's text. */
  sendMessage(order: (text: string) => Order, message: unknown): void {
    if (!this.#stream) return
    const contents: Parcel['contents'] = []
    const text = toWire(message, (bytes) => {
      const hash = contentHash(bytes)
      if (!this.#held.has(hash)) {
        if (this.#held.size >= MOST_HELD) this.#held.clear()
        this.#held.add(hash)
        contents.push({ hash, bytes })
      }
      return hash
    })
    const bytes = contents.reduce((sum, content) => sum + content.bytes.length, text.length)
    this.#add({ order: order(text), contents }, bytes)
  }

  #add(parcel: Parcel, bytes: number): void {
    this.#parcels.push(parcel)
    this.#bytes += bytes
    if (this.#parcels.length >= MOST_ORDERS || this.#bytes >= MOST_BYTES) return this.#flush()
    if (this.#flushing) return
    this.#flushing = true
    // Not later: who has changed something is answered only when nodes have been told of it.
    queueMicrotask(() => {
      this.#flushing = false
      this.#flush()
    })
  }

  #flush(): void {
    const parcels = this.#parcels
    if (parcels.length === 0) return
    this.#parcels = []
    this.#bytes = 0
    this.#stream?.send(parcels)
  }
}
