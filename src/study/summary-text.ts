import type { Invocation } from './invocation.ts'
import type { Distribution } from './statistics.ts'
import type { ColdAndWarm, Summary, UsageSummary } from './summary.ts'

/** Failures shown one by one; invocations.csv has all of them. */
const SHOWN_FAILURES = 10

/** The summary for people: what was replayed, how, and what came of it. */
export function summaryText(summary: Summary, invocations: readonly Invocation[]): string {
  const { options, trace, invocations: counts } = summary
  const lines = [
    summary.state.kind === 'partial' ? `PARTIAL: ${summary.state.why}` : 'complete',
    `trace     ${options.trace}: ${trace.functions} functions (${trace.peak.activeFunctions} active), first ${options.minutes} minutes, speedup ${options.speedup}`,
    `load      open loop, ${options.arrival} gaps, seed ${options.seed}; at most ${trace.peak.running} at once if none waits`,
    `work      ${options.work === 'sleep' ? 'sleep: functions wait for the asked time and use no CPU' : 'spin: functions use the asked time of CPU'}; ${options.concurrency} at once in each instance`,
    `mesh      ${options.mesh === 'on' ? 'on: request and response sidecars, authorization, tracing and access log for each invocation' : 'off: the baseline, gateway and instances alone, no sidecar'}`,
    '',
    `sent ${counts.sent} of ${counts.planned}, succeeded ${counts.succeeded}, failed ${counts.failed}${counts.notSent > 0 ? `, not sent ${counts.notSent}` : ''}${counts.unknown > 0 ? `, unknown ${counts.unknown}` : ''}`,
    ...failureLines(summary, invocations),
    '',
    `${''.padEnd(34)}${['count', 'p50', 'p95', 'p99', 'max'].map((name) => name.padStart(11)).join('')}`,
    ...rows('slowdown (latency / asked time)', summary.slowdown),
    row('slowdown of functions (geo. mean)', summary.slowdownOfFunctions),
    ...rows('latency, ms', summary.latencyMs),
    ...rows('latency less execution, ms', summary.overheadMs),
    row('lateness of the generator, ms', summary.lateness),
    '',
    ...usageLines(summary.usage),
    `generator   ${seconds(summary.generatorCpuMs)} CPU, in a process of its own`,
    '',
    `Percentiles: ${summary.percentiles}. Figures are of successful invocations; none is left out as warm-up.`,
    ...summary.notes.map((note) => `NOTE: ${note}`),
    ...summary.warnings.map((warning) => `WARNING: ${warning}`),
  ]
  return `${lines.join('\n')}\n`
}

function failureLines(summary: Summary, invocations: readonly Invocation[]): string[] {
  const kinds = Object.entries(summary.failures).map(
    ([kind, count]) => `  ${String(count).padStart(8)}  ${kind}`,
  )
  const failed = invocations.filter((one) => one.failure !== undefined)
  const shown = failed
    .slice(0, SHOWN_FAILURES)
    .map(
      (one) =>
        `    ${one.name} at ${(one.firedMs / 1000).toFixed(3)} s, asked ${one.askedMs} ms: ${one.failure!.kind}: ${one.failure!.detail}`,
    )
  const rest = failed.length - shown.length
  return [
    ...kinds,
    ...shown,
    ...(rest > 0 ? [`    and ${rest} more: see the failure column of invocations.csv`] : []),
  ]
}

function rows(name: string, figure: ColdAndWarm): string[] {
  return [row(name, figure.all), row('  cold', figure.cold), row('  warm', figure.warm)]
}

function row(name: string, figure: Distribution | undefined): string {
  const cells =
    figure === undefined
      ? ['0', '-', '-', '-', '-']
      : [String(figure.count), ...[figure.p50, figure.p95, figure.p99, figure.max].map(decimals)]
  return `${name.padEnd(34)}${cells.map((cell) => cell.padStart(11)).join('')}`
}

function usageLines(usage: UsageSummary | undefined): string[] {
  if (usage === undefined) return ['usage       not known']
  const {
    runtimeCpuMs = null,
    functionsCpuMs = null,
    sandboxesRun = null,
    instancesStarted = null,
    ...others
  } = usage.counters
  return [
    `runtime     ${known(runtimeCpuMs, seconds)} CPU (${known(usage.runtimeCpuMsPerInvocation, decimals)} ms an invocation), memory ${known(usage.runtimeRssBytes, megabytes)}`,
    `functions   ${known(functionsCpuMs, seconds)} CPU, memory ${known(usage.functionsRssBytes, megabytes)}, ${known(instancesStarted, decimals)} instances started`,
    `sandboxes   ${known(sandboxesRun, decimals)} run`,
    ...counterLines(others),
  ]
}

/** What else the mesh counted; what stayed at nothing is in summary.json alone. */
function counterLines(counters: Readonly<Record<string, number | null>>): string[] {
  const counted = Object.entries(counters).filter(([, value]) => value !== 0)
  return counted.length === 0
    ? []
    : [`counted     ${counted.map(([name, value]) => `${name} ${known(value, decimals)}`).join(', ')}`]
}

function known<T>(value: T | null, shown: (value: T) => string): string {
  return value === null ? 'unknown' : shown(value)
}

function megabytes(bytes: Distribution): string {
  return `${(bytes.mean / 2 ** 20).toFixed(0)} MB mean, ${(bytes.max / 2 ** 20).toFixed(0)} MB most`
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`
}

function decimals(value: number): string {
  if (Number.isInteger(value)) return String(value)
  return value >= 100 ? value.toFixed(1) : value.toFixed(3)
}
