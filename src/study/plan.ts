import { type Arrival, arrivalsInMinute, MINUTE_US } from './arrivals.ts'
import { executionTime, memorySize } from './durations.ts'
import { type Checked, refused } from './problem.ts'
import { randomStream } from './random.ts'
import type { Trace, TraceFunction } from './trace.ts'

/** Every invocation of a replay, in the order in which they are sent; the arrays are parallel, one entry for each. */
export interface Plan {
  readonly functions: readonly TraceFunction[]
  /** Index in `functions`. */
  readonly functionAt: Uint32Array
  /** Minute of the trace, 0 being the first. */
  readonly minute: Uint16Array
  /** When it is to be sent: us after the replay's start, the speedup applied. */
  readonly fireUs: Float64Array
  /** How long the function is asked to work. Not sped up: a function's work does not get faster with its load. */
  readonly askedMs: Uint32Array
  readonly memoryMb: Uint32Array
}

export interface PlanOptions {
  readonly minutes: number
  /** The first so many of invocations.csv; undefined: all. */
  readonly functions: number | undefined
  readonly speedup: number
  readonly arrival: Arrival
  readonly seed: number
}

/** Above this the plan and its results no longer fit a modest memory; 30 minutes of 500 functions are 171,558. */
const MAX_INVOCATIONS = 5_000_000

/**
 * Draws when each invocation comes and what it is asked to do. A function draws from streams of its own, named by its
 * hash, so that it does the same whichever others are replayed, and minute by minute, so that a longer replay begins like
 * a shorter one. Arrivals and work have separate streams: another arrival process leaves the work as it was.
 */
export function makePlan(trace: Trace, options: PlanOptions): Checked<Plan> {
  const wanted = options.functions ?? trace.functions.length
  if (options.minutes > trace.minutes) {
    return refused({
      code: 'study/minutes',
      field: '--minutes',
      message: `the trace in ${trace.folder} has ${trace.minutes} minutes; ask for at most that many, got ${options.minutes}`,
    })
  }
  if (wanted > trace.functions.length) {
    return refused({
      code: 'study/functions',
      field: '--functions',
      message: `the trace in ${trace.folder} has ${trace.functions.length} functions; ask for at most that many, got ${wanted}`,
    })
  }
  const functions = trace.functions.slice(0, wanted)
  const total = functions.reduce((sum, one) => sum + countIn(one, options.minutes), 0)
  if (total === 0 || total > MAX_INVOCATIONS) {
    const message =
      total === 0
        ? 'these functions are not invoked in these minutes; ask for more minutes or functions'
        : `${total} invocations are too many, at most ${MAX_INVOCATIONS} are replayed; ask for fewer minutes or functions`
    return refused({ code: 'study/invocations', field: '--minutes', message })
  }
  return { ok: true, value: sortedPlan(functions, total, options) }
}

function countIn(one: TraceFunction, minutes: number): number {
  return one.invocations.subarray(0, minutes).reduce((sum, count) => sum + count, 0)
}

function sortedPlan(functions: readonly TraceFunction[], total: number, options: PlanOptions): Plan {
  const functionAt = new Uint32Array(total)
  const minute = new Uint16Array(total)
  const fireUs = new Float64Array(total)
  const askedMs = new Uint32Array(total)
  const memoryMb = new Uint32Array(total)
  let next = 0
  functions.forEach((one, index) => {
    const arrivals = randomStream(options.seed, one.hash, 'arrivals')
    const work = randomStream(options.seed, one.hash, 'work')
    for (let at = 0; at < options.minutes; at++) {
      for (const offset of arrivalsInMinute(one.invocations[at]!, options.arrival, arrivals)) {
        functionAt[next] = index
        minute[next] = at
        fireUs[next] = (at * MINUTE_US + offset) / options.speedup
        askedMs[next] = executionTime(one.durations, work)
        memoryMb[next] = memorySize(one.memory, work)
        next++
      }
    }
  })
  // Ties keep the order of the functions, so that the plan is the same each time.
  const order = new Uint32Array(total).map((_, i) => i).sort((a, b) => fireUs[a]! - fireUs[b]! || a - b)
  return {
    functions,
    functionAt: functionAt.map((_, i) => functionAt[order[i]!]!),
    minute: minute.map((_, i) => minute[order[i]!]!),
    fireUs: fireUs.map((_, i) => fireUs[order[i]!]!),
    askedMs: askedMs.map((_, i) => askedMs[order[i]!]!),
    memoryMb: memoryMb.map((_, i) => memoryMb[order[i]!]!),
  }
}
