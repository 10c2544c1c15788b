/** What is known of a token by one version of a key set. */
export interface Verdict {
  readonly set: object
  readonly valid: boolean
}

interface Entry {
  readonly verdicts: readonly Verdict[]
  readonly until: number
}

/** A token is verified anew after this time, in milliseconds. */
const LIFE_MS = 300_000
/** There are two generations of so many entries; when the younger is full, the older is forgotten. */
const GENERATION = 8_192

/** Verdicts on the signatures of tokens seen before, by their hash: bounded in number and time. */
export class TokenCache {
  readonly counters = { tokensKnown: 0, tokensForgotten: 0 }
  readonly #now: () => number
  #young = new Map<string, Entry>()
  #old = new Map<string, Entry>()

  /** `now` gives monotonic milliseconds. */
  constructor(now: () => number) {
    this.#now = now
  }

  get(hash: string): readonly Verdict[] | undefined {
    const young = this.#young.get(hash)
    const entry = young ?? this.#old.get(hash)
    if (entry === undefined || entry.until <= this.#now()) return undefined
    if (young === undefined) this.#add(hash, entry)
    return entry.verdicts
  }

  set(hash: string, verdicts: readonly Verdict[]): void {
    this.#add(hash, { verdicts, until: this.#now() + LIFE_MS })
  }

  #add(hash: string, entry: Entry): void {
    if (this.#young.size >= GENERATION && !this.#young.has(hash)) {
      this.counters.tokensForgotten += this.#old.size
      this.#old = this.#young
      this.#young = new Map()
    }
    this.#young.set(hash, entry)
    this.counters.tokensKnown = this.#young.size + this.#old.size
  }
}
