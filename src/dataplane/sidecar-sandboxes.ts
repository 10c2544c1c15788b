import { type SandboxModule, TRAP_FUEL } from '../sandbox/sandbox.ts'
import { OUT_RESULT, OUTPUT, VARIABLE } from '../sidecar/layout/record.ts'
import { type Counted, countDecision, newCounters, type SidecarCounters } from './sidecar-counters.ts'
import type { Failed } from './sidecar-decision.ts'
import { loadGuest } from './sidecar-guest.ts'
import { SidecarMemory } from './sidecar-memory.ts'
import { BadOutput } from './sidecar-output.ts'

const SMALL_PAGES = 1
const LARGE_PAGES = 16
/** Bytes for the input and output of a phase in either memory. */
export const SMALL_ROOM = SMALL_PAGES * 65_536 - VARIABLE
export const LARGE_ROOM = LARGE_PAGES * 65_536 - VARIABLE
/** Room for what is written besides heads, texts and context: added fields, the log line's own text. */
export const SLACK = 8192
/** Fuel of one phase in either memory: above what the dearest heads that fit it cost (test/dear-heads.test.ts). */
const SMALL_FUEL = 8_000_000
const LARGE_FUEL = 32_000_000
const DEFAULT_MAX_HEAD = 16_384

/** The two sandboxes in which all sidecars of an engine run, one phase after the other. */
export class SidecarSandboxes {
  /** Largest head of a request or response. */
  maxHeadBytes = DEFAULT_MAX_HEAD
  /** The engine drains: a client's connection is closed after its response. */
  draining = false
  readonly counters: SidecarCounters = newCounters()
  readonly small: SidecarMemory
  readonly large: SidecarMemory
  /** Where the last `open` ran, until its `decide` or another phase. */
  opened: SidecarMemory | null = null

  constructor(small: SandboxModule, large: SandboxModule) {
    this.small = new SidecarMemory(small.sandbox())
    this.large = new SidecarMemory(large.sandbox())
  }

  /** Starts a phase in a fresh sandbox. */
  begin(memory: SidecarMemory, now: number, mostHead: number): SidecarMemory {
    this.opened = null
    this.counters.sandboxes++
    memory.begin(now, mostHead, this.draining)
    return memory
  }

  /** Runs an entry of the guest; throws BadOutput where it traps or contradicts itself. */
  run(memory: SidecarMemory, entry: string): number {
    const outcome = memory.sandbox.call(entry)
    if (outcome === TRAP_FUEL) throw new BadOutput(`${entry} ran out of fuel`)
    if (outcome < 0) throw new BadOutput(`${entry} trapped: ${memory.sandbox.trapText()}`)
    if (memory.words[(OUTPUT + OUT_RESULT) >> 2] !== outcome)
      throw new BadOutput(`${entry} contradicts itself`)
    return outcome
  }

  counted<T extends Counted>(decision: T): T {
    countDecision(this.counters, decision)
    return decision
  }

  failed(error: unknown): Failed {
    this.opened = null
    this.counters.failed++
    // Anything else is a mistake of the host's own, but it must not let a request through or stop an engine either.
    return { kind: 'failed', reason: error instanceof Error ? error.message : String(error) }
  }
}

/** Loads the guest; throws where it cannot be proved to be what it should be, as without it nothing can run. */
export function loadSandboxes(wasm: Buffer): SidecarSandboxes {
  return new SidecarSandboxes(
    loadGuest(wasm, SMALL_PAGES, SMALL_FUEL),
    loadGuest(wasm, LARGE_PAGES, LARGE_FUEL),
  )
}
