import type { Plan } from './plan.ts'

/** What a plan needs at its busiest if no invocation ever waits. */
export interface Peak {
  /** Functions that are invoked at all. */
  readonly activeFunctions: number
  /** Invocations that run at the same time. */
  readonly running: number
  /**
   * Instances, if each function keeps those that its own busiest moment needed: an upper estimate, since idle ones
   * stop after a while.
   */
  readonly instances: number
}

/** Resident memory of an instance that runs the work function under Node, in bytes. */
export const INSTANCE_BYTES = 45 * 1024 * 1024

/** Sweeps over the plan's starts and ends, each instance taking `concurrency` invocations at once. */
export function peakOf(plan: Plan, concurrency: number): Peak {
  const ends = plan.fireUs.map((at, i) => at + plan.askedMs[i]! * 1000)
  const byEnd = new Uint32Array(ends.length).map((_, i) => i).sort((a, b) => ends[a]! - ends[b]!)
  const runningOf = new Uint32Array(plan.functions.length)
  const peakOfFunction = new Uint32Array(plan.functions.length)
  let running = 0
  let peak = 0
  let ended = 0
  plan.fireUs.forEach((at, i) => {
    for (; ends[byEnd[ended]!]! <= at; ended++) {
      const done = plan.functionAt[byEnd[ended]!]!
      runningOf[done] = runningOf[done]! - 1
      running--
    }
    const one = plan.functionAt[i]!
    runningOf[one] = runningOf[one]! + 1
    running++
    peak = Math.max(peak, running)
    peakOfFunction[one] = Math.max(peakOfFunction[one]!, runningOf[one]!)
  })
  return {
    activeFunctions: peakOfFunction.filter((count) => count > 0).length,
    running: peak,
    instances: peakOfFunction.reduce((sum, count) => sum + Math.ceil(count / concurrency), 0),
  }
}
