import type { Entry, Event, Store } from '../store/store.ts'

export interface EntryFollowerOptions {
  store: Store
  prefix: string
  /** What there is, all of it. */
  all(entries: readonly Entry[]): void
  /** What a later commit changed. */
  changed(events: readonly Event[]): void
  /** The store could not be listed: it is tried again. */
  failed(error: Error): void
}

/** Commits that are kept while the store is listed; with more of them it is listed once more. */
const MOST_PENDING = 10_000
const RETRY_MS = 500

/** Tells of the entries with a prefix as others write them: first all that there are, then each commit, in order and once. */
export class EntryFollower {
  readonly #options: EntryFollowerOptions
  readonly #stop: () => void
  /** What came while the store is listed; null: it is not. */
  #pending: { events: readonly Event[]; revision: number }[] | null = null
  #stopped = false
  #retry: NodeJS.Timeout | undefined
  #listing: Promise<void>

  constructor(options: EntryFollowerOptions) {
    this.#options = options
    this.#stop = options.store.watch(options.prefix, {
      changed: (events, revision) => this.#changed(events, revision),
      lost: () => void this.#list(),
    })
    this.#listing = this.#list()
  }

  /** Resolves when all that there was at the beginning is told, or failed to be read. */
  get begun(): Promise<void> {
    return this.#listing
  }

  stop(): void {
    this.#stopped = true
    clearTimeout(this.#retry)
    this.#stop()
  }

  #changed(events: readonly Event[], revision: number): void {
    if (this.#stopped) return
    if (this.#pending === null) return this.#options.changed(events)
    if (this.#pending.length < MOST_PENDING) this.#pending.push({ events, revision })
    else void this.#list()
  }

  async #list(): Promise<void> {
    clearTimeout(this.#retry)
    const mine: { events: readonly Event[]; revision: number }[] = []
    this.#pending = mine
    const { store, prefix, all, changed, failed } = this.#options
    try {
      const { entries, revision } = await store.list(prefix)
      // A later listing is under way, or nobody wants to know any more.
      if (this.#pending !== mine || this.#stopped) return
      this.#pending = null
      all(entries)
      for (const one of mine) if (one.revision > revision) changed(one.events)
    } catch (error) {
      if (this.#pending !== mine || this.#stopped) return
      failed(error as Error)
      this.#retry = setTimeout(() => void this.#list(), RETRY_MS)
    }
  }
}
