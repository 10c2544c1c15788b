import type { Outcome, OutcomePair, RequestExample, WhatIfAnswer } from '../dataplane/whatif.ts'
import type { CompiledMesh } from './compile-mesh.ts'
import { directionText, needText, policyText, ruleText } from './verdict-text.ts'

/** What other manifests would have made of the requests that engines remember. */
export interface WhatIfReport {
  /** Requests that were judged both ways. */
  requests: number
  /** Requests that would have been answered otherwise. */
  changed: number
  /** Requests with the same verdict, by another rule. */
  otherRule: number
  /** Requests of functions that are gone, and those beyond what is told apart. */
  skipped: number
  /** Engines that answered, of how many. */
  engines: { answered: number; asked: number }
  /** Functions whose compiled policy changes, appears or disappears. */
  policies: string[]
  /** Most frequent first. */
  changes: VerdictChange[]
}

export interface VerdictChange {
  from: NamedOutcome
  to: NamedOutcome
  count: number
  examples: RequestExample[]
}

export interface NamedOutcome {
  outcome: 'allowed' | 'denied' | 'failed' | 'undecided' | 'gone'
  /** What the client gets; 0 where the request goes on. */
  status: number
  /** "namespace/name" of the function whose policies decided. */
  function: string
  direction: string
  policy: string
  /** The deciding rule; null where none did. */
  rule: string | null
  /** undecided: what the verdict depends on, which nobody asked then. */
  needs: string[]
}

/** Functions whose policy is another one in `next`, as engines are told, and those that are gone. */
export function otherPolicies(running: CompiledMesh, next: CompiledMesh) {
  const changed = [...next.functions.values()]
    .filter(({ spec, policy }) => running.functions.get(spec.key)?.policy.hash !== policy.hash)
    .map(({ spec, policy }) => ({ key: spec.key, policy: policy.bytes }))
  const removed = [...running.functions.keys()].filter((key) => !next.functions.has(key))
  return { changed, removed }
}

/** Puts the engines' answers together and names the rules. `asked` counts all engines. */
export function whatIfReport(
  running: CompiledMesh,
  next: CompiledMesh,
  answers: readonly WhatIfAnswer[],
  asked: number,
): WhatIfReport {
  const { changed: policies, removed } = otherPolicies(running, next)
  const report: WhatIfReport = {
    requests: 0,
    changed: 0,
    otherRule: 0,
    skipped: 0,
    engines: { answered: answers.length, asked },
    policies: [...policies.map(({ key }) => key), ...removed].sort(),
    changes: [],
  }
  const changes = new Map<string, VerdictChange>()
  for (const { requests, skipped, dropped, outcomes } of answers) {
    report.requests += requests
    report.skipped += skipped + dropped
    for (const pair of outcomes) noteChange(report, changes, pair, running, next)
  }
  // The same for the same requests, whichever engine answers first.
  report.changes = [...changes]
    .sort(([a, one], [b, other]) => other.count - one.count || (a < b ? -1 : 1))
    .map(([, change]) => change)
  return report
}

function noteChange(
  report: WhatIfReport,
  changes: Map<string, VerdictChange>,
  { before, after, count, examples }: OutcomePair,
  running: CompiledMesh,
  next: CompiledMesh,
): void {
  const from = named(before, running)
  const to = named(after, next)
  if (from.outcome === to.outcome && from.status === to.status && from.function === to.function) {
    if (placeless(from.rule) !== placeless(to.rule) || from.policy !== to.policy) report.otherRule += count
    return
  }
  report.changed += count
  const key = JSON.stringify([from, to])
  const change = changes.get(key)
  if (!change) {
    changes.set(key, { from, to, count, examples: [...examples] })
    return
  }
  change.count += count
  change.examples = [...change.examples, ...examples].sort((a, b) => b.time - a.time).slice(0, MOST_EXAMPLES)
}

const MOST_EXAMPLES = 3

function named({ kind, status, function: key, direction, policy, rule, needs }: Outcome, mesh: CompiledMesh) {
  return {
    outcome: kind,
    status,
    function: key,
    direction: directionText(direction),
    policy: policyText(policy),
    rule: ruleText(mesh.functions.get(key)?.policy.rules ?? null, policy, rule),
    needs: needs.map(needText),
  } satisfies NamedOutcome
}

/** The rule without where it is written: that moves with the lines above it. */
function placeless(rule: string | null): string | null {
  return rule?.replace(/ \([^()]*\)$/, '') ?? null
}

/** The report for people. */
export function whatIfText(report: WhatIfReport, what: string): string {
  const { requests, changed, otherRule, skipped, engines, policies, changes } = report
  const lines = [
    `${counted(requests)} remembered, calls between functions among them, judged by the running manifests and by those with ${what}:`,
    `the policies of ${policies.length === 0 ? 'no function' : policies.join(', ')} change; ${counted(changed)} would be answered otherwise`,
  ]
  if (otherRule > 0) lines.push(`${counted(otherRule)} with the same verdict by another rule`)
  if (skipped > 0) lines.push(`${counted(skipped)} not judged: their functions are gone, or too many differ`)
  if (engines.answered < engines.asked) {
    lines.push(`${engines.asked - engines.answered} of ${engines.asked} engines did not answer in time`)
  }
  for (const { from, to, count, examples } of changes) {
    lines.push('', `${count} x ${outcomeText(from)} -> ${outcomeText(to)}`)
    lines.push(`  was: ${reasonText(from)}`, `  is:  ${reasonText(to)}`)
    for (const { requestId, time, method, target, from: caller, to: callee } of examples) {
      const at = new Date(time).toISOString()
      lines.push(
        `  e.g. ${method} ${target} from ${caller || 'outside'} to ${callee} at ${at} (${requestId})`,
      )
    }
  }
  return lines.join('\n')
}

function counted(count: number): string {
  return count === 1 ? '1 request' : `${count} requests`
}

function outcomeText({ outcome, status }: NamedOutcome): string {
  return status === 0 ? outcome : `${outcome} (${status})`
}

function reasonText({ outcome, function: key, direction, policy, rule, needs }: NamedOutcome): string {
  const where = `${key} (${direction})`
  switch (outcome) {
    case 'gone':
      return `${key} is not there`
    case 'undecided':
      return `${where} depends on ${needs.join(' and ')}, which was not asked then`
    case 'failed':
      return `${where}: the sidecar fails`
    default:
      return `${where} by ${policy}: ${rule ?? (outcome === 'denied' ? 'no rule allows it' : 'no rule')}`
  }
}
