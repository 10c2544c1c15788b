// What a SQLite store says to the thread that owns its database, and what that answers.

import type { Change, Commit, Entry, Event, Listing } from './store.ts'

export interface WorkerData {
  file: string
}

export type ToWorker =
  | { kind: 'get'; id: number; key: string }
  | { kind: 'list'; id: number; prefix: string }
  | { kind: 'commit'; id: number; changes: readonly Change[] }
  | { kind: 'backup'; id: number; file: string }
  | { kind: 'close'; id: number }

export type FromWorker =
  | { kind: 'open' }
  | { kind: 'failed-to-open'; code: 'unavailable' | 'locked' | 'damaged' | 'too-new'; message: string }
  | { kind: 'get'; id: number; entry: Entry | null }
  | { kind: 'list'; id: number; listing: Listing }
  | { kind: 'commit'; id: number; commit: Commit }
  /** The commits of one write, in their order; before the answers to them. */
  | { kind: 'committed'; commits: { revision: number; events: Event[] }[] }
  | { kind: 'done'; id: number }
  | { kind: 'failed'; id: number; message: string }
