import { REASONS } from '../sidecar/layout/reasons.ts'
import type { DecisionRun, Opened, ResponseDecision } from './sidecar-decision.ts'

/** What has come of the sidecars of one engine; only ever grows. */
export interface SidecarCounters {
  opened: number
  forwarded: number
  denied: number
  /** By reason's code (layout/reasons.ts). */
  deniedBy: Record<string, number>
  responses: number
  interims: number
  /** Responses of upstreams that are not acceptable. */
  bad: number
  badBy: Record<string, number>
  trailers: number
  /** Sidecars that trapped, ran out of fuel or gave an output that fails a check. */
  failed: number
  /** Runs that had to be repeated with what they needed. */
  needs: number
  /** Sandboxes made fresh, one for each phase. */
  sandboxes: number
}

export function newCounters(): SidecarCounters {
  return {
    opened: 0,
    forwarded: 0,
    denied: 0,
    deniedBy: {},
    responses: 0,
    interims: 0,
    bad: 0,
    badBy: {},
    trailers: 0,
    failed: 0,
    needs: 0,
    sandboxes: 0,
  }
}

/** What an entry may come to. */
export type Counted = Opened | DecisionRun | ResponseDecision

export function countDecision(counters: SidecarCounters, decision: Counted): void {
  switch (decision.kind) {
    case 'opened':
      counters.opened++
      break
    case 'forward':
      counters.forwarded++
      break
    case 'denied':
      counters.denied++
      countReason(counters.deniedBy, decision.denial.reason)
      break
    case 'needs':
      counters.needs++
      break
    case 'head':
      counters.responses++
      break
    case 'interim':
      counters.interims++
      break
    case 'bad':
      counters.bad++
      countReason(counters.badBy, decision.reason)
      break
  }
}

export function countReason(counts: Record<string, number>, reason: number): void {
  const { code } = REASONS[reason]!
  counts[code] = (counts[code] ?? 0) + 1
}
