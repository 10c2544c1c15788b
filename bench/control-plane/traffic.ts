/** Messages and bytes of one direction. */
export type Sum = { messages: number; bytes: number }

export type Direction = 'toNode' | 'fromNode'

/** What a message says of one function, or of none; `size` is in bytes before compression. */
export type Part = { readonly kind: string; readonly key: string | null; readonly size: number }

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

  /** A message of one part. */
  note(direction: Direction, kind: string, bytes: number, key: string | null): void {
    this.noteParts(direction, bytes, [{ kind, key, size: bytes }])
  }

  /** A message counts as one for each function that it concerns; its bytes, compressed as one, are shared by the parts' sizes. */
  noteParts(direction: Direction, bytes: number, parts: readonly Part[]): void {
    add(this.#total[direction], bytes)
    const kinds = new Set(parts.map(({ kind }) => kind))
    const name = `${direction} ${[...kinds].join(' + ')}`
    const sum = this.#kinds.get(name) ?? { messages: 0, bytes: 0 }
    this.#kinds.set(name, sum)
    add(sum, bytes)
    const size = parts.reduce((all, part) => all + part.size, 0)
    for (const [key, own] of Map.groupBy(parts, (part) => part.key)) {
      if (key === null) continue
      const share = own.reduce((all, part) => all + part.size, 0) / size
      const function_ = this.#functions.get(key) ?? bothWays()
      this.#functions.set(key, function_)
      add(function_[direction], bytes * share)
    }
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
