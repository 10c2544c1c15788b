import type { Invocation } from './invocation.ts'
import type { LoadResult } from './load.ts'
import type { MeshUsage } from './mesh.ts'
import type { ReplayOptions } from './options.ts'
import type { Peak } from './peak.ts'
import { type Distribution, distribution, geometricMean, PERCENTILE_DEFINITION } from './statistics.ts'

/** One figure of all successful invocations, and of those that met a new instance and those that did not. */
export interface ColdAndWarm {
  readonly all: Distribution | undefined
  readonly cold: Distribution | undefined
  readonly warm: Distribution | undefined
}

/** What a replay found; summary.json holds it as it is. */
export interface Summary {
  /** `partial`: not every planned invocation was sent and answered or given up in its own time; `why` says. */
  readonly state: { readonly kind: 'complete' } | { readonly kind: 'partial'; readonly why: string }
  readonly options: ReplayOptions
  readonly trace: { readonly functions: number; readonly peak: Peak }
  readonly percentiles: string
  readonly invocations: {
    readonly planned: number
    readonly sent: number
    readonly succeeded: number
    readonly failed: number
    readonly notSent: number
    /** Sent, but the generator died before it could say what became of them. */
    readonly unknown: number
  }
  /** By kind, a status by its number: `status 503`. */
  readonly failures: Readonly<Record<string, number>>
  /** How late the generator itself was, in ms. */
  readonly lateness: Distribution | undefined
  readonly slowdown: ColdAndWarm
  /** Over functions: the geometric mean of each one's slowdowns. */
  readonly slowdownOfFunctions: Distribution | undefined
  readonly latencyMs: ColdAndWarm
  /** Latency less what the function measured: queueing, starting and the mesh itself. */
  readonly overheadMs: ColdAndWarm
  readonly usage: UsageSummary | undefined
  readonly generatorCpuMs: number
  readonly warnings: readonly string[]
  /** Of where the mesh ran. */
  readonly notes: readonly string[]
}

/** What the mesh used between the replay's start and end. Counters are differences; null: the mesh cannot tell. */
export interface UsageSummary {
  readonly counters: Readonly<Record<string, number | null>>
  readonly runtimeCpuMsPerInvocation: number | null
  /** Sampled while the replay ran; bytes. */
  readonly runtimeRssBytes: Distribution | null
  readonly functionsRssBytes: Distribution | null
}

export interface Findings {
  readonly options: ReplayOptions
  readonly functions: number
  readonly peak: Peak
  readonly planned: number
  readonly result: LoadResult
  readonly invocations: readonly Invocation[]
  /** In the order taken, the first before the load and the last after it. */
  readonly usage: readonly MeshUsage[]
  readonly warnings: readonly string[]
  readonly notes?: readonly string[]
}

/** Above this the generator was too late for its figures to be trusted. */
export const LATENESS_P99_MS = 10

export function summarize(findings: Findings): Summary {
  const { invocations, result, planned } = findings
  const good = invocations.filter((one) => one.failure === undefined)
  const lateness = distribution(invocations.map((one) => one.latenessMs))
  const warnings = [...findings.warnings]
  if (lateness !== undefined && lateness.p99 > LATENESS_P99_MS) {
    warnings.push(
      `the load generator was late: p99 ${lateness.p99.toFixed(1)} ms, bound ${LATENESS_P99_MS} ms; the machine is overloaded and latencies are not to be trusted`,
    )
  }
  return {
    state: stateOf(result, planned),
    options: findings.options,
    trace: { functions: findings.functions, peak: findings.peak },
    percentiles: PERCENTILE_DEFINITION,
    invocations: {
      planned,
      sent: result.sent,
      succeeded: good.length,
      failed: invocations.length - good.length,
      notSent: planned - result.sent,
      unknown: result.sent - invocations.length,
    },
    failures: failuresByKind(invocations),
    lateness,
    slowdown: coldAndWarm(good, (one) => one.slowdown),
    slowdownOfFunctions: distribution(functionSlowdowns(good)),
    latencyMs: coldAndWarm(good, (one) => one.latencyMs),
    overheadMs: coldAndWarm(good, (one) => one.latencyMs - one.executedMs),
    usage: usageSummary(findings.usage, invocations.length),
    generatorCpuMs: result.generatorCpuUs / 1000,
    warnings,
    notes: findings.notes ?? [],
  }
}

function stateOf(result: LoadResult, planned: number): Summary['state'] {
  switch (result.end.kind) {
    case 'complete':
      return { kind: 'complete' }
    case 'stopped':
      return { kind: 'partial', why: `stopped after ${result.sent} of ${planned} invocations were sent` }
    case 'crashed':
      return { kind: 'partial', why: result.end.reason }
  }
}

function failuresByKind(invocations: readonly Invocation[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const { failure, status } of invocations) {
    if (failure === undefined) continue
    const kind = failure.kind === 'status' ? `status ${status}` : failure.kind
    counts[kind] = (counts[kind] ?? 0) + 1
  }
  return counts
}

function functionSlowdowns(good: readonly Invocation[]): number[] {
  return [...Map.groupBy(good, (one) => one.hash).values()].map((own) =>
    geometricMean(own.map((one) => one.slowdown)),
  )
}

function coldAndWarm(good: readonly Invocation[], figure: (one: Invocation) => number): ColdAndWarm {
  return {
    all: distribution(good.map(figure)),
    cold: distribution(good.filter((one) => one.cold).map(figure)),
    warm: distribution(good.filter((one) => !one.cold).map(figure)),
  }
}

const GAUGES = ['runtimeRssBytes', 'functionsRssBytes']

function usageSummary(usage: readonly MeshUsage[], done: number): UsageSummary | undefined {
  const first = usage[0]
  const last = usage.at(-1)
  if (first === undefined || last === undefined || done === 0) return undefined
  const counters = Object.keys(last).filter((name) => !GAUGES.includes(name))
  const grown = Object.fromEntries(counters.map((name) => [name, growth(first[name], last[name])]))
  const { runtimeCpuMs = null } = grown
  return {
    counters: grown,
    runtimeCpuMsPerInvocation: runtimeCpuMs === null ? null : runtimeCpuMs / done,
    runtimeRssBytes: ofKnown(usage.map((one) => one.runtimeRssBytes)),
    functionsRssBytes: ofKnown(usage.map((one) => one.functionsRssBytes)),
  }
}

/** What the mesh began to count in the meantime was nothing before. */
function growth(first: number | null | undefined, last: number | null | undefined): number | null {
  if (first === null || last === null || last === undefined) return null
  return last - (first ?? 0)
}

function ofKnown(values: readonly (number | null)[]): Distribution | null {
  return distribution(values.filter((value) => value !== null)) ?? null
}
