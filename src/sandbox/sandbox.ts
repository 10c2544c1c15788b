// What an engine sees of a sandbox. Nothing here is tied to V8: a worker process or a KVM guest can stand behind it too.
import type { Refusal } from './refusal.ts'

/**
 * - `idle`: holds no run; only `fresh` may follow.
 * - `fresh`: indistinguishable from a new instance; the engine writes the input.
 * - `running`: one or more entries have run in it; more may.
 * - `spent`: an entry trapped; only `fresh` may follow.
 */
export type SandboxState = 'idle' | 'fresh' | 'running' | 'spent'

/** A guest's memory and the means to run its entries. Used by one thread, one phase after the other. */
export interface Sandbox {
  readonly module: SandboxModule
  readonly state: SandboxState
  /** The guest's whole memory: one view, valid for as long as the sandbox is. */
  readonly memory: Buffer
  /** Makes the sandbox indistinguishable from a new one: memory zero but for data segments, globals initial, fuel full. */
  fresh(): void
  /** Runs an entry. All calls since `fresh` share its fuel. */
  call(entry: string): CallOutcome
  /** Fuel left of what `fresh` filled in, in instructions; negative once it ran out. */
  fuelLeft(): number
  /** What the last trap was, for a log; '' before the first one since `fresh`. */
  trapText(): string
}

/** An entry's i32 result, zero or more; or one of the TRAP_* constants, all negative. */
export type CallOutcome = number

/** The fuel of this run is used up. */
export const TRAP_FUEL = -1
/**
 * Any other trap: unreachable, access beyond the memory, division by zero, ... Also a recursion that is too deep: how deep
 * that is depends on the back end and on how far it has compiled the guest, so only this outcome may differ between runs.
 */
export const TRAP_OTHER = -2
/** The entry returned a negative number, which no entry may. */
export const TRAP_RESULT = -3
/** The sandbox was not made fresh before the call, or has trapped since. */
export const TRAP_NOT_FRESH = -4
/** The module has no entry of that name. */
export const TRAP_NO_ENTRY = -5

/** What has happened in all sandboxes of one module on this thread; only ever grows. */
export interface SandboxCounters {
  fresh: number
  calls: number
  outOfFuel: number
  traps: number
  badResults: number
  /** Calls refused with TRAP_NOT_FRESH or TRAP_NO_ENTRY. */
  refused: number
}

/** A module that was proved, metered and compiled. */
export interface SandboxModule {
  /** How `fresh` works: a proved reset of one instance, or a new instance each time. */
  readonly freshness: 'reset' | 'new-instance'
  /** Why a reset could not be proved, where `freshness` is `new-instance`. */
  readonly unproved: Refusal | undefined
  /** Names of the entries: the exported functions from nothing to i32. */
  readonly entries: readonly string[]
  /** Size of each sandbox's memory in pages of 64 KiB. */
  readonly pages: number
  /** Fuel that `fresh` fills in. */
  readonly fuel: number
  readonly counters: SandboxCounters
  /** A new sandbox with a memory of its own, in state `idle`. */
  sandbox(): Sandbox
}
