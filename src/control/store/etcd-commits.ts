import { randomUUID } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { ConnectError } from '@connectrpc/connect'
import type { Compare } from '../proto/etcd/etcd_pb.js'
import type { EtcdClient } from './etcd-client.ts'
import {
  bytesOf,
  createdAt,
  type EtcdLayout,
  entryValue,
  type Head,
  headValue,
  MOST_BYTES,
  MOST_OPERATIONS,
  modifiedAt,
  type Operation,
  put,
  read,
  remove,
} from './etcd-layout.ts'
import { keyValues, readEntries } from './etcd-reads.ts'
import { partsAreThere, removeAbandoned, type StagedChange, settle, stage } from './etcd-staged.ts'
import { type Change, type Commit, commitProblem, type Entry, StoreError } from './store.ts'

/** By what a writer proves that it still leads: a key that is there since one revision. */
export interface Fence {
  key: string
  created: number
}

/** Why a commit may not be tried, or the fence it stands behind; `fence: null`: there is none. */
export type Permission = { ok: true; fence: Fence | null } | { ok: false; reason: string }

export interface EtcdCommitsOptions {
  client: EtcdClient
  layout: EtcdLayout
  /** Revision of the schema's key. */
  schema: number
  permission(): Permission
  /** The fence did not hold. */
  fenced(): void
  /** The schema is another one: this process may write no more. */
  outdated(why: string): void
}

/** After that, in milliseconds, a commit of which etcd has not said what became of it is given up. */
const PATIENCE_MS = 5_000
const RETRY_MS = 50

type Try = { kind: 'done'; commit: Commit } | { kind: 'again' }

/** Writes to one store in etcd. One commit is under way at a time: each goes on where the one before it ended. */
export class EtcdCommits {
  readonly #options: EtcdCommitsOptions
  #last: Promise<unknown> = Promise.resolve()
  /** The fence under which it was looked for parts that no commit names. */
  #tidied = 0

  constructor(options: EtcdCommitsOptions) {
    this.#options = options
  }

  commit(changes: readonly Change[]): Promise<Commit> {
    const problem = commitProblem(changes) ?? valueProblem(changes)
    if (problem !== null) return Promise.resolve(unavailable(problem))
    return this.#inTurn(() => this.#commit(changes))
  }

  /** Fills a store that has never been written to, with any number of entries, all at once. */
  fill(entries: readonly { key: string; value: string }[]): Promise<Commit> {
    const changes = entries.map(({ key, value }): Change => ({ kind: 'put', key, value, ifModified: 0 }))
    const problem = valueProblem(changes)
    if (problem !== null) return Promise.resolve(unavailable(problem))
    return this.#inTurn(() => this.#commit(changes))
  }

  /** Resolves when what was asked for before is over. */
  idle(): Promise<unknown> {
    return this.#last
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#last.then(work)
    this.#last = done.catch(() => {})
    return done
  }

  async #commit(changes: readonly Change[]): Promise<Commit> {
    const id = randomUUID()
    const until = performance.now() + PATIENCE_MS
    for (;;) {
      let reason: string
      try {
        const tried = await this.#try(id, changes)
        if (tried.kind === 'done') return tried.commit
        reason = 'others write to the store all the time'
      } catch (error) {
        // Not known to be written: by the same id the next try finds out.
        reason = error instanceof StoreError ? error.message : `etcd: ${ConnectError.from(error).rawMessage}`
        if (error instanceof StoreError && error.code !== 'unavailable') return unavailable(reason)
        if (this.#options.client.signal.aborted) return unavailable(reason)
      }
      if (performance.now() > until) return unavailable(reason)
      await pause(RETRY_MS)
    }
  }

