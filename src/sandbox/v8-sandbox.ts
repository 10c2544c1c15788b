import type { MemoryPiece } from './memory-image.ts'
import { EXPORT_ENTRY, EXPORT_FUEL, EXPORT_RESET, IMPORT_MEMORY, IMPORT_MODULE } from './meter-module.ts'
import {
  type CallOutcome,
  type Sandbox,
  type SandboxModule,
  type SandboxState,
  TRAP_FUEL,
  TRAP_NO_ENTRY,
  TRAP_NOT_FRESH,
  TRAP_OTHER,
  TRAP_RESULT,
} from './sandbox.ts'

/** What all sandboxes of one module share on this thread. */
export interface V8Guest {
  readonly module: SandboxModule
  readonly compiled: WebAssembly.Module
  readonly image: readonly MemoryPiece[]
  /** Number of each entry, by its name. */
  readonly entries: ReadonlyMap<string, number>
}

/** A sandbox that is a WebAssembly instance in this thread. */
export class V8Sandbox implements Sandbox {
  readonly module: SandboxModule
  readonly memory: Buffer
  state: SandboxState = 'idle'
  readonly #guest: V8Guest
  readonly #imports: Record<string, Record<string, WebAssembly.Memory>>
  /** The same bytes as `memory`; filling a plain Uint8Array is faster than Buffer's own fill. */
  readonly #bytes: Uint8Array
  readonly #resets: boolean
  #functions: (() => number)[] = []
  #reset: () => void = () => {}
  #fuel: WebAssembly.Global = { value: 0n }
  #trap = ''

  constructor(guest: V8Guest) {
    this.module = guest.module
    this.#guest = guest
    const memory = new WebAssembly.Memory({ initial: guest.module.pages, maximum: guest.module.pages })
    this.memory = Buffer.from(memory.buffer)
    this.#bytes = new Uint8Array(memory.buffer)
    this.#imports = { [IMPORT_MODULE]: { [IMPORT_MEMORY]: memory } }
    this.#resets = guest.module.freshness === 'reset'
    if (this.#resets) this.#instantiate()
  }

  fresh(): void {
    this.module.counters.fresh++
    this.#trap = ''
    this.#bytes.fill(0)
    if (this.#resets) {
      for (const piece of this.#guest.image) this.#bytes.set(piece.bytes, piece.address)
      this.#reset()
      this.state = 'fresh'
    } else {
      this.#renew()
    }
  }

  call(entry: string): CallOutcome {
    if (this.state !== 'fresh' && this.state !== 'running') return this.#refuse(TRAP_NOT_FRESH)
    const number = this.#guest.entries.get(entry)
    if (number === undefined) return this.#refuse(TRAP_NO_ENTRY)
    this.state = 'running'
    this.module.counters.calls++
    // A trap that collects no stack trace costs half. The guest cannot call back, so nobody else sees the setting.
    const limit = Error.stackTraceLimit
    Error.stackTraceLimit = 0
    let result: number
    try {
      result = this.#functions[number]!()
    } catch (error) {
      Error.stackTraceLimit = limit
      return this.#trapped(error)
    }
    Error.stackTraceLimit = limit
    if (result >= 0) return result
    this.state = 'spent'
    this.module.counters.badResults++
    this.#trap = `the entry ${entry} returned ${result}`
    return TRAP_RESULT
  }

  fuelLeft(): number {
    return Number(this.#fuel.value)
  }

  trapText(): string {
    return this.#trap
  }

  /** A new instance on the zeroed memory. A start function that traps leaves the sandbox spent. */
  #renew(): void {
    this.#functions = []
    try {
      this.#instantiate()
      this.state = 'fresh'
    } catch (error) {
      this.#fuel = { value: 0n }
      this.#trapped(error)
    }
  }

  #instantiate(): void {
    const { exports } = new WebAssembly.Instance(this.#guest.compiled, this.#imports)
    this.#fuel = exports[EXPORT_FUEL] as WebAssembly.Global
    this.#reset = exports[EXPORT_RESET] as () => void
    this.#functions = Array.from(
      this.#guest.entries.values(),
      (number) => exports[EXPORT_ENTRY + number] as () => number,
    )
  }

  #trapped(error: unknown): CallOutcome {
    this.state = 'spent'
    this.#trap = error instanceof Error ? error.message : String(error)
    if (this.fuelLeft() < 0) {
      this.module.counters.outOfFuel++
      return TRAP_FUEL
    }
    this.module.counters.traps++
    return TRAP_OTHER
  }

  #refuse(outcome: CallOutcome): CallOutcome {
    this.module.counters.refused++
    return outcome
  }
}
