import { type ChildProcess, spawn } from 'node:child_process'
import { inheritedEnvironment } from './environment.ts'
import { giveInstancePriority } from './instance-priority.ts'
import { type Keeper, RUN_VARIABLE } from './keeper.ts'
import { FUNCTION_HOST, type Launch, type Launcher } from './launch.ts'

export const MOST_PRESTARTED = 64
/** Between two processes that are started ahead, so that they do not take the CPU of the start that made them needed. In milliseconds. */
const REFILL_MS = 100
/** The same after one that ended before it was needed. */
const DIED_MS = 1_000

/** What Node, or a library that it is linked with, reads once, when it starts; of that what a process is started with must be right. */
const READ_AT_START = /^(NODE_|UV_|OPENSSL_|SSL_|ICU_|LD_|DYLD_|MALLOC_|GLIBC_|LANG|LC_|TZ$)/
/** Can be set later, and is. */
const SET_LATER = 'NODE_USE_ENV_PROXY'

export interface PrestartedOptions {
  /** Processes that wait; bounded by MOST_PRESTARTED. */
  count: number
  keeper: Keeper
  launcher: Launcher
  /** Where compiled code is kept; null: nowhere. */
  cacheDirectory: string | null
}

/**
 * Processes of Node that were started before an instance needs one, and wait for a module, a folder and an environment. Each becomes one
 * instance of one function, and no process serves two.
 */
export class Prestarted {
  readonly counters = { taken: 0, none: 0, unfit: 0, died: 0 }
  readonly #options: PrestartedOptions
  readonly #environment: Record<string, string>
  readonly #waiting = new Set<ChildProcess>()
  #timer: NodeJS.Timeout | null = null
  #closed = false

  constructor(options: PrestartedOptions) {
    this.#options = options
    const { cacheDirectory, keeper } = options
    this.#environment = {
      ...inheritedEnvironment(),
      ...(cacheDirectory !== null && { NODE_COMPILE_CACHE: cacheDirectory }),
      [RUN_VARIABLE]: keeper.run,
    }
    this.#refillIn(0)
  }

  get waiting(): number {
    return this.#waiting.size
  }

  get pids(): number[] {
    return Array.from(this.#waiting, ({ pid }) => pid ?? 0)
  }

  /** The launch by a process that waits; null where none does, or where it has to be started anew to be the same. */
  take(launch: Launch): Launch | null {
    if (launch.module === undefined) return null
    if (!this.#fits(launch.environment)) {
      this.counters.unfit++
      return null
    }
    const [waiting] = this.#waiting
    if (!waiting) {
      this.counters.none++
      return null
    }
    this.counters.taken++
    this.#waiting.delete(waiting)
    this.#refillIn(REFILL_MS)
    const { module: file, cwd, environment } = launch
    return { ...launch, waiting, input: JSON.stringify({ file, cwd, environment }) }
  }

  close(): void {
    this.#closed = true
    if (this.#timer) clearTimeout(this.#timer)
    for (const child of this.#waiting) child.kill('SIGKILL')
    this.#waiting.clear()
  }

  #fits(environment: Readonly<Record<string, string>>): boolean {
    const own = this.#environment
    const names = new Set([...Object.keys(environment), ...Object.keys(own)])
    return [...names].every(
      (name) => !READ_AT_START.test(name) || name === SET_LATER || environment[name] === own[name],
    )
  }

  #refillIn(ms: number): void {
    if (this.#closed || this.#timer || this.#waiting.size >= this.#options.count) return
    this.#timer = setTimeout(() => {
      this.#timer = null
      this.#start()
      this.#refillIn(REFILL_MS)
    }, ms)
    this.#timer.unref()
  }

  #start(): void {
    const { keeper, launcher } = this.#options
    const { command, args } = launcher({
      ...{ command: process.execPath, args: [FUNCTION_HOST, '-', '3'], files: [], announcesPort: true },
      ...{ cwd: '/', environment: this.#environment },
    })
    const child = spawn(command, args, {
      cwd: '/',
      env: this.#environment,
      detached: true,
      stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
    })
    const gone = () => {
      if (child.pid !== undefined) keeper.remove(child.pid)
      if (!this.#waiting.delete(child) || this.#closed) return
      this.counters.died++
      this.#refillIn(DIED_MS)
    }
    this.#waiting.add(child)
    child.on('error', gone)
    child.on('exit', gone)
    if (child.pid === undefined) return
    giveInstancePriority(child.pid)
    keeper.add(child.pid)
  }
}