  async #try(id: string, changes: readonly Change[]): Promise<Try> {
    const { client, layout, permission } = this.#options
    const permitted = permission()
    if (!permitted.ok) return { kind: 'done', commit: unavailable(permitted.reason) }
    const guard = this.#guard(permitted.fence)
    const keys = changes.map(({ key }) => key)
    const { head, entries } = await readEntries(client, layout, keys)
    if (head.id === id) return { kind: 'done', commit: { ok: true, revision: head.revision } }
    if (head.staged > 0) {
      const settled = await settle(client, layout, guard, head)
      return settled ? { kind: 'again' } : this.#refused(permitted.fence)
    }
    await this.#tidy(guard, permitted.fence, head)
    const conflict = conflictOf(changes, entries)
    if (conflict) return { kind: 'done', commit: conflict }
    const operations = changes.flatMap((change) => operationOf(layout, change, entries))
    const whole = operations.length <= MOST_OPERATIONS && sizeOf(changes) <= MOST_BYTES
    const staged = whole ? 0 : await stage(client, layout, guard, id, stagedChanges(changes, entries))
    if (staged === null) return this.#refused(permitted.fence)
    const transaction = {
      compare: [
        ...guard,
        modifiedAt(layout.head, head.position),
        ...(whole ? [] : [partsAreThere(layout, id)]),
      ],
      success: [put(layout.head, headValue(whole ? { id } : { id, staged })), ...(whole ? operations : [])],
    }
    const { succeeded, header } = await client.call(({ kv }, options) => kv.txn(transaction, options))
    if (!succeeded) return this.#refused(permitted.fence)
    const revision = Number(header!.revision)
    if (staged > 0) await this.#settleSoon(guard, { id, position: revision, revision, staged })
    return { kind: 'done', commit: { ok: true, revision } }
  }

  /** The commit counts already: what is left over here, the next one does. */
  async #settleSoon(guard: readonly Compare[], head: Head): Promise<void> {
    const { client, layout } = this.#options
    try {
      await settle(client, layout, guard, head)
    } catch {
      // Readers lay it over the entries until then.
    }
  }

  /** Once in each term: what writers before it left behind. */
  async #tidy(guard: readonly Compare[], fence: Fence | null, head: Head): Promise<void> {
    if (fence === null || fence.created === this.#tidied) return
    await removeAbandoned(this.#options.client, this.#options.layout, guard, head)
    this.#tidied = fence.created
  }

  #guard(fence: Fence | null): Compare[] {
    const { layout, schema } = this.#options
    return [modifiedAt(layout.schema, schema), ...(fence ? [createdAt(fence.key, fence.created)] : [])]
  }

  /** A transaction's conditions did not hold: somebody else committed, leads, or has changed the schema. */
  async #refused(fence: Fence | null): Promise<Try> {
    const { client, layout, schema, fenced, outdated } = this.#options
    const success = [read(layout.schema), ...(fence ? [read(fence.key)] : [])]
    const answer = await client.call(({ kv }, options) => kv.txn({ success }, options))
    const [there, leader] = keyValues(answer)
    if (Number(there?.modRevision ?? 0) !== schema) {
      const reason = `etcd: ${layout.schema} has changed: a newer Mayfly has taken the store over, or it was emptied: start this one anew`
      outdated(reason)
      return { kind: 'done', commit: unavailable(reason) }
    }
    if (fence && Number(leader?.createRevision ?? 0) !== fence.created) {
      fenced()
      return { kind: 'done', commit: unavailable('this control plane leads no more: ask the one that does') }
    }
    return { kind: 'again' }
  }
}

function unavailable(reason: string): Commit {
  return { ok: false, kind: 'unavailable', reason }
}

function conflictOf(changes: readonly Change[], entries: ReadonlyMap<string, Entry>): Commit | null {
  for (const { key, ifModified } of changes) {
    const modified = entries.get(key)?.modified ?? 0
    if (ifModified !== undefined && ifModified !== modified)
      return { ok: false, kind: 'conflict', key, modified }
  }
  return null
}

/** etcd takes no more than 1.5 MiB at once, unless it is told to. */
function valueProblem(changes: readonly Change[]): string | null {
  for (const change of changes) {
    if (change.kind !== 'put') continue
    const size = bytesOf(change.value).length
    if (size > MOST_BYTES)
      return `the value of ${change.key} has ${size} bytes: etcd takes at most ${MOST_BYTES}`
  }
  return null
}

function sizeOf(changes: readonly Change[]): number {
  let size = 0
  for (const change of changes)
    size += change.key.length * 3 + (change.kind === 'put' ? bytesOf(change.value).length : 0)
  return size
}

function operationOf(layout: EtcdLayout, change: Change, entries: ReadonlyMap<string, Entry>): Operation[] {
  const before = entries.get(change.key)
  switch (change.kind) {
    case 'check':
      return []
    case 'delete':
      return before ? [remove(layout.entry(change.key))] : []
    case 'put':
      return [
        put(layout.entry(change.key), entryValue(change.value, before ? { created: before.created } : {})),
      ]
  }
}

function stagedChanges(changes: readonly Change[], entries: ReadonlyMap<string, Entry>): StagedChange[] {
  return changes.flatMap((change): StagedChange[] => {
    const before = entries.get(change.key)
    if (change.kind === 'put')
      return [{ key: change.key, value: change.value, created: before?.created ?? 0 }]
    return change.kind === 'delete' && before ? [{ key: change.key, value: null, created: 0 }] : []
  })
}
