import { availableParallelism } from 'node:os'

/** Instances that start at once: more would only make each take longer, and everything else on the machine with them. */
const MOST_FOR_EACH_CPU = 2
/** A start that takes longer is waiting for something else than a CPU, and holds up nobody any more, in milliseconds. */
const LONGEST_MS = 1_000

/**
 * Lets so many instances start at once; the others wait, in the order in which they came. No more wait than instances are asked for,
 * which the scale of each function bounds.
 */
export class StartGate {
  readonly #most: number
  #inside = 0
  readonly #waiting = new Set<() => void>()

  constructor(most = MOST_FOR_EACH_CPU * availableParallelism()) {
    this.#most = most
  }

  /** Resolves when the start may begin, with what is to be called at its end; null: `signal` aborted first. */
  enter(signal: AbortSignal): Promise<(() => void) | null> {
    if (signal.aborted) return Promise.resolve(null)
    if (this.#inside < this.#most) return Promise.resolve(this.#admit())
    return new Promise((resolve) => {
      const begin = () => {
        signal.removeEventListener('abort', give)
        resolve(this.#admit())
      }
      const give = () => {
        this.#waiting.delete(begin)
        resolve(null)
      }
      signal.addEventListener('abort', give, { once: true })
      this.#waiting.add(begin)
    })
  }

  #admit(): () => void {
    this.#inside++
    let isInside = true
    const leave = () => {
      clearTimeout(timer)
      if (!isInside) return
      isInside = false
      this.#inside--
      const [next] = this.#waiting
      if (next === undefined) return
      this.#waiting.delete(next)
      next()
    }
    const timer = setTimeout(leave, LONGEST_MS)
    timer.unref()
    return leave
  }
}
