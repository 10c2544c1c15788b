import { uptime } from 'node:os'

export interface Clocks {
  /** Milliseconds; stands still while the machine is suspended. */
  monotonic(): number
  /** Milliseconds since the epoch; may be set. */
  wall(): number
  /** Milliseconds; goes on while the machine is suspended. Dear to read (15 us), so it is read only when the wall clock jumps. */
  sinceBoot(): number
}

const CLOCKS: Clocks = {
  monotonic: () => performance.now(),
  wall: () => Date.now(),
  sinceBoot: () => uptime() * 1_000,
}

/** Above what monotonic and wall clock differ by their resolution. */
const JUMP_MS = 5
/** The same for the time since boot. */
const SUSPENDED_MS = 50

/**
 * A clock in milliseconds since the epoch that never goes back, never stands still and does not follow when the wall clock is set: it
 * begins with that, and from there on counts what passes, also while the machine is suspended. So what it says is over, is over
 * for everybody else, and not before its time.
 */
export function steadyClock({ monotonic, wall, sinceBoot }: Clocks = CLOCKS): () => number {
  const begin = wall()
  const [atFirst, bootAtFirst] = [monotonic(), sinceBoot()]
  let passed = 0
  let suspended = 0
  /** By how much the wall clock was ahead when it last jumped. */
  let ahead = 0
  return () => {
    passed = Math.max(passed, monotonic() - atFirst)
    const now = wall() - begin - passed
    if (Math.abs(now - ahead) > JUMP_MS) {
      ahead = now
      const longer = sinceBoot() - bootAtFirst - passed
      if (longer > suspended + SUSPENDED_MS) suspended = longer
    }
    return begin + passed + suspended
  }
}
