import type { MeshNode } from './mesh-node.ts'

/** An answer goes alone after this time, so that the engine that asked does not give its requests up. In milliseconds. */
const HOLD_MS = 1_000
/** For each node; what is asked beyond that is answered at once. */
const MOST_HELD = 256

interface Held {
  /** Under which the function was asked for. */
  host: string
  timer: NodeJS.Timeout
}

/**
 * Answers to engines that ask for a function of which nothing runs yet. Until its first instance is ready they could do nothing with
 * the slice, so it goes with the endpoint, in one message.
 */
export class HeldAnswers {
  readonly counters = { held: 0, overdue: 0, overLimit: 0 }
  readonly #nodes = new Map<MeshNode, Map<string, Held>>()
  readonly #overdue: (node: MeshNode, key: string) => void

  /** `overdue` is told of an answer that has to go now; it is held no more. */
  constructor(overdue: (node: MeshNode, key: string) => void) {
    this.#overdue = overdue
  }

  /** False where so many are held that this one is not. */
  hold(node: MeshNode, key: string, host: string): boolean {
    const held = this.#nodes.get(node) ?? new Map<string, Held>()
    if (held.size >= MOST_HELD) {
      this.counters.overLimit++
      return false
    }
    this.#nodes.set(node, held)
    const timer = setTimeout(() => {
      this.counters.overdue++
      this.take(node, key)
      this.#overdue(node, key)
    }, HOLD_MS)
    timer.unref()
    held.set(key, { host, timer })
    this.counters.held++
    return true
  }

  /** The host under which the function was asked for, where its answer was held until now; else null. */
  take(node: MeshNode, key: string): string | null {
    const held = this.#nodes.get(node)
    const one = held?.get(key)
    if (!held || !one) return null
    clearTimeout(one.timer)
    held.delete(key)
    if (held.size === 0) this.#nodes.delete(node)
    return one.host
  }

  close(): void {
    for (const held of this.#nodes.values()) for (const { timer } of held.values()) clearTimeout(timer)
    this.#nodes.clear()
  }
}
