import type { Cel } from '../api/cel.ts'
import type { FunctionSpec } from '../api/function-spec.ts'
import type { MeshConfigSpec } from '../api/mesh-config.ts'
import type { Telemetry } from '../api/telemetry.ts'
import { OBSERVATION_HEADER } from '../sidecar/layout/observation.ts'
import { logFilter } from './access-log.ts'
import { ByteWriter } from './byte-writer.ts'
import { CelPrograms } from './cel-program.ts'
import { metricPlans, unknownMetricsProviders } from './metrics.ts'
import type { FunctionObservation, ModeObservation } from './observation-plan.ts'
import type { CompiledSection, SectionProblem } from './section.ts'
import { spanTags } from './span-tags.ts'
import { applicableTelemetries, type WorkloadMode } from './telemetry-selection.ts'
import { maxTracedPath, spanCollector } from './tracing.ts'
import { gatewayWorkload, workloadOf } from './workload.ts'

export interface ObservationInput {
  readonly config: MeshConfigSpec
  readonly telemetries: readonly Telemetry[]
}

/** The OBSERVATION section of a function, or of the gateway's own policy (`fn` null). Empty where nothing is to be found out. */
export function compileObservation(input: ObservationInput, fn: FunctionSpec | null): CompiledSection {
  const problems = unknownMetricsProviders(input)
  const { client, server } = bothModes(input, fn)
  for (const { programs } of [client, server]) {
    const problem = programs.problem()
    if (problem !== null) problems.push(problemOf(input, fn, problem))
  }
  if (problems.length > 0) return { ok: false, problems }
  if (client.plan.values + server.plan.values === 0) return { ok: true, bytes: Buffer.alloc(0), rules: [] }
  const clientPrograms = client.programs.layOut(OBSERVATION_HEADER)
  const serverPrograms = server.programs.layOut(OBSERVATION_HEADER + clientPrograms.bytes.length)
  const body = Buffer.concat([clientPrograms.bytes, serverPrograms.bytes])
  const header = new ByteWriter().u32(sectionId(body)).u32(0)
  header.u32(clientPrograms.request).u32(clientPrograms.response).u32(client.filter)
  header.u32(serverPrograms.request).u32(serverPrograms.response).u32(server.filter)
  return { ok: true, bytes: Buffer.concat([header.finish(), body]), rules: [] }
}

/** What an engine does with what the sidecar finds out by that section. */
export function observationOf(input: ObservationInput, fn: FunctionSpec | null): FunctionObservation {
  const { client, server } = bothModes(input, fn)
  return {
    workload: fn === null ? gatewayWorkload(input.config.rootNamespace) : workloadOf(fn),
    inboundCluster: fn === null ? '' : `inbound|${fn.port}||`,
    outboundCluster: fn === null ? '' : `outbound|${fn.port}||${fn.name}.${fn.namespace}.svc.cluster.local`,
    maxTracedPath: maxTracedPath(input, fn),
    client: client.plan,
    server: server.plan,
  }
}

interface Mode {
  programs: CelPrograms
  plan: ModeObservation
  /** Number + 1 of the value that is the log's filter; 0 where the engine has it or there is none. */
  filter: number
}

function bothModes(input: ObservationInput, fn: FunctionSpec | null): { client: Mode; server: Mode } {
  const applicable = applicableTelemetries(input.telemetries, fn, input.config.rootNamespace)
  return { client: modeOf(input, applicable, fn, 'CLIENT'), server: modeOf(input, applicable, fn, 'SERVER') }
}

function modeOf(
  input: ObservationInput,
  applicable: readonly Telemetry[],
  fn: FunctionSpec | null,
  mode: WorkloadMode,
): Mode {
  const programs = new CelPrograms()
  const add = (cel: Cel) => programs.add(cel)
  const written = logFilter(applicable, mode, input.config)
  const filter = written === null ? null : add(written)
  const traced = fn !== null && spanCollector(input, fn) !== null
  const tags = traced ? spanTags(applicable, mode, input.config, fn) : []
  const metrics = metricPlans(applicable, mode)
  const plan = {
    logFilter: filter?.op === 'value' ? null : filter,
    spanTags: tags.map((tag) => ({ ...tag, value: add(tag.value) })),
    metrics: metrics.map(({ disabled, tags: own }) => ({
      disabled,
      tags: own.map(([name, value]) => [name, value === null ? null : add(value)] as const),
    })),
  }
  return {
    programs,
    plan: { values: programs.values, ...plan },
    filter: filter?.op === 'value' ? filter.index + 1 : 0,
  }
}

/** Differs between sections, so that a response does not take values that were found out by another one. */
function sectionId(body: Buffer): number {
  let hash = 2166136261
  for (const byte of body) hash = Math.imul(hash ^ byte, 16777619)
  return hash >>> 0 || 1
}

function problemOf(
  input: ObservationInput,
  fn: FunctionSpec | null,
  { code, text }: { code: SectionProblem['code']; text: string },
): SectionProblem {
  const applicable = applicableTelemetries(input.telemetries, fn, input.config.rootNamespace)
  const last = applicable.at(-1)
  return {
    code,
    resource:
      last === undefined ? 'MeshConfig' : `Telemetry ${last.metadata.namespace}/${last.metadata.name}`,
    source: last?.source ?? { file: 'MeshConfig', line: 0 },
    field: 'spec',
    message: `for ${fn?.key ?? 'the gateway'}: ${text}`,
  }
}
