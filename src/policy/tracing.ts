import type { FunctionSpec } from '../api/function-spec.ts'
import type { MeshConfigSpec } from '../api/mesh-config.ts'
import type { Telemetry, Tracing } from '../api/telemetry.ts'
import {
  PROPAGATE_B3,
  PROPAGATE_B3_SINGLE,
  PROPAGATE_W3C,
  REPORT_CLIENT,
  REPORT_SERVER,
  SAMPLING_SCALE,
} from '../sidecar/layout/tracing.ts'
import { ByteWriter } from './byte-writer.ts'
import type { CompiledSection, SectionProblem } from './section.ts'
import { applicableTelemetries, isForMode, type WorkloadMode } from './telemetry-selection.ts'

export interface TracingInput {
  readonly config: MeshConfigSpec
  readonly telemetries: readonly Telemetry[]
}

/**
 * The TRACING section of a function, or of the gateway's own policy (`fn` null): of each setting the nearest Telemetry
 * that has it decides, then MeshConfig. Empty where MeshConfig turns tracing off.
 */
export function compileTracing(
  { config, telemetries }: TracingInput,
  fn: FunctionSpec | null,
): CompiledSection {
  if (!config.enableTracing) return { ok: true, bytes: Buffer.alloc(0), rules: [] }
  const applicable = applicableTelemetries(telemetries, fn, config.rootNamespace)
  const problems = applicable.flatMap((telemetry) => unknownProviders(telemetry, config))
  if (problems.length > 0) return { ok: false, problems }
  const entries = applicable.flatMap((telemetry) => telemetry.spec.tracing)
  let propagation = 0
  for (const form of config.tracePropagation) propagation |= PROPAGATIONS[form]
  const out = new ByteWriter()
  out.u32(propagation)
  out.u32(sampling(entries, 'CLIENT', config)).u32(sampling(entries, 'SERVER', config))
  out.u32(
    (isReported(entries, 'CLIENT') ? REPORT_CLIENT : 0) | (isReported(entries, 'SERVER') ? REPORT_SERVER : 0),
  )
  out.u32(
    (drawsByRequestId(entries, 'CLIENT') ? REPORT_CLIENT : 0) |
      (drawsByRequestId(entries, 'SERVER') ? REPORT_SERVER : 0),
  )
  return { ok: true, bytes: out.finish(), rules: [] }
}

/**
 * The collector for a function's spans, as the URL of OTLP over HTTP: that of the provider which the nearest Telemetry
 * names, else of MeshConfig's default one; null where there is none.
 */
export function spanCollector({ config, telemetries }: TracingInput, fn: FunctionSpec): string | null {
  const collector = collectorOf({ config, telemetries }, fn)
  if (!collector) return null
  const { service, port, http } = collector
  return `http://${service}:${port}${http?.path ?? '/v1/traces'}`
}

/** The most bytes of a path in a function's spans: its collector's `maxTagLength`, or Envoy's default. */
export function maxTracedPath(input: TracingInput, fn: FunctionSpec | null): number {
  return (fn === null ? undefined : collectorOf(input, fn))?.maxTagLength ?? DEFAULT_MAX_PATH
}

const DEFAULT_MAX_PATH = 256

function collectorOf({ config, telemetries }: TracingInput, fn: FunctionSpec) {
  if (!config.enableTracing) return undefined
  const entries = applicableTelemetries(telemetries, fn, config.rootNamespace).flatMap(
    ({ spec }) => spec.tracing,
  )
  const named = entries.findLast((entry) => (entry.providers ?? []).length > 0)?.providers?.[0]?.name
  const name = named ?? config.defaultProviders.tracing[0]
  return config.extensionProviders.find((provider) => provider.name === name)?.opentelemetry
}

const PROPAGATIONS: Readonly<Record<MeshConfigSpec['tracePropagation'][number], number>> = {
  w3c: PROPAGATE_W3C,
  b3: PROPAGATE_B3,
  b3single: PROPAGATE_B3_SINGLE,
}

function sampling(entries: readonly Tracing[], mode: WorkloadMode, config: MeshConfigSpec): number {
  const percentage =
    entries.findLast((entry) => isForMode(entry, mode) && entry.randomSamplingPercentage !== undefined)
      ?.randomSamplingPercentage ?? config.defaultConfig.tracing.sampling
  return Math.round((percentage * SAMPLING_SCALE) / 100)
}

function isReported(entries: readonly Tracing[], mode: WorkloadMode): boolean {
  const entry = entries.findLast((one) => isForMode(one, mode) && one.disableSpanReporting !== undefined)
  return entry?.disableSpanReporting !== true
}

/** As in Istio, unless a Telemetry says otherwise. */
function drawsByRequestId(entries: readonly Tracing[], mode: WorkloadMode): boolean {
  const entry = entries.findLast(
    (one) => isForMode(one, mode) && one.useRequestIdForTraceSampling !== undefined,
  )
  return entry?.useRequestIdForTraceSampling !== false
}

function unknownProviders(telemetry: Telemetry, config: MeshConfigSpec): SectionProblem[] {
  const known = config.extensionProviders.filter((one) => one.opentelemetry !== undefined)
  const problems: SectionProblem[] = []
  for (const [i, entry] of telemetry.spec.tracing.entries()) {
    for (const [j, { name }] of (entry.providers ?? []).entries()) {
      if (known.some((provider) => provider.name === name)) continue
      problems.push({
        code: 'bad-value',
        resource: `Telemetry ${telemetry.metadata.namespace}/${telemetry.metadata.name}`,
        source: telemetry.source,
        field: `spec.tracing[${i}].providers[${j}].name`,
        message: `${JSON.stringify(name)} is no tracing provider: list one of that name under MeshConfig spec.extensionProviders (opentelemetry)`,
      })
    }
  }
  return problems
}
