// The keys by which an engine verifies tokens, as control tells of them, and the waits for keys that it does not have.

import { createPublicKey, type KeyObject } from 'node:crypto'
import type { VerificationKey } from '../api/key-set.ts'

/** A key set as control sends it; `keys` null: they could not be fetched. */
export interface KeySetMessage {
  id: string
  keys: readonly VerificationKey[] | null
  /** Where they are fetched from may have newer ones. */
  remote: boolean
}

/** One version of a set; verdicts that were reached with it hold as long as it is the one in force. */
export interface KeySet {
  readonly id: string
  readonly remote: boolean
  readonly keys: readonly EngineKey[]
}

export interface EngineKey {
  readonly kid: string
  readonly algorithms: readonly string[]
  readonly key: KeyObject
}

export type KeySetState =
  | { readonly kind: 'there'; readonly set: KeySet }
  | { readonly kind: 'failed' | 'awaited' }

/** Most requests that wait for keys; those beyond are refused. */
const MOST_WAITING = 1024
/** A set is asked to be fetched anew at most this often, in milliseconds: whoever invents names of keys must not cause more. */
const ASK_MS = 5_000

export interface KeySetsHooks {
  /** Asks control to fetch the set anew. */
  wanted(id: string): void
  /** Monotonic milliseconds. */
  now(): number
}

export class KeySets {
  readonly counters = { keySets: 0, keysAsked: 0, keysWaiting: 0, keysWaitingOver: 0, keysTimedOut: 0 }
  readonly #hooks: KeySetsHooks
  readonly #states = new Map<string, Exclude<KeySetState, { kind: 'awaited' }>>()
  readonly #askedAt = new Map<string, number>()
  readonly #waiting = new Map<string, Set<() => void>>()

  constructor(hooks: KeySetsHooks) {
    this.#hooks = hooks
  }

  update(upsert: readonly KeySetMessage[], remove: readonly string[]): void {
    for (const message of upsert) {
      const before = this.#states.get(message.id)
      if (message.keys !== null)
        this.#states.set(message.id, { kind: 'there', set: newSet(message, message.keys, before) })
      else if (before?.kind !== 'there') this.#states.set(message.id, FAILED)
      this.#release(message.id)
    }
    for (const id of remove) {
      this.#states.delete(id)
      this.#askedAt.delete(id)
      this.#release(id)
    }
    this.counters.keySets = this.#states.size
  }

  state(id: string): KeySetState {
    return this.#states.get(id) ?? AWAITED
  }

  /** Whether it is worth to wait for newer keys than these: some are on their way, or are asked for now. */
  mayRenew(set: KeySet): boolean {
    if (!set.remote) return false
    if (this.#waiting.has(set.id)) return true
    const asked = this.#askedAt.get(set.id)
    const now = this.#hooks.now()
    if (asked !== undefined && now - asked < ASK_MS) return false
    this.#askedAt.set(set.id, now)
    this.counters.keysAsked++
    this.#hooks.wanted(set.id)
    return true
  }

  /** Resolves when control has told of the set, or the time is over, or too many wait. */
  renewed(id: string, timeoutMs: number): Promise<void> {
    const { counters } = this
    if (counters.keysWaiting >= MOST_WAITING) {
      counters.keysWaitingOver++
      return Promise.resolve()
    }
    counters.keysWaiting++
    return new Promise((resolve) => {
      const waiting = this.#waiting.get(id) ?? new Set()
      this.#waiting.set(id, waiting)
      const timer = setTimeout(() => {
        counters.keysTimedOut++
        waiting.delete(done)
        if (waiting.size === 0) this.#waiting.delete(id)
        done()
      }, timeoutMs)
      const done = () => {
        clearTimeout(timer)
        counters.keysWaiting--
        resolve()
      }
      waiting.add(done)
    })
  }

  #release(id: string): void {
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    for (const done of waiting ?? []) done()
  }
}

/** The set before stays where nothing changed: what was verified with it need not be verified again. */
function newSet(
  { id, remote }: KeySetMessage,
  keys: readonly VerificationKey[],
  before: KeySetState | undefined,
): KeySet {
  const set = { id, remote, keys: keys.map(engineKey) }
  return before?.kind === 'there' && sameKeys(before.set.keys, set.keys) ? before.set : set
}

function engineKey({ kid, algorithms, jwk }: VerificationKey): EngineKey {
  return { kid, algorithms, key: createPublicKey({ key: { ...jwk }, format: 'jwk' }) }
}

function sameKeys(a: readonly EngineKey[], b: readonly EngineKey[]): boolean {
  return (
    a.length === b.length &&
    a.every(({ kid, algorithms, key }, i) => {
      const other = b[i]!
      return kid === other.kid && String(algorithms) === String(other.algorithms) && key.equals(other.key)
    })
  )
}

const AWAITED = { kind: 'awaited' } as const
const FAILED = { kind: 'failed' } as const
