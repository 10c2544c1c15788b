import { connect, type Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import type { Children } from './children.ts'
import { ReplyReader } from './reply-reader.ts'
import { quantile } from './statistics.ts'

export type OpenLoop = {
  readonly port: number
  /** What is sent, in turn. */
  readonly heads: readonly string[]
  /** What every reply must have as its body. */
  readonly body: string
  /** Requests a second, equally spaced. */
  readonly rate: number
  readonly seconds: number
}

/** Latencies in microseconds, from the time a request was planned for to its reply's last byte. */
export type OpenLoopResult = {
  readonly planned: number
  readonly answered: number
  /** What went wrong, with how often. */
  readonly failures: Readonly<Record<string, number>>
  readonly p50: number
  readonly p99: number
  /** How late the generator itself sent its requests: part of the latencies, and no fault of the proxy. */
  readonly lateP50: number
  readonly lateP99: number
}

const mostConnections = 1024
const answerMilliseconds = 10_000

/** Sends requests at a constant rate whatever becomes of them, from a process of its own. */
export async function openLoop(children: Children, options: OpenLoop): Promise<OpenLoopResult> {
  const child = children.start('open-loop', process.execPath, [fileURLToPath(import.meta.url)], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const result = new Promise<OpenLoopResult>((resolve, reject) => {
    child.process.once('message', (message) => resolve(message as OpenLoopResult))
    child.process.once('exit', () => reject(new Error('the load generator ended before its result')))
  })
  child.process.send(options)
  try {
    return await result
  } finally {
    await children.stop(child)
  }
}

/** Runs the load in this process. */
export async function generate({ port, heads, body, rate, seconds }: OpenLoop): Promise<OpenLoopResult> {
  const planned = Math.round(rate * seconds)
  const expected = Buffer.from(body)
  const latencies: number[] = []
  const lateness: number[] = []
  const failures: Record<string, number> = {}
  const idle: Connection[] = []
  let open = 0
  let sent = 0
  let settled = 0
  let finish = () => {}
  const finished = new Promise<void>((resolve) => {
    finish = resolve
  })

  const settle = (failure: string | undefined) => {
    if (failure !== undefined) failures[failure] = (failures[failure] ?? 0) + 1
    if (++settled === planned) finish()
  }
  const send = (plannedAt: number) => {
    let connection = idle.pop()
    if (connection === undefined) {
      // Never shed quietly: what the generator could not send is a failure of the run.
      if (open === mostConnections) return settle('no connection free')
      open++
      connection = openConnection(port, expected, idle, () => open--)
    }
    lateness.push((performance.now() - plannedAt) * 1000)
    connection.send(heads[(sent - 1) % heads.length]!, (failure) => {
      if (failure === undefined) latencies.push((performance.now() - plannedAt) * 1000)
      settle(failure)
    })
  }

  const interval = 1000 / rate
  const start = performance.now() + 50
  const ticker = startTicker(interval, start, planned)
  ticker.on('message', () => {
    // One tick may stand for several requests when this process was late.
    while (sent < planned && start + sent * interval <= performance.now()) send(start + sent++ * interval)
  })
  const timer = setTimeout(finish, seconds * 1000 + answerMilliseconds)
  await finished
  clearTimeout(timer)
  await ticker.terminate()
  for (const connection of idle) connection.close()
  if (settled < planned) failures['no answer in time'] = planned - settled
  return {
    planned,
    answered: latencies.length,
    failures,
    p50: quantile(latencies, 0.5),
    p99: quantile(latencies, 0.99),
    lateP50: quantile(lateness, 0.5),
    lateP99: quantile(lateness, 0.99),
  }
}

type Connection = { send(head: string, done: (failure: string | undefined) => void): void; close(): void }

function openConnection(port: number, expected: Buffer, idle: Connection[], closed: () => void): Connection {
  const socket: Socket = connect({ port, host: '127.0.0.1', noDelay: true })
  const reader = new ReplyReader(expected)
  let waiting: ((failure: string | undefined) => void) | undefined
  const end = (failure: string | undefined) => {
    const done = waiting
    waiting = undefined
    done?.(failure)
  }
  const connection: Connection = {
    send(head, done) {
      waiting = done
      socket.write(head, 'latin1')
    },
    close: () => socket.destroy(),
  }
  socket.on('data', (chunk: Buffer) => {
    const state = waiting === undefined ? 'bytes that nobody asked for' : reader.read(chunk)
    if (state === 'more') return
    end(state === 'complete' ? undefined : state)
    if (state === 'complete') idle.push(connection)
    else socket.destroy()
  })
  socket.on('error', (error: NodeJS.ErrnoException) => end(error.code ?? error.message))
  socket.on('close', () => {
    closed()
    const place = idle.indexOf(connection)
    if (place !== -1) idle.splice(place, 1)
    end('connection closed')
  })
  return connection
}

// Timers of an event loop count whole milliseconds. A thread that sleeps in Atomics.wait is punctual to some 50 us.
function startTicker(interval: number, start: number, ticks: number): Worker {
  const origin = performance.timeOrigin + start
  return new Worker(fileURLToPath(import.meta.url), { workerData: { interval, origin, ticks } })
}

function tick({ interval, origin, ticks }: { interval: number; origin: number; ticks: number }): void {
  const never = new Int32Array(new SharedArrayBuffer(4))
  for (let index = 0; index < ticks; index++) {
    const due = origin + index * interval - performance.timeOrigin
    const wait = due - performance.now()
    if (wait > 0) Atomics.wait(never, 0, 0, wait)
    parentPort!.postMessage(0)
  }
}

if (!isMainThread) tick(workerData)
else if (process.argv[1] === fileURLToPath(import.meta.url)) {
  process.on('disconnect', () => process.exit())
  process.once('message', async (options) => process.send?.(await generate(options as OpenLoop)))
}
