import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))
const CLOCK = new URL('./shifted-clock.ts', import.meta.url).href

/** A role of the mesh as a process that is started again whenever the test wants it. */
export class Role {
  readonly name: string
  readonly #command: string[]
  readonly #log: string
  readonly #clock: string
  /** Told when it ends though nobody killed it. */
  readonly #ended: (how: string) => void
  #process: ChildProcess | null = null
  #expected = false

  /** `within` is the beginning of the command that runs it on its machine. */
  constructor(
    name: string,
    within: readonly string[],
    words: readonly string[],
    log: string,
    ended: (how: string) => void,
  ) {
    this.name = name
    this.#command = [...within, process.execPath, '--no-warnings', MAIN, ...words]
    this.#log = log
    this.#clock = `${log}.${name}-clock`
    this.#ended = ended
  }

  get pid(): number {
    return this.#process!.pid!
  }

  /** `more` words are for this start alone. */
  start(...more: string[]): void {
    const [command, ...words] = [...this.#command, ...more]
    // Its engines inherit both.
    const env = { ...process.env, NODE_OPTIONS: `--import=${CLOCK}`, CHAOS_CLOCK: this.#clock }
    const child = spawn(command!, words, { stdio: ['ignore', 'pipe', 'pipe'], env })
    this.#process = child
    this.#expected = false
    const note = (text: Buffer) => appendFileSync(this.#log, `${this.name}: ${text}`)
    child.stdout!.on('data', note)
    child.stderr!.on('data', note)
    child.on('exit', (code, signal) => {
      if (!this.#expected) this.#ended(`${this.name} ended by itself (${signal ?? code})`)
    })
  }

  signal(signal: NodeJS.Signals): void {
    process.kill(this.pid, signal)
  }

  /** Sets its wall clock wrong, and that of its engines. */
  shiftClock(ms: number): void {
    writeFileSync(this.#clock, String(ms))
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const child = this.#process
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    this.#expected = true
    const exit = once(child, 'exit')
    child.kill(signal)
    await exit
  }

  /** Its engines' process numbers. */
  engines(): number[] {
    return childrenOf(this.pid).filter((pid) => commandOf(pid).includes('engine-process.ts'))
  }
}

function childrenOf(parent: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => parentOf(pid) === parent)
}

function parentOf(pid: number): number {
  // The command's name stands in parentheses and may hold anything; the parent is the second field after it.
  return Number(read(`/proc/${pid}/stat`).split(') ').at(-1)?.split(' ')[1])
}

function commandOf(pid: number): string {
  return read(`/proc/${pid}/cmdline`)
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}

/** Processes whose environment has that variable: the instances of one test, with their ids. */
export function instanceProcesses(variable: string): { pid: number; instance: string }[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      const environment = read(`/proc/${name}/environ`).split('\0')
      if (!environment.includes(variable)) return []
      const instance = environment.find((one) => one.startsWith('MAYFLY_INSTANCE='))?.split('=')[1] ?? ''
      return [{ pid: Number(name), instance }]
    })
}
