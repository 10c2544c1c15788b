import type { DatabaseSync } from 'node:sqlite'
import { StoreError } from './store.ts'

/** Each brings the database from the version of its index to the next one. Never change one that has been released. */
const MIGRATIONS: readonly string[] = [
  `CREATE TABLE entries (
     key TEXT PRIMARY KEY,
     value TEXT NOT NULL,
     created INTEGER NOT NULL,
     modified INTEGER NOT NULL
   ) STRICT, WITHOUT ROWID;
   CREATE TABLE counter (id INTEGER PRIMARY KEY CHECK (id = 1), revision INTEGER NOT NULL) STRICT;
   INSERT INTO counter VALUES (1, 0);`,
]

export const SCHEMA_VERSION = MIGRATIONS.length

/** "MYFL": tells a store of ours from any other SQLite file. */
const APPLICATION_ID = 0x4d59464c

/** Opens for durable use and brings the schema up to date, each step in one transaction. */
export function prepareDatabase(database: DatabaseSync, file: string): void {
  // EXCLUSIVE: of two control planes on one file the second is refused. FULL: a commit is on disk when it returns.
  database.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;')
  const version = number(database, 'PRAGMA user_version')
  const application = number(database, 'PRAGMA application_id')
  const tables = number(database, 'SELECT count(*) FROM sqlite_schema')
  if (application !== APPLICATION_ID && tables > 0)
    throw new StoreError('damaged', `${file} is a database of another program: name another file`)
  if (version > SCHEMA_VERSION) {
    const message = `${file} was written by a newer Mayfly (schema ${version}, this one knows up to ${SCHEMA_VERSION}): use that one`
    throw new StoreError('too-new', message)
  }
  for (let step = version; step < SCHEMA_VERSION; step++) {
    database.exec('BEGIN IMMEDIATE')
    database.exec(MIGRATIONS[step]!)
    database.exec(`PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${step + 1}; COMMIT`)
  }
  // Taken now: the lock of EXCLUSIVE comes with the first write.
  database.exec('BEGIN IMMEDIATE; UPDATE counter SET revision = revision; COMMIT')
}

function number(database: DatabaseSync, sql: string): number {
  return Number(Object.values(database.prepare(sql).get() ?? {})[0])
}
