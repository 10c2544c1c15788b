import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import type { KeptCounter, QuotaMemory } from './quota-authority.ts'
import type { QuotaCounter } from './quota-counter.ts'

/** Meshes of one folder at a time; each has a file of its own. */
const MOST_FILES = 64

/**
 * Counters in a file, so that what a mesh let through is known to the one after it. They are written before anything is leased by them, but
 * not synced: what the process wrote outlives the process, not the machine. After a crash of that, all is unknown.
 */
export class QuotaFile implements QuotaMemory {
  readonly unknownBefore: number | null
  readonly #database: DatabaseSync
  readonly #load: StatementSync
  readonly #save: StatementSync
  readonly #forget: StatementSync

  /** Opens the first file of the folder that no other mesh has open. `now`: milliseconds since the epoch. */
  static open(folder: string, now: number, boot: string = bootId()): QuotaFile {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    for (let number = 0; number < MOST_FILES; number++) {
      const database = new DatabaseSync(join(folder, `quota-${number}.sqlite`), { timeout: 0 })
      try {
        // The lock is held until the file is closed, by whatever way the process ends.
        database.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF')
        database.exec('BEGIN EXCLUSIVE; COMMIT')
      } catch (error) {
        database.close()
        if (/locked|busy/i.test((error as Error).message)) continue
        throw error
      }
      return new QuotaFile(database, now, boot)
    }
    throw new Error(
      `${MOST_FILES} meshes have their counters in ${folder}: give this one another folder with --state`,
    )
  }

  private constructor(database: DatabaseSync, now: number, boot: string) {
    this.#database = database
    database.exec(`
      CREATE TABLE IF NOT EXISTS counters (name TEXT PRIMARY KEY, state TEXT NOT NULL, expiry REAL NOT NULL) WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    `)
    const facts = new Map(
      database
        .prepare('SELECT name, value FROM facts')
        .all()
        .map(({ name, value }) => [String(name), String(value)]),
    )
    const kept = facts.get('unknown') ?? ''
    // Of the same boot whatever was written is there; else only what was synced when a mesh ended in order.
    const isWhole = !facts.has('boot') || facts.get('boot') === boot || facts.get('ended') === 'yes'
    this.unknownBefore = isWhole ? (kept === '' ? null : Number(kept)) : now
    const set = database.prepare('INSERT OR REPLACE INTO facts VALUES (?, ?)')
    set.run('boot', boot)
    set.run('ended', 'no')
    set.run('unknown', this.unknownBefore === null ? '' : String(this.unknownBefore))
    if (!isWhole) database.exec('DELETE FROM counters')
    database.prepare('DELETE FROM counters WHERE expiry <= ?').run(now)
    this.#load = database.prepare('SELECT state FROM counters WHERE name = ?')
    this.#save = database.prepare('INSERT OR REPLACE INTO counters VALUES (?, ?, ?)')
    this.#forget = database.prepare('DELETE FROM counters WHERE name = ?')
  }

  load(name: string): QuotaCounter | null {
    const row = this.#load.get(name)
    return row ? (JSON.parse(String(row.state)) as QuotaCounter) : null
  }

  save(counters: readonly KeptCounter[]): void {
    this.#together(counters.length > 1, () => {
      for (const { name, counter, expiry } of counters) this.#save.run(name, JSON.stringify(counter), expiry)
    })
  }

  forget(names: readonly string[]): void {
    this.#together(true, () => {
      for (const name of names) this.#forget.run(name)
    })
  }

  /** Ends in order: all is on disk, whatever becomes of the machine. */
  close(): void {
    this.#database.exec(`
      PRAGMA synchronous = FULL;
      INSERT OR REPLACE INTO facts VALUES ('ended', 'yes');
      PRAGMA wal_checkpoint(TRUNCATE);
    `)
    this.#database.close()
  }

  #together(several: boolean, write: () => void): void {
    if (!several) return write()
    this.#database.exec('BEGIN')
    try {
      write()
      this.#database.exec('COMMIT')
    } catch (error) {
      this.#database.exec('ROLLBACK')
      throw error
    }
  }
}

/** Another one each time the machine starts; '' where the system does not tell. */
function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  } catch {
    return ''
  }
}
