import { type ChildProcess, spawn } from 'node:child_process'
import type { Readable } from 'node:stream'
import { giveInstancePriority } from './instance-priority.ts'
import type { Launch } from './launch.ts'
import { readLines } from './line-reader.ts'

/** A started process, the leader of a process group of its own. */
export type InstanceProcess = {
  readonly pid: number
  /** How it ended, in words: "exited with status 1". By then its group has been killed. */
  readonly exit: Promise<string>
  /** All that it wrote has been read (at most OUTPUT_GRACE_MS after its exit: a daemon may hold the pipe open). */
  readonly outputRead: Promise<void>
  /** The port that it announced; never resolves for a process that announces none. */
  readonly port: Promise<number>
  /** Signals its whole group; does nothing once it has ended. */
  signal(name: 'SIGTERM' | 'SIGKILL'): void
}

/** Gets what the process writes. */
export type OutputSink = {
  line(stream: 'stdout' | 'stderr', text: string): void
  dropped(stream: 'stdout' | 'stderr', bytes: number): void
}

/** Starts a process, or says why the system refused. */
export async function startProcess(
  launch: Launch,
  output: OutputSink,
): Promise<{ ok: true; process: InstanceProcess } | { ok: false; reason: string }> {
  let child: ChildProcess
  try {
    child =
      launch.waiting ??
      spawn(launch.command, launch.args, {
        cwd: launch.cwd,
        env: launch.environment,
        detached: true,
        stdio: [
          launch.input === undefined ? 'ignore' : 'pipe',
          'pipe',
          'pipe',
          ...(launch.announcesPort ? (['pipe'] as const) : []),
        ],
      })
  } catch (error) {
    return { ok: false, reason: `cannot start ${launch.command}: ${(error as Error).message}` }
  }
  if (child.pid === undefined) {
    const error = await new Promise<Error>((resolve) => child.once('error', resolve))
    return { ok: false, reason: `cannot start ${launch.command}: ${error.message}` }
  }
  giveInstancePriority(child.pid)
  if (launch.input !== undefined) child.stdin!.on('error', () => {}).end(launch.input)
  if (!launch.announcesPort) (child.stdio[3] as Readable | undefined)?.destroy()
  return { ok: true, process: follow(child, child.pid, output, launch) }
}

/** Asks a process to end, and ends it when it has not done so in time. */
export async function terminate(process: InstanceProcess, graceMs: number): Promise<string> {
  process.signal('SIGTERM')
  const timer = setTimeout(() => process.signal('SIGKILL'), graceMs)
  const how = await process.exit
  clearTimeout(timer)
  return how
}

function follow(child: ChildProcess, pid: number, output: OutputSink, launch: Launch): InstanceProcess {
  let ended = false
  for (const name of ['stdout', 'stderr'] as const) {
    readLines(child[name]!, {
      line: (text) => output.line(name, text),
      dropped: (bytes) => output.dropped(name, bytes),
    })
  }
  child.on('error', () => {})
  const exit = new Promise<string>((resolve) => {
    child.once('exit', (code, signal) => {
      ended = true
      killGroup(pid, 'SIGKILL')
      const how = code === null ? `was killed by ${signal}` : `exited with status ${code}`
      resolve(launch.explain?.(how) ?? how)
    })
  })
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()))
  const outputRead = exit.then(() => {
    let timer: NodeJS.Timeout | undefined
    const grace = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, OUTPUT_GRACE_MS)
    })
    return Promise.race([closed, grace]).then(() => {
      clearTimeout(timer)
      // A daemon that left the group must not keep our end of the pipes open.
      child.stdout!.destroy()
      child.stderr!.destroy()
    })
  })
  return {
    pid,
    exit,
    outputRead,
    port: announcedPort(launch.announcesPort ? (child.stdio[3] as Readable) : undefined),
    signal: (name) => {
      if (!ended) killGroup(pid, name)
    },
  }
}

function announcedPort(stream: Readable | undefined): Promise<number> {
  return new Promise((resolve) => {
    if (!stream) return
    let text = ''
    stream.on('error', () => {})
    stream.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1')
      const match = /^(\d{1,5})\n/.exec(text)
      const port = Number(match?.[1])
      if (port >= 1 && port <= 65_535) resolve(port)
      if (match || text.length > 6) stream.destroy()
    })
  })
}

/** On exit of the leader its number stays taken as long as the group has members, so this hits no stranger. */
function killGroup(group: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-group, signal)
  } catch {
    // ESRCH: nobody is left.
  }
}

const OUTPUT_GRACE_MS = 200
