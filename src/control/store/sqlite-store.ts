import { Worker } from 'node:worker_threads'
import type { FromWorker, ToWorker, WorkerData } from './sqlite-messages.ts'
import {
  type Change,
  type Commit,
  commitProblem,
  type Entry,
  type Listing,
  type Store,
  StoreError,
  type Watcher,
} from './store.ts'

/** Calls that may wait for the disk at once; one more is refused. */
const MOST_WAITING = 100_000

type Answer = Extract<FromWorker, { id: number }>
type Question = ToWorker extends infer T ? (T extends { id: number } ? Omit<T, 'id'> : never) : never

/** Opens the store in a SQLite file, made where there is none; throws a StoreError. Only one process may have it open. */
export function openSqliteStore(file: string): Promise<Store> {
  const data: WorkerData = { file }
  const worker = new Worker(new URL('./sqlite-worker.ts', import.meta.url), {
    workerData: data,
    execArgv: ['--no-warnings'],
  })
  return new Promise((resolve, reject) => {
    const failed = (error: Error) =>
      reject(new StoreError('unavailable', `cannot open ${file}: ${error.message}`))
    worker.once('error', failed)
    worker.once('message', (first: FromWorker) => {
      worker.off('error', failed)
      if (first.kind === 'open') resolve(new SqliteStore(worker))
      else if (first.kind === 'failed-to-open') reject(new StoreError(first.code, first.message))
      else failed(new Error(`its thread began with ${first.kind}`))
    })
  })
}

class SqliteStore implements Store {
  readonly #worker: Worker
  readonly #waiting = new Map<number, (answer: Answer) => void>()
  readonly #watchers = new Map<Watcher, string>()
  #nextId = 1
  #ended: string | null = null

  constructor(worker: Worker) {
    this.#worker = worker
    worker.on('message', (message: FromWorker) => this.#receive(message))
    worker.on('error', (error: Error) => this.#end(error.message))
    worker.on('exit', () => this.#end('the store is closed'))
  }

  async get(key: string): Promise<Entry | null> {
    const answer = await this.#ask({ kind: 'get', key })
    return (answer as Extract<Answer, { kind: 'get' }>).entry
  }

  async list(prefix: string): Promise<Listing> {
    const answer = await this.#ask({ kind: 'list', prefix })
    return (answer as Extract<Answer, { kind: 'list' }>).listing
  }

  async commit(changes: readonly Change[]): Promise<Commit> {
    const problem = commitProblem(changes)
    if (problem !== null) return { ok: false, kind: 'unavailable', reason: problem }
    try {
      const answer = await this.#ask({ kind: 'commit', changes })
      return (answer as Extract<Answer, { kind: 'commit' }>).commit
    } catch (error) {
      return {
        ok: false,
        kind: 'unavailable',
        reason: error instanceof Error ? error.message : String(error),
      }
    }
  }

  watch(prefix: string, watcher: Watcher): () => void {
    this.#watchers.set(watcher, prefix)
    return () => this.#watchers.delete(watcher)
  }

  async backup(file: string): Promise<void> {
    await this.#ask({ kind: 'backup', file })
  }

  async close(): Promise<void> {
    if (this.#ended !== null) return
    await this.#ask({ kind: 'close' })
    await this.#worker.terminate()
  }

  #ask(question: Question): Promise<Answer> {
    if (this.#ended !== null) return Promise.reject(new StoreError('unavailable', this.#ended))
    if (this.#waiting.size >= MOST_WAITING)
      return Promise.reject(new StoreError('unavailable', `${MOST_WAITING} calls wait for the disk already`))
    const id = this.#nextId++
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, (answer) => {
        if (answer.kind === 'failed') reject(new StoreError('unavailable', answer.message))
        else resolve(answer)
      })
      this.#worker.postMessage({ ...question, id })
    })
  }

  #receive(message: FromWorker): void {
    if (message.kind === 'committed') {
      for (const { revision, events } of message.commits) this.#tell(events, revision)
    } else if ('id' in message) {
      const answered = this.#waiting.get(message.id)
      this.#waiting.delete(message.id)
      answered?.(message)
    }
  }

  #tell(events: Parameters<Watcher['changed']>[0], revision: number): void {
    for (const [watcher, prefix] of this.#watchers) {
      const own = events.filter(({ key }) => key.startsWith(prefix))
      if (own.length > 0) watcher.changed(own, revision)
    }
  }

  #end(reason: string): void {
    this.#ended ??= reason
    for (const [id, answered] of this.#waiting) answered({ kind: 'failed', id, message: reason })
    this.#waiting.clear()
  }
}
