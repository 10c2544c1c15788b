// What the control plane keeps for good: keys and values, changed only by whole commits. A commit is acknowledged when it is on disk.

/** A key's value and the revision of the commit that wrote it. */
export interface Entry {
  key: string
  value: string
  /** Of the commit that first wrote the key since it was absent. */
  created: number
  /** Of the commit that wrote it last: what Kubernetes calls resourceVersion. */
  modified: number
}

/** One change of a commit; `ifModified` is the revision that the key must have now, 0: it must be absent, undefined: any. */
export type Change =
  | { kind: 'put'; key: string; value: string; ifModified?: number }
  | { kind: 'delete'; key: string; ifModified?: number }
  /** Changes nothing, but holds the commit to a condition. */
  | { kind: 'check'; key: string; ifModified: number }

/** What became of a commit: all of its changes, or none. */
export type Commit =
  | { ok: true; revision: number }
  /** A condition does not hold; `modified` is the revision that the key has, 0 where it is absent. */
  | { ok: false; kind: 'conflict'; key: string; modified: number }
  /** Nothing is known to be written: the disk is full or broken, the store is out of reach, the change too large. */
  | { ok: false; kind: 'unavailable'; reason: string }

export interface Listing {
  entries: Entry[]
  /** All commits up to this revision are in it, and none after it. */
  revision: number
}

/** A key that a commit wrote (with its entry) or deleted (null). */
export interface Event {
  key: string
  entry: Entry | null
}

export interface Watcher {
  /** A commit that touched watched keys. Revisions only grow. */
  changed(events: readonly Event[], revision: number): void
  /** Commits may have been missed: list again. */
  lost(): void
}

/** A durable store. Keys are text of at most MAX_KEY characters, values of at most MAX_VALUE. */
export interface Store {
  get(key: string): Promise<Entry | null>
  /** All entries whose key starts with `prefix`, in the order of keys. */
  list(prefix: string): Promise<Listing>
  /** Applies all changes or none. A key may be named once. */
  commit(changes: readonly Change[]): Promise<Commit>
  /** Tells of every commit from now on, and maybe of some shortly before, that touches a key with the prefix; gives what ends the watch. */
  watch(prefix: string, watcher: Watcher): () => void
  /** Writes everything as one consistent state to a new file; refuses one that is there. */
  backup(file: string): Promise<void>
  close(): Promise<void>
}

/** The store cannot be read; its message says why and what to do. */
export class StoreError extends Error {
  readonly code: 'unavailable' | 'locked' | 'damaged' | 'too-new'

  constructor(code: StoreError['code'], message: string) {
    super(message)
    this.name = 'StoreError'
    this.code = code
  }
}

export const MAX_KEY = 1_024
export const MAX_VALUE = 4 * 1024 * 1024
export const MAX_CHANGES = 20_000

/** Why a commit cannot be tried, or null. */
export function commitProblem(changes: readonly Change[]): string | null {
  if (changes.length === 0) return 'the commit is empty'
  if (changes.length > MAX_CHANGES) return `the commit has ${changes.length} changes: at most ${MAX_CHANGES}`
  const keys = new Set<string>()
  for (const change of changes) {
    const { key } = change
    if (key === '' || key.length > MAX_KEY) return `a key has ${key.length} characters: from 1 to ${MAX_KEY}`
    if (keys.has(key)) return `the commit names ${key} twice`
    keys.add(key)
    if (change.kind === 'put' && change.value.length > MAX_VALUE)
      return `the value of ${key} has ${change.value.length} characters: at most ${MAX_VALUE}`
  }
  return null
}
