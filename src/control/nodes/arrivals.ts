import type { Hello } from '../proto/mayfly/v1/nodes_pb.js'
import type { NodeStream } from './node-outbox.ts'

/** How long a control plane that starts waits for the nodes that there were, in milliseconds. */
export const ARRIVE_MS = 2_000
/** A node that says more than this before it is heard has its last words dropped; it will be asked again. */
const MOST_SAID = 10_000

/** A node that has said hello to a control plane which does not decide yet. */
export interface Arrival {
  name: string
  hello: Hello
  stream: NodeStream
  /** What it said after that: each takes note of one message. */
  said: (() => void)[]
}

/**
 * The nodes that come to a control plane that has just started. It decides nothing until all that there were are there, or have
 * had time to come: what one node's engines hold, only that node can say, and until then it could be given to others as well.
 */
export class Arrivals {
  readonly #missing: Set<string>
  readonly #all: (arrivals: Arrival[]) => void
  readonly #timer: NodeJS.Timeout | null
  #arrived = new Map<string, Arrival>()
  #over = false
  #dropped = 0

  /** `all` is called once, with those that have come. Where no nodes are expected there is nothing to wait for. */
  constructor(expected: Iterable<string>, all: (arrivals: Arrival[]) => void) {
    this.#missing = new Set(expected)
    this.#all = all
    this.#over = this.#missing.size === 0
    this.#timer = this.#over ? null : setTimeout(() => this.#end(), ARRIVE_MS)
  }

  /** Messages that were not kept. */
  get dropped(): number {
    return this.#dropped
  }

  /** False where nobody waits any more. */
  opened(name: string, hello: Hello, stream: NodeStream): boolean {
    if (this.#over) return false
    this.#arrived.set(name, { name, hello, stream, said: [] })
    this.#missing.delete(name)
    if (this.#missing.size === 0) this.#end()
    return true
  }

  /** `take` takes note of what it said, once it is heard; false where nobody waits any more. */
  said(name: string, stream: NodeStream, take: () => void): boolean {
    const arrival = this.#arrived.get(name)
    if (this.#over || arrival?.stream !== stream) return false
    if (arrival.said.length < MOST_SAID) arrival.said.push(take)
    else this.#dropped++
    return true
  }

  closed(name: string, stream: NodeStream): boolean {
    if (this.#over || this.#arrived.get(name)?.stream !== stream) return false
    this.#arrived.delete(name)
    this.#missing.add(name)
    return true
  }

  /** The node is none of the mesh any more. */
  remove(name: string): void {
    this.#arrived.delete(name)
    if (this.#missing.delete(name) && this.#missing.size === 0) this.#end()
  }

  close(): void {
    this.#over = true
    if (this.#timer) clearTimeout(this.#timer)
  }

  #end(): void {
    if (this.#over) return
    this.close()
    const arrivals = [...this.#arrived.values()]
    this.#arrived = new Map()
    this.#all(arrivals)
  }
}
