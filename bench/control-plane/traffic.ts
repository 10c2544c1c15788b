/** Messages and bytes of one direction. */
export type Sum = { messages: number; bytes: number }

export type Direction = 'toNode' | 'fromNode'

/** What went over the nodes' streams; signs of life (ping, pong) apart. */
export type TrafficReport = {
  readonly total: Readonly<Record<Direction, Sum>>
  /** By direction and kind of message: "toNode tellEngine endpoints". */
  readonly kinds: Readonly<Record<string, Sum>>
  /** By function; what concerns no single function is in none. */
  readonly functions: Readonly<Record<string, Record<Direction, Sum>>>
}

/** Counts what goes over the streams of all simulated nodes. */
export class Traffic {
  #total = bothWays()
  #kinds = new Map<string, Sum>()
  #functions = new Map<string, Record<Direction, Sum>>()

  note(direction: Direction, kind: string, bytes: number, key: string | null): void {
    add(this.#total[direction], bytes)
    const name = `${direction} ${kind}`
    const sum = this.#kinds.get(name) ?? { messages: 0, bytes: 0 }
    this.#kinds.set(name, sum)
    add(sum, bytes)
    if (key === null) return
    const own = this.#functions.get(key) ?? bothWays()
    this.#functions.set(key, own)
    add(own[direction], bytes)
  }

  /** Gives what was counted since the last time. */
  take(): TrafficReport {
    const report = {
      total: this.#total,
      kinds: Object.fromEntries(this.#kinds),
      functions: Object.fromEntries(this.#functions),
    }
    this.#total = bothWays()
    this.#kinds = new Map()
    this.#functions = new Map()
    return report
  }
}

function bothWays(): Record<Direction, Sum> {
  return { toNode: { messages: 0, bytes: 0 }, fromNode: { messages: 0, bytes: 0 } }
}

function add(sum: Sum, bytes: number): void {
  sum.messages++
  sum.bytes += bytes
}
