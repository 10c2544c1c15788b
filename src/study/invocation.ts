import type { Outcome } from './load-protocol.ts'
import type { Plan } from './plan.ts'

/** What one invocation of a plan came to, in the units that people read. */
export interface Invocation {
  /** The function's HashFunction in the trace. */
  readonly hash: string
  readonly name: string
  readonly minute: number
  /** ms after the replay's start. */
  readonly plannedMs: number
  readonly firedMs: number
  readonly latenessMs: number
  readonly askedMs: number
  readonly status: number
  /** Undefined where it succeeded. */
  readonly failure: Outcome['failure']
  /** The instance's first request. */
  readonly cold: boolean
  readonly latencyMs: number
  /** What the function measured; meaningless where it failed. */
  readonly executedMs: number
  /** End-to-end latency over the execution time asked for, as the paper and Dirigent's artifact have it; at least 1 ms is asked for. */
  readonly slowdown: number
}

/** Joins outcomes with what was planned, in the plan's order. */
export function invocations(plan: Plan, outcomes: readonly Outcome[]): Invocation[] {
  return outcomes
    .toSorted((a, b) => a.index - b.index)
    .map((outcome) => {
      const one = plan.functions[plan.functionAt[outcome.index]!]!
      const askedMs = plan.askedMs[outcome.index]!
      const plannedUs = plan.fireUs[outcome.index]!
      return {
        hash: one.hash,
        name: one.name,
        minute: plan.minute[outcome.index]!,
        plannedMs: plannedUs / 1000,
        firedMs: outcome.firedUs / 1000,
        latenessMs: (outcome.firedUs - plannedUs) / 1000,
        askedMs,
        status: outcome.status,
        failure: outcome.failure,
        cold: outcome.cold,
        latencyMs: outcome.latencyUs / 1000,
        executedMs: outcome.executedUs / 1000,
        slowdown: outcome.latencyUs / 1000 / askedMs,
      }
    })
}

const COLUMNS = [
  'function',
  'service',
  'minute',
  'planned_ms',
  'fired_ms',
  'lateness_ms',
  'asked_ms',
  'status',
  'failure',
  'detail',
  'cold',
  'latency_ms',
  'executed_ms',
  'slowdown',
] as const

/** The header of invocations.csv, with its line end. */
export const CSV_HEADER = `${COLUMNS.join(',')}\n`

/** One line of invocations.csv. Figures that a failed invocation does not have are empty. */
export function csvLine(one: Invocation): string {
  const failed = one.failure !== undefined
  const cells: Record<(typeof COLUMNS)[number], string> = {
    function: quoted(one.hash),
    service: one.name,
    minute: String(one.minute),
    planned_ms: one.plannedMs.toFixed(3),
    fired_ms: one.firedMs.toFixed(3),
    lateness_ms: one.latenessMs.toFixed(3),
    asked_ms: String(one.askedMs),
    status: one.status === 0 ? '' : String(one.status),
    failure: one.failure?.kind ?? '',
    detail: quoted(one.failure?.detail ?? ''),
    cold: failed ? '' : String(one.cold),
    latency_ms: one.latencyMs.toFixed(3),
    executed_ms: failed ? '' : one.executedMs.toFixed(3),
    slowdown: failed ? '' : one.slowdown.toFixed(4),
  }
  return `${COLUMNS.map((column) => cells[column]).join(',')}\n`
}

function quoted(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}
