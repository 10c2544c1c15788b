import { existsSync, renameSync, rmSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { prepareDatabase, SCHEMA_VERSION } from './sqlite-schema.ts'
import { type Entry, StoreError } from './store.ts'

// A backup is a store in SQLite, whatever kind of store it was made of.

/** Writes one state as a new file, whole or not at all; refuses one that is there. */
export function writeBackup(file: string, entries: readonly Entry[], revision: number): void {
  if (existsSync(file)) throw new StoreError('unavailable', `${file} exists: name a new file`)
  const partial = `${file}.${process.pid}.tmp`
  try {
    const database = new DatabaseSync(partial)
    try {
      prepareDatabase(database, partial)
      const insert = database.prepare('INSERT INTO entries VALUES (?, ?, ?, ?)')
      database.exec('BEGIN IMMEDIATE')
      for (const { key, value, created, modified } of entries) insert.run(key, value, created, modified)
      database.prepare('UPDATE counter SET revision = ?').run(revision)
      database.exec('COMMIT')
    } finally {
      database.close()
    }
    renameSync(partial, file)
  } finally {
    for (const end of ['', '-wal', '-shm']) rmSync(`${partial}${end}`, { force: true })
  }
}

/** All entries of a backup. Throws a StoreError where the file is none, or is of a newer Mayfly. */
export function readBackup(file: string): Entry[] {
  if (!existsSync(file)) throw new StoreError('unavailable', `${file}: there is no such file`)
  let database: DatabaseSync | null = null
  try {
    database = new DatabaseSync(file, { readOnly: true })
    const version = Number(Object.values(database.prepare('PRAGMA user_version').get() ?? {})[0])
    if (version > SCHEMA_VERSION)
      throw new StoreError('too-new', `${file} was written by a newer Mayfly: restore it with that one`)
    const all = database.prepare('SELECT key, value, created, modified FROM entries ORDER BY key').all()
    return all as unknown as Entry[]
  } catch (error) {
    if (error instanceof StoreError) throw error
    throw new StoreError(
      'damaged',
      `${file} is no backup of Mayfly, or is damaged: ${(error as Error).message}`,
    )
  } finally {
    database?.close()
  }
}
