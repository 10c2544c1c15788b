import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { Change, Commit, Entry, Event, Listing } from './store.ts'

/** A commit that was done, and what watchers are told of it. */
export interface Done {
  commit: Commit
  events: Event[]
}

/** Reads and writes one database. Commits that arrive together are written together: one wait for the disk serves them all. */
export class SqliteCommits {
  readonly #database: DatabaseSync
  readonly #get: StatementSync
  readonly #list: StatementSync
  readonly #put: StatementSync
  readonly #delete: StatementSync
  readonly #revision: StatementSync
  readonly #advance: StatementSync

  constructor(database: DatabaseSync) {
    this.#database = database
    this.#get = database.prepare('SELECT key, value, created, modified FROM entries WHERE key = ?')
    this.#list = database.prepare(
      'SELECT key, value, created, modified FROM entries WHERE key >= ? AND key < ? ORDER BY key',
    )
    this.#put = database.prepare(
      `INSERT INTO entries VALUES (?1, ?2, ?3, ?3)
       ON CONFLICT (key) DO UPDATE SET value = ?2, modified = ?3`,
    )
    this.#delete = database.prepare('DELETE FROM entries WHERE key = ?')
    this.#revision = database.prepare('SELECT revision FROM counter')
    this.#advance = database.prepare('UPDATE counter SET revision = ?')
  }

  get(key: string): Entry | null {
    return (this.#get.get(key) as Entry | undefined) ?? null
  }

  list(prefix: string): Listing {
    const entries = this.#list.all(prefix, `${prefix}\u{10ffff}`) as unknown as Entry[]
    return { entries, revision: this.#current() }
  }

  /** Each commit by itself holds or fails; all that hold are on disk together when this returns. */
  commitAll(commits: readonly (readonly Change[])[]): Done[] {
    try {
      this.#database.exec('BEGIN IMMEDIATE')
      let revision = this.#current()
      const done = commits.map((changes) => {
        const one = this.#apply(changes, revision + 1)
        if (one.commit.ok) revision++
        return one
      })
      this.#advance.run(revision)
      this.#database.exec('COMMIT')
      return done
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK')
      const reason = error instanceof Error ? error.message : String(error)
      return commits.map(() => ({ commit: { ok: false, kind: 'unavailable', reason }, events: [] }))
    }
  }

  #current(): number {
    return Number((this.#revision.get() as { revision: number }).revision)
  }

  #apply(changes: readonly Change[], revision: number): Done {
    const before = new Map(changes.map(({ key }) => [key, this.get(key)]))
    for (const { key, ifModified } of changes) {
      const modified = before.get(key)?.modified ?? 0
      if (ifModified !== undefined && ifModified !== modified)
        return { commit: { ok: false, kind: 'conflict', key, modified }, events: [] }
    }
    const events: Event[] = []
    for (const change of changes) {
      const { key } = change
      if (change.kind === 'put') {
        this.#put.run(key, change.value, revision)
        const created = before.get(key)?.created ?? revision
        events.push({ key, entry: { key, value: change.value, created, modified: revision } })
      } else if (change.kind === 'delete' && before.get(key)) {
        this.#delete.run(key)
        events.push({ key, entry: null })
      }
    }
    return { commit: { ok: true, revision }, events }
  }
}
