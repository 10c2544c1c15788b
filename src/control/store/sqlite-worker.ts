// The thread that owns a SQLite database: waiting for the disk, however slow it is, holds up nothing else.

import { existsSync } from 'node:fs'
import { backup, DatabaseSync } from 'node:sqlite'
import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { SqliteCommits } from './sqlite-commits.ts'
import type { FromWorker, ToWorker, WorkerData } from './sqlite-messages.ts'
import { prepareDatabase } from './sqlite-schema.ts'
import { StoreError } from './store.ts'

/** Commits written together at most: what waits behind them waits for one write. */
const MOST_TOGETHER = 1_000

function run(port: MessagePort, { file }: WorkerData): void {
  const send = (message: FromWorker) => port.postMessage(message)
  const opened = open(file)
  if (!opened.ok) {
    send({ kind: 'failed-to-open', code: opened.error.code, message: opened.error.message })
    port.close()
    return
  }
  const { database } = opened
  const commits = new SqliteCommits(database)
  port.on('message', (first: ToWorker) => {
    const batch: Extract<ToWorker, { kind: 'commit' }>[] = []
    for (let message: ToWorker | null = first; message; message = next(port)) {
      if (message.kind === 'commit' && batch.push(message) < MOST_TOGETHER) continue
      flush(commits, batch.splice(0), send)
      if (message.kind !== 'commit') void answer(commits, database, port, message, send)
    }
    flush(commits, batch, send)
  })
  send({ kind: 'open' })
}

function next(port: MessagePort): ToWorker | null {
  return (receiveMessageOnPort(port)?.message as ToWorker | undefined) ?? null
}

function flush(
  commits: SqliteCommits,
  batch: Extract<ToWorker, { kind: 'commit' }>[],
  send: (message: FromWorker) => void,
): void {
  if (batch.length === 0) return
  const done = commits.commitAll(batch.map(({ changes }) => changes))
  const committed = done.flatMap(({ commit, events }) =>
    commit.ok ? [{ revision: commit.revision, events }] : [],
  )
  if (committed.length > 0) send({ kind: 'committed', commits: committed })
  batch.forEach(({ id }, i) => {
    send({ kind: 'commit', id, commit: done[i]!.commit })
  })
}

async function answer(
  commits: SqliteCommits,
  database: DatabaseSync,
  port: MessagePort,
  message: Exclude<ToWorker, { kind: 'commit' }>,
  send: (message: FromWorker) => void,
): Promise<void> {
  const { id } = message
  try {
    switch (message.kind) {
      case 'get':
        return send({ kind: 'get', id, entry: commits.get(message.key) })
      case 'list':
        return send({ kind: 'list', id, listing: commits.list(message.prefix) })
      case 'backup':
        if (existsSync(message.file)) throw new Error(`${message.file} exists: name a new file`)
        await backup(database, message.file)
        return send({ kind: 'done', id })
      case 'close':
        database.close()
        send({ kind: 'done', id })
        return port.close()
    }
  } catch (error) {
    send({ kind: 'failed', id, message: error instanceof Error ? error.message : String(error) })
  }
}

function open(file: string): { ok: true; database: DatabaseSync } | { ok: false; error: StoreError } {
  let database: DatabaseSync | null = null
  try {
    database = new DatabaseSync(file)
    prepareDatabase(database, file)
    return { ok: true, database }
  } catch (error) {
    database?.close()
    return { ok: false, error: explained(error, file) }
  }
}

function explained(error: unknown, file: string): StoreError {
  if (error instanceof StoreError) return error
  const text = error instanceof Error ? error.message : String(error)
  if (/database is locked/.test(text))
    return new StoreError(
      'locked',
      `${file} is in use by another control plane: stop it, or name another file`,
    )
  if (/not a database|malformed/.test(text))
    return new StoreError(
      'damaged',
      `${file} is no store, or is damaged (${text}): restore a backup, or name another file`,
    )
  return new StoreError('unavailable', `cannot open ${file}: ${text}`)
}

run(parentPort!, workerData as WorkerData)
