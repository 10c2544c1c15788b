// The key sets by which engines verify tokens: written in manifests, or fetched from where these say, ahead of their expiry. While
// a server does not answer, its last good keys stay in use.

import { readKeySet, type VerificationKey } from '../api/key-set.ts'
import type { ToEngine } from '../dataplane/engine-messages.ts'
import type { KeySetMessage } from '../dataplane/key-sets.ts'
import type { KeySetSource } from '../policy/token-keys.ts'
import { type FetchedKeySet, fetchKeySet } from '../runtime/fetch-key-set.ts'

/** How long keys hold where their server does not say, as in Istio; and the bounds of what it may say. In milliseconds. */
const USUAL_LIFE_MS = 20 * 60_000
const SHORTEST_LIFE_MS = 10_000
const LONGEST_LIFE_MS = 24 * 3_600_000
/** They are fetched anew when this part of their life is over. */
const RENEW_AT = 0.8
/** Because of a key that an engine does not know a set is fetched at most this often. */
const WANTED_MS = 5_000
const FETCH_MS = 5_000
/** After the first failure, doubled with each further one. */
const FIRST_RETRY_MS = 1_000
const LONGEST_RETRY_MS = 60_000

export interface KeySetHubOptions {
  broadcast(message: ToEngine): void
  /** Something that a user should read. */
  notice(text: string): void
  fetch?(uri: string, signal: AbortSignal): Promise<FetchedKeySet>
  /** Monotonic milliseconds. */
  now?(): number
}

interface Entry {
  readonly source: KeySetSource
  keys: readonly VerificationKey[] | null
  failures: number
  fetchedAt: number
  fetching: boolean
  timer: NodeJS.Timeout | null
}

export class KeySetHub {
  readonly #options: KeySetHubOptions
  readonly #fetch: NonNullable<KeySetHubOptions['fetch']>
  readonly #now: () => number
  readonly #entries = new Map<string, Entry>()
  readonly #closed = new AbortController()

  constructor(options: KeySetHubOptions) {
    this.#options = options
    this.#fetch = options.fetch ?? fetchKeySet
    this.#now = options.now ?? (() => performance.now())
  }

  /** Holds these sets and no others. */
  follow(functions: Iterable<{ readonly tokenKeys: readonly { readonly source: KeySetSource }[] }>): void {
    const wanted = new Map<string, KeySetSource>()
    for (const { tokenKeys } of functions) for (const { source } of tokenKeys) wanted.set(source.id, source)
    const remove = [...this.#entries.keys()].filter((id) => !wanted.has(id))
    for (const id of remove) {
      clearTimeout(this.#entries.get(id)!.timer ?? undefined)
      this.#entries.delete(id)
    }
    const added = [...wanted.values()]
      .filter(({ id }) => !this.#entries.has(id))
      .map((source) => this.#add(source))
    const upsert = added.flatMap((entry) => (entry.keys === null ? [] : [messageOf(entry)]))
    if (remove.length + upsert.length > 0) this.#options.broadcast({ type: 'key-sets', upsert, remove })
  }

  /** What a new engine is told. */
  messages(): ToEngine[] {
    const told = [...this.#entries.values()].filter(({ keys, failures }) => keys !== null || failures > 0)
    return told.map((entry) => ({ type: 'key-sets', upsert: [messageOf(entry)], remove: [] }))
  }

  /** An engine has met a token of a key that it does not know. It is told of the set in any case. */
  wanted(id: string): void {
    const entry = this.#entries.get(id)
    if (!entry || entry.fetching) return
    const isFresh = this.#now() - entry.fetchedAt < WANTED_MS
    if (entry.source.kind === 'inline' || isFresh || entry.failures > 0) this.#tell(entry)
    else void this.#renew(entry, entry.source.uri)
  }

  close(): void {
    this.#closed.abort()
    for (const { timer } of this.#entries.values()) clearTimeout(timer ?? undefined)
    this.#entries.clear()
  }

  #add(source: KeySetSource): Entry {
    const entry: Entry = { source, keys: null, failures: 0, fetchedAt: 0, fetching: false, timer: null }
    this.#entries.set(source.id, entry)
    if (source.kind === 'inline') {
      const reading = readKeySet(source.jwks)
      // Manifests were checked: it is one.
      if (reading.ok) entry.keys = reading.value.keys
    } else void this.#renew(entry, source.uri)
    return entry
  }

  async #renew(entry: Entry, uri: string): Promise<void> {
    entry.fetching = true
    clearTimeout(entry.timer ?? undefined)
    const fetched = await this.#fetch(
      uri,
      AbortSignal.any([this.#closed.signal, AbortSignal.timeout(FETCH_MS)]),
    )
    entry.fetching = false
    entry.fetchedAt = this.#now()
    if (this.#closed.signal.aborted || this.#entries.get(uri) !== entry) return
    const reading = fetched.ok ? readKeySet(fetched.text) : fetched
    if (fetched.ok && reading.ok) {
      if (entry.failures > 0) this.#options.notice(`the keys at ${uri} can be fetched again`)
      entry.failures = 0
      entry.keys = reading.value.keys
      this.#renewAfter(entry, uri, lifeOf(fetched.maxAgeMs) * RENEW_AT)
    } else if (!reading.ok) this.#failed(entry, uri, reading.problem)
    this.#tell(entry)
  }

  #failed(entry: Entry, uri: string, problem: string): void {
    const effect = entry.keys === null ? 'tokens that need them are refused' : 'the last ones stay in use'
    if (entry.failures === 0)
      this.#options.notice(`the keys at ${uri} cannot be fetched, so ${effect}: ${problem}`)
    entry.failures++
    this.#renewAfter(entry, uri, Math.min(FIRST_RETRY_MS * 2 ** (entry.failures - 1), LONGEST_RETRY_MS))
  }

  #renewAfter(entry: Entry, uri: string, delayMs: number): void {
    entry.timer = setTimeout(() => void this.#renew(entry, uri), delayMs).unref()
  }

  #tell(entry: Entry): void {
    this.#options.broadcast({ type: 'key-sets', upsert: [messageOf(entry)], remove: [] })
  }
}

function messageOf({ source, keys }: Entry): KeySetMessage {
  return { id: source.id, keys, remote: source.kind === 'remote' }
}

function lifeOf(maxAgeMs: number | null): number {
  return Math.min(Math.max(maxAgeMs ?? USUAL_LIFE_MS, SHORTEST_LIFE_MS), LONGEST_LIFE_MS)
}
