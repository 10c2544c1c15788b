import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, createReadStream, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { processTree } from './process-tree.ts'

/** A process that a bench started, with where its output goes. */
export type Child = {
  readonly name: string
  readonly pid: number
  readonly process: ChildProcess
  readonly log: string
}

/** The processes and the folder of one bench: all of it is gone when the bench ends, however it ends. */
export type Children = {
  readonly folder: string
  /** Starts a program; stdout and stderr go to a file in the folder unless `options.stdio` says otherwise. */
  start(name: string, command: string, args: readonly string[], options?: SpawnOptions): Child
  /** Ends one process and all that it started; resolves when it is gone. */
  stop(child: Child): Promise<void>
  stopAll(): Promise<void>
}

const graceMilliseconds = 3000
const living = new Set<Child>()
const folders = new Set<string>()

/** Opens an empty set of children with a folder of its own. */
export function openChildren(): Children {
  const folder = mkdtempSync(join(tmpdir(), 'mayfly-bench-'))
  folders.add(folder)
  const own = new Set<Child>()
  let started = 0
  return {
    folder,
    start(name, command, args, options = {}) {
      const log = join(folder, `${name}-${started++}.log`)
      const output = openSync(log, 'a')
      const child = spawn(command, args, {
        stdio: ['ignore', output, output],
        env: plainEnvironment(),
        ...options,
      })
      closeSync(output)
      child.on('error', () => {}) // A program that is not there: pid stays undefined, and that throws below.
      if (child.pid === undefined) throw new Error(`cannot run ${command}: is it installed?`)
      const entry = { name, pid: child.pid, process: child, log }
      own.add(entry)
      living.add(entry)
      child.once('exit', () => living.delete(entry))
      return entry
    },
    async stop(child) {
      own.delete(child)
      await stop(child)
    },
    async stopAll() {
      await Promise.all([...own].map(stop))
      own.clear()
      rmSync(folder, { recursive: true, force: true })
      folders.delete(folder)
    },
  }
}

// The launcher tunes the allocator for Mayfly; what Mayfly is compared with runs as it does by itself.
function plainEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('MALLOC_')))
}

/** Makes the process clean up after itself when it is interrupted. Called once, by the program that runs benches. */
export function cleanUpOnExit(): void {
  process.on('exit', () => {
    for (const { pid } of living) killAll(processTree(pid))
    for (const folder of folders) rmSync(folder, { recursive: true, force: true })
  })
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const) {
    process.on(signal, () => process.exit(code))
  }
}

/** Resolves when something accepts connections there; throws, with the child's output, when it ends or is too slow. */
export async function listening(child: Child, port: number, seconds = 20): Promise<void> {
  const deadline = performance.now() + seconds * 1000
  while (!(await accepts(port))) {
    if (hasEnded(child)) throw new Error(`${child.name} ended at once:\n${tail(child)}`)
    if (performance.now() > deadline)
      throw new Error(`${child.name} does not listen on port ${port}:\n${tail(child)}`)
    await pause(20)
  }
}

/** The end of what a child has printed. */
export function tail(child: Child): string {
  return readFileSync(child.log, 'utf8').slice(-2000)
}

export function hasEnded(child: Child): boolean {
  return child.process.exitCode !== null || child.process.signalCode !== null
}

/** A port on loopback that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}

/** Counts a file's lines without holding the file. */
export async function countLines(path: string): Promise<number> {
  let lines = 0
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
    for (let at = chunk.indexOf(10); at !== -1; at = chunk.indexOf(10, at + 1)) lines++
  }
  return lines
}

export function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds))
}

async function stop(child: Child): Promise<void> {
  if (hasEnded(child)) return
  const tree = processTree(child.pid)
  const gone = once(child.process, 'exit')
  child.process.kill('SIGTERM')
  const timer = setTimeout(() => killAll(processTree(child.pid)), graceMilliseconds)
  await gone
  clearTimeout(timer)
  // What outlives its parent is no longer in the tree: it is known from before.
  killAll(tree)
}

function killAll(pids: readonly number[]): void {
  for (const pid of pids) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // It is gone already.
    }
  }
}

async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  return new Promise((resolve) => {
    socket
      .once('connect', () => resolve(true))
      .once('error', () => resolve(false))
      .once('close', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}
