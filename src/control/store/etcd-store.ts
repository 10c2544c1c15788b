import type { Event as EtcdEvent } from '../proto/etcd/etcd_pb.js'
import { writeBackup } from './backup-file.ts'
import type { EtcdClient } from './etcd-client.ts'
import { EtcdCommits, type Permission } from './etcd-commits.ts'
import { EtcdLayout, readEntry, readHead, textOf } from './etcd-layout.ts'
import { getEntry, listEntries, readEntries } from './etcd-reads.ts'
import { prepareSchema } from './etcd-schema.ts'
import { readStaged, stagedEvents } from './etcd-staged.ts'
import { watchEtcd } from './etcd-watch.ts'
import {
  type Change,
  type Commit,
  type Entry,
  type Event,
  type Listing,
  type Store,
  StoreError,
  type Watcher,
} from './store.ts'

export interface EtcdStoreOptions {
  client: EtcdClient
  /** All keys are under it. */
  prefix: string
  /** Asked before each commit; absent: all may commit. */
  permission?(): Permission
  /** A commit was refused since its fence is gone. */
  fenced?(): void
  /** The store has another schema than when it was opened: nothing can be committed any more. */
  outdated?(why: string): void
}

/** Commits that may wait for etcd at once; one more is refused. */
const MOST_WAITING = 10_000

/** Opens the store under a prefix of an etcd cluster, made where there is none. Throws a StoreError. Closing it leaves the client open. */
export async function openEtcdStore(options: EtcdStoreOptions): Promise<EtcdStore> {
  const { client, permission = () => ({ ok: true, fence: null }), fenced = () => {} } = options
  const outdated = (why: string) => options.outdated?.(why)
  const layout = new EtcdLayout(options.prefix)
  const schema = await prepareSchema(client, layout)
  const commits = new EtcdCommits({ client, layout, schema, permission, fenced, outdated })
  const { revision } = await readEntries(client, layout, [])
  return new EtcdStore(client, layout, commits, revision)
}

/** A store that several control planes share. */
export class EtcdStore implements Store {
  readonly #client: EtcdClient
  readonly #layout: EtcdLayout
  readonly #commits: EtcdCommits
  readonly #watchers = new Map<Watcher, string>()
  readonly #closed = new AbortController()
  #waiting = 0

  constructor(client: EtcdClient, layout: EtcdLayout, commits: EtcdCommits, revision: number) {
    this.#client = client
    this.#layout = layout
    this.#commits = commits
    void watchEtcd({
      client,
      signal: AbortSignal.any([client.signal, this.#closed.signal]),
      prefix: layout.all,
      from: revision + 1,
      changed: (events, at) => this.#changed(events, at),
      lost: () => {
        for (const watcher of [...this.#watchers.keys()]) watcher.lost()
      },
    })
  }

  async get(key: string): Promise<Entry | null> {
    this.#assertOpen()
    return getEntry(this.#client, this.#layout, key)
  }

  async list(prefix: string): Promise<Listing> {
    this.#assertOpen()
    return listEntries(this.#client, this.#layout, prefix)
  }

  async commit(changes: readonly Change[]): Promise<Commit> {
    return this.#bounded(() => this.#commits.commit(changes))
  }

  /** Fills a store that is empty, all at once. */
  async fill(entries: readonly { key: string; value: string }[]): Promise<Commit> {
    const { entries: there } = await this.list('')
    if (there.length > 0)
      return { ok: false, kind: 'unavailable', reason: `it has ${there.length} entries already` }
    return this.#bounded(() => this.#commits.fill(entries))
  }

  watch(prefix: string, watcher: Watcher): () => void {
    this.#watchers.set(watcher, prefix)
    return () => this.#watchers.delete(watcher)
  }

  async backup(file: string): Promise<void> {
    const { entries, revision } = await this.list('')
    writeBackup(file, entries, revision)
  }

  async close(): Promise<void> {
    this.#closed.abort()
    this.#watchers.clear()
    await this.#commits.idle()
  }

  async #bounded(commit: () => Promise<Commit>): Promise<Commit> {
    if (this.#closed.signal.aborted) return { ok: false, kind: 'unavailable', reason: 'the store is closed' }
    if (this.#waiting >= MOST_WAITING)
      return { ok: false, kind: 'unavailable', reason: `${MOST_WAITING} commits wait for etcd already` }
    this.#waiting++
    try {
      return await commit()
    } finally {
      this.#waiting--
    }
  }

  /** What one revision of etcd means: a commit, or only that a staged one was brought to the entries. */
  async #changed(changes: readonly EtcdEvent[], revision: number): Promise<void> {
    const headPath = this.#layout.head
    const written = changes.find(({ kv }) => textOf(kv!.key) === headPath)?.kv
    if (!written || this.#watchers.size === 0) return
    const head = readHead(written)
    if (head.revision !== revision) return
    const events =
      head.staged > 0
        ? stagedEvents(await readStaged(this.#client, this.#layout, head, revision), revision)
        : changes.flatMap((change) => this.#eventOf(change))
    for (const [watcher, prefix] of [...this.#watchers]) {
      const own = events.filter(({ key }) => key.startsWith(prefix))
      if (own.length > 0) watcher.changed(own, revision)
    }
  }

  #eventOf({ type, kv }: EtcdEvent): Event[] {
    const key = this.#layout.entryKey(textOf(kv!.key))
    if (key === null) return []
    return [{ key, entry: type === 0 ? readEntry(this.#layout, kv!) : null }]
  }

  #assertOpen(): void {
    if (this.#closed.signal.aborted) throw new StoreError('unavailable', 'the store is closed')
  }
}
