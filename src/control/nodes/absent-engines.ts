/** An engine out of reach is taken for dead after this time, in milliseconds: what it holds of instances is free then. */
const KEEP_MS = 60_000

interface Absence {
  incarnation: string
  engines: readonly string[]
  timer: NodeJS.Timeout
}

/**
 * Engines of nodes that were given up while nobody could say whether they live. Cut off from control alone they go on sending
 * requests, so what they hold of others' instances is nobody else's for a while.
 */
export class AbsentEngines {
  readonly #forget: (engines: readonly string[]) => void
  readonly #nodes = new Map<string, Absence>()

  constructor(forget: (engines: readonly string[]) => void) {
    this.#forget = forget
  }

  add(node: string, incarnation: string, engines: readonly string[]): void {
    this.end(node)
    if (engines.length === 0) return
    const timer = setTimeout(() => this.end(node), KEEP_MS)
    timer.unref()
    this.#nodes.set(node, { incarnation, engines, timer })
  }

  /** The node is back with these engines: the others are dead, and all are if it was started anew. */
  back(node: string, incarnation: string, engines: readonly string[]): void {
    const absence = this.#nodes.get(node)
    if (!absence) return
    const alive = new Set(absence.incarnation === incarnation ? engines : [])
    this.#take(node)
    this.#forget(absence.engines.filter((engine) => !alive.has(engine)))
  }

  /** They are dead. */
  end(node: string): void {
    this.#forget(this.#take(node))
  }

  close(): void {
    for (const { timer } of this.#nodes.values()) clearTimeout(timer)
    this.#nodes.clear()
  }

  #take(node: string): readonly string[] {
    const absence = this.#nodes.get(node)
    if (!absence) return []
    clearTimeout(absence.timer)
    this.#nodes.delete(node)
    return absence.engines
  }
}
