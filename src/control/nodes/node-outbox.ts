import type { ToNode } from '../proto/mayfly/v1/nodes_pb.js'
import { contentHash, toWire } from './wire-value.ts'

/** A message for a node; defaults are left out. */
export type Order =
  NonNullable<ToNode['what']> extends infer What
    ? What extends { case: string; value: object }
      ? { case: What['case']; value: Partial<Omit<What['value'], '$typeName' | '$unknown'>> }
      : never
    : never

/** The stream to a node while there is one. */
export interface NodeStream {
  send(order: Order, contents: { hash: string; bytes: Uint8Array }[]): void
  /** The node is told nothing more, but why. */
  end(why: string): void
}

/** Contents that a node is known to hold are remembered up to this number. */
const MOST_HELD = 100_000

/** What goes to a node, while there is a stream: orders, with the contents that they refer to and the node does not hold. */
export class NodeOutbox {
  #held = new Set<string>()
  #stream: NodeStream | null = null

  /** null: nothing goes anywhere. */
  get stream(): NodeStream | null {
    return this.#stream
  }

  /** The node holds contents by these hashes. */
  open(stream: NodeStream, held: readonly string[]): void {
    this.#stream = stream
    this.#held = new Set(held)
  }

  close(): void {
    this.#stream = null
  }

  send(order: Order): void {
    this.#stream?.send(order, [])
  }

  /** Sends what is made of the message's text. */
  sendMessage(order: (text: string) => Order, message: unknown): void {
    if (!this.#stream) return
    const contents: { hash: string; bytes: Uint8Array }[] = []
    const text = toWire(message, (bytes) => {
      const hash = contentHash(bytes)
      if (!this.#held.has(hash)) {
        if (this.#held.size >= MOST_HELD) this.#held.clear()
        this.#held.add(hash)
        contents.push({ hash, bytes })
      }
      return hash
    })
    this.#stream.send(order(text), contents)
  }
}
