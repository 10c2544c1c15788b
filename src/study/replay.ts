import { mkdir } from 'node:fs/promises'
import { totalmem } from 'node:os'
import { join, resolve } from 'node:path'
import { invocations } from './invocation.ts'
import { runLoad } from './load.ts'
import type { Load } from './load-protocol.ts'
import { functionKey, TIMEOUT_SECONDS, writeManifests } from './manifests.ts'
import { type Mesh, type Place, type StartMesh, THIS_MACHINE } from './mesh.ts'
import { makeToken } from './nine-policies.ts'
import type { ReplayOptions } from './options.ts'
import { INSTANCE_BYTES, type Peak, peakOf } from './peak.ts'
import { makePlan, type Plan } from './plan.ts'
import type { Problem } from './problem.ts'
import { type Screen, showProgress } from './progress.ts'
import { writeReport } from './report.ts'
import { type SpanSink, startSpanSink } from './span-sink.ts'
import { type Summary, summarize } from './summary.ts'
import { readTrace } from './trace.ts'
import { sampleUsage } from './usage-samples.ts'

/** What a replay came to. */
export type ReplayResult =
  | { readonly kind: 'refused'; readonly problems: readonly Problem[]; readonly exitCode: 2 }
  /** 0: each planned invocation was sent and succeeded; 1: some failed or are unknown; 130: stopped before its end. */
  | {
      readonly kind: 'replayed'
      readonly summary: Summary
      readonly text: string
      readonly exitCode: 0 | 1 | 130
    }

/** Where progress goes and what stops a replay. */
export interface Surroundings {
  readonly screen: Screen
  readonly signal: AbortSignal
}

/** The client gives the mesh the time to say itself that a request took too long. */
const CLIENT_TIMEOUT_MS = (TIMEOUT_SECONDS + 30) * 1000

/**
 * Replays a trace against a mesh: writes the manifests, starts the mesh, sends the load, stops the mesh, and writes the
 * report into `options.out`. What the user gave wrongly is refused as a value; `startMesh`'s own errors pass through.
 * Without surroundings the first Ctrl-C or SIGTERM stops the replay, which then still reports; a second one kills.
 */
export async function runReplay(
  options: ReplayOptions,
  startMesh: StartMesh,
  surroundings?: Surroundings,
  place: Place = THIS_MACHINE,
): Promise<ReplayResult> {
  if (surroundings !== undefined) return replay(options, startMesh, surroundings, place)
  const controller = new AbortController()
  const stop = () => controller.abort()
  process.once('SIGINT', stop)
  process.once('SIGTERM', stop)
  try {
    return await replay(options, startMesh, { screen: process.stderr, signal: controller.signal }, place)
  } finally {
    process.off('SIGINT', stop)
    process.off('SIGTERM', stop)
  }
}

async function replay(
  options: ReplayOptions,
  startMesh: StartMesh,
  { screen, signal }: Surroundings,
  place: Place,
): Promise<ReplayResult> {
  const trace = await readTrace(options.trace)
  if (!trace.ok) return { kind: 'refused', problems: trace.problems, exitCode: 2 }
  const made = makePlan(trace.value, options)
  if (!made.ok) return { kind: 'refused', problems: made.problems, exitCode: 2 }
  const plan = made.value
  const peak = peakOf(plan, options.concurrency)
  const warnings = memoryWarnings(peak, options)
  for (const warning of warnings) screen.write(`WARNING: ${warning}\n`)

  const prepared = { options, plan, peak, warnings, startMesh, place }
  if (options.policies !== 'nine') return drive(prepared, { screen, signal }, null)
  const sink = await startSpanSink(place.collectorHost)
  try {
    return await drive(prepared, { screen, signal }, sink)
  } finally {
    sink.close()
  }
}

/** A replay whose trace was read and planned. */
interface Prepared {
  options: ReplayOptions
  plan: Plan
  peak: Peak
  warnings: string[]
  startMesh: StartMesh
  place: Place
}

/** With all policies spans go to the collector; without one they are few. */
async function drive(
  { options, plan, peak, warnings, startMesh, place }: Prepared,
  { screen, signal }: Surroundings,
  collector: SpanSink | null,
): Promise<ReplayResult> {
  const token = collector && makeToken(Math.floor(Date.now() / 1000))
  const manifests = resolve(options.out, 'manifests')
  await mkdir(options.out, { recursive: true })
  const written = await writeManifests(
    manifests,
    plan.functions,
    options.concurrency,
    place.accessLog ?? resolve(options.out, 'access.log'),
    token && collector && { jwks: token.jwks, collector },
  )
  if (!written.ok) return { kind: 'refused', problems: written.problems, exitCode: 2 }

  screen.write(
    `${options.cluster ? 'applying to the cluster' : `starting the mesh (${options.mesh}) with`} ${plan.functions.length} functions from ${join(options.out, 'manifests')}\n`,
  )
  const mesh = await startMesh(manifests, { mesh: options.mesh, nodes: options.nodes ?? 1 })
  try {
    const load = loadOf(plan, options, mesh, token?.token ?? null)
    const progress = showProgress(plan.fireUs.length, screen)
    const usage = await sampleUsage(mesh)
    const result = await runLoad(load, progress.update, signal)
    progress.end()
    const { samples, warning } = await usage.end()
    if (warning !== undefined) warnings.push(warning)
    if (collector?.requests === 0) warnings.push('the collector got no spans: the mesh does not reach it')
    const all = invocations(plan, result.outcomes)
    const summary = summarize({
      options,
      functions: plan.functions.length,
      peak,
      planned: plan.fireUs.length,
      result,
      invocations: all,
      usage: samples,
      warnings,
      notes: place.notes,
    })
    const text = await writeReport(options.out, summary, all)
    return { kind: 'replayed', summary, text, exitCode: exitCode(summary, signal) }
  } finally {
    screen.write(options.cluster ? 'deleting what was applied\n' : 'stopping the mesh\n')
    await mesh.stop()
  }
}

function loadOf(plan: Plan, options: ReplayOptions, mesh: Mesh, token: string | null): Load {
  return {
    kind: 'load',
    gateway: mesh.gateway,
    targets: plan.functions.map((one) => ({ host: mesh.host(functionKey(one)), name: one.name })),
    ...(token !== null && { headers: { authorization: `Bearer ${token}` } }),
    work: options.work,
    memory: options.memory,
    timeoutMs: CLIENT_TIMEOUT_MS,
    functionAt: plan.functionAt,
    fireUs: plan.fireUs,
    askedMs: plan.askedMs,
    memoryMb: plan.memoryMb,
  }
}

function memoryWarnings(peak: Peak, options: ReplayOptions): string[] {
  const bytes = peak.instances * INSTANCE_BYTES
  if (bytes <= totalmem() * 0.75) return []
  const gigabytes = (n: number) => `${(n / 2 ** 30).toFixed(1)} GiB`
  return [
    `up to ${peak.instances} instances may need ${gigabytes(bytes)} of this machine's ${gigabytes(totalmem())}; a --concurrency above ${options.concurrency} or fewer --functions need less`,
  ]
}

function exitCode(summary: Summary, signal: AbortSignal): 0 | 1 | 130 {
  if (summary.state.kind === 'partial' && signal.aborted) return 130
  const { failed, unknown, notSent } = summary.invocations
  return failed + unknown + notSent > 0 ? 1 : 0
}
