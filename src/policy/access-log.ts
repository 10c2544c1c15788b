import type { Cel } from '../api/cel.ts'
import type { FunctionSpec } from '../api/function-spec.ts'
import type { Source } from '../api/manifest-error.ts'
import { BUILT_IN_PROVIDER, type MeshConfigSpec } from '../api/mesh-config.ts'
import type { AccessLogging, Telemetry } from '../api/telemetry.ts'
import { LOG_HEADER_SIZE } from '../sidecar/layout/access-log.ts'
import { ByteWriter } from './byte-writer.ts'
import { DEFAULT_JSON_FORMAT, DEFAULT_TEXT_FORMAT } from './default-log-format.ts'
import { type Parsed, parseJsonFormat, parseJsonText, parseTextFormat } from './log-format.ts'
import type { LogOp } from './log-op.ts'
import type { LogFacts } from './log-operators.ts'
import { jsonOps, layOutProgram, textOps } from './log-program.ts'
import type { CompiledSection, SectionProblem } from './section.ts'
import { applicableTelemetries, isForMode, type WorkloadMode } from './telemetry-selection.ts'

export interface AccessLogInput {
  readonly config: MeshConfigSpec
  readonly telemetries: readonly Telemetry[]
  /** Where the MeshConfig was written, for its errors. */
  readonly configSource?: Source
}

/** The one file that all access logs of the mesh are written to. */
export function accessLogFile(config: MeshConfigSpec): string {
  const provided = config.extensionProviders.find((provider) => provider.envoyFileAccessLog !== undefined)
  return config.accessLogFile || provided?.envoyFileAccessLog?.path || '/dev/stdout'
}

/**
 * The ACCESS_LOG section of a function, or of the gateway's own policy (`fn` null): whether it logs as caller and as
 * callee, and in which format. Empty where it never logs.
 */
export function compileAccessLog(input: AccessLogInput, fn: FunctionSpec | null): CompiledSection {
  const { config, telemetries } = input
  const applicable = applicableTelemetries(telemetries, fn, config.rootNamespace)
  const problems = applicable.flatMap((telemetry) => unknownProviders(telemetry, config))
  if (problems.length > 0) return { ok: false, problems }
  const client = providersFor(applicable, 'CLIENT', config)
  const server = providersFor(applicable, 'SERVER', config)
  const names = [...new Set([...client, ...server])]
  for (const mode of [client, server]) {
    if (mode.length > 1) problems.push(tooMany(mode, applicable, input))
  }
  const programs = new Map<string, number>()
  const bodies: Buffer[] = []
  let offset = LOG_HEADER_SIZE
  for (const name of names) {
    const program = programOf(name, input, { principal: fn?.principal ?? '' }, offset)
    if (Buffer.isBuffer(program)) {
      programs.set(name, offset)
      bodies.push(program)
      offset += program.length
    } else problems.push(program)
  }
  if (problems.length > 0) return { ok: false, problems }
  if (names.length === 0) return { ok: true, bytes: Buffer.alloc(0), rules: [] }
  const header = new ByteWriter()
    .u32(programs.get(client[0] ?? '') ?? 0)
    .u32(programs.get(server[0] ?? '') ?? 0)
  return { ok: true, bytes: Buffer.concat([header.finish(), ...bodies]), rules: [] }
}

/**
 * The names of the providers that a function's lines go to in one mode. An entry that is near replaces what a broader
 * Telemetry says; one that is disabled takes its providers away, or all where it names none.
 */
function providersFor(
  applicable: readonly Telemetry[],
  mode: WorkloadMode,
  config: MeshConfigSpec,
): string[] {
  const whole = config.defaultProviders.accessLogging
  let names: string[] = whole.length > 0 ? [...whole] : config.accessLogFile === '' ? [] : [BUILT_IN_PROVIDER]
  for (const telemetry of applicable) {
    const entries = telemetry.spec.accessLogging.filter((entry) => isForMode(entry, mode))
    const named = entries.filter((entry) => entry.disabled !== true).flatMap(providerNames)
    if (named.length > 0) names = [...new Set(named)]
    else if (entries.some((entry) => entry.disabled !== true) && names.length === 0) {
      names = whole.length > 0 ? [...whole] : [BUILT_IN_PROVIDER]
    }
    for (const entry of entries) {
      if (entry.disabled !== true) continue
      const gone = providerNames(entry)
      names = gone.length === 0 ? [] : names.filter((name) => !gone.includes(name))
    }
  }
  return names
}

/**
 * The filter of a function's log in one mode: that of the nearest entry for its provider, which may be none; null where
 * every line is written.
 */
export function logFilter(
  applicable: readonly Telemetry[],
  mode: WorkloadMode,
  config: MeshConfigSpec,
): Cel | null {
  const [name] = providersFor(applicable, mode, config)
  const entries = applicable.flatMap(({ spec }) => spec.accessLogging)
  const nearest = entries.findLast((entry) => {
    const named = providerNames(entry)
    const isMeant = name !== undefined && (named.length === 0 || named.includes(name))
    return isMeant && entry.disabled !== true && isForMode(entry, mode)
  })
  return nearest?.filter?.expression ?? null
}

function programOf(
  name: string,
  input: AccessLogInput,
  facts: LogFacts,
  offset: number,
): Buffer | SectionProblem {
  const { config } = input
  const index = config.extensionProviders.findIndex((provider) => provider.name === name)
  const provider = config.extensionProviders[index]
  const field =
    provider === undefined ? 'spec.accessLogFormat' : `spec.extensionProviders[${index}].envoyFileAccessLog`
  const path = provider?.envoyFileAccessLog?.path
  if (path !== undefined && path !== accessLogFile(config)) {
    return problemOf(
      input,
      `${field}.path`,
      `is ${path}, but the mesh's access log is written to ${accessLogFile(config)}: all providers must name the same file`,
    )
  }
  const ops = opsOf(config, provider, facts)
  const program = ops.ok ? layOutProgram(ops.value, offset) : ops
  if (program.ok) return program.value
  return problemOf(input, provider === undefined ? field : `${field}.logFormat`, program.problem)
}

/** A provider's own format, else MeshConfig's, else Istio's default in MeshConfig's encoding. */
function opsOf(
  config: MeshConfigSpec,
  provider: MeshConfigSpec['extensionProviders'][number] | undefined,
  facts: LogFacts,
): Parsed<LogOp[]> {
  const own = provider?.envoyFileAccessLog?.logFormat
  if (own?.labels !== undefined) return jsonFormatOps(parseJsonFormat(own.labels), facts)
  if (own?.text !== undefined) return textFormatOps(own.text, facts)
  // As Istio has it, a provider of one's own without a format does not take MeshConfig's.
  const format = provider === undefined ? config.accessLogFormat : ''
  if (config.accessLogEncoding === 'JSON' && provider === undefined) {
    return jsonFormatOps(format === '' ? parseJsonFormat(DEFAULT_JSON_FORMAT) : parseJsonText(format), facts)
  }
  return textFormatOps(format === '' ? DEFAULT_TEXT_FORMAT : format, facts)
}

function textFormatOps(format: string, facts: LogFacts): Parsed<LogOp[]> {
  const parsed = parseTextFormat(format)
  return parsed.ok ? textOps(parsed.value, facts) : parsed
}

function jsonFormatOps(parsed: ReturnType<typeof parseJsonFormat>, facts: LogFacts): Parsed<LogOp[]> {
  return parsed.ok ? jsonOps(parsed.value, facts) : parsed
}

function providerNames(entry: AccessLogging): string[] {
  return (entry.providers ?? []).map((provider) => provider.name)
}

function unknownProviders(telemetry: Telemetry, config: MeshConfigSpec): SectionProblem[] {
  const known = config.extensionProviders.filter((provider) => provider.envoyFileAccessLog !== undefined)
  const problems: SectionProblem[] = []
  for (const [i, entry] of telemetry.spec.accessLogging.entries()) {
    for (const [j, name] of providerNames(entry).entries()) {
      if (name === BUILT_IN_PROVIDER || known.some((provider) => provider.name === name)) continue
      problems.push({
        code: 'bad-value',
        resource: resourceName(telemetry),
        source: telemetry.source,
        field: `spec.accessLogging[${i}].providers[${j}].name`,
        message: `${JSON.stringify(name)} is no access-log provider: use "${BUILT_IN_PROVIDER}", or list an envoyFileAccessLog of that name under MeshConfig spec.extensionProviders`,
      })
    }
  }
  return problems
}

function tooMany(
  names: readonly string[],
  applicable: readonly Telemetry[],
  input: AccessLogInput,
): SectionProblem {
  const message = `access logs go to ${names.join(' and ')}, but a function has one access log: keep one provider`
  const telemetry = applicable.findLast((one) => one.spec.accessLogging.length > 0)
  if (telemetry === undefined) return problemOf(input, 'spec.defaultProviders.accessLogging', message)
  return {
    code: 'bad-value',
    resource: resourceName(telemetry),
    source: telemetry.source,
    field: 'spec.accessLogging',
    message,
  }
}

function problemOf({ configSource }: AccessLogInput, field: string, message: string): SectionProblem {
  return { code: 'bad-value', resource: 'MeshConfig', source: configSource ?? NO_SOURCE, field, message }
}

function resourceName({ metadata }: Telemetry): string {
  return `Telemetry ${metadata.namespace}/${metadata.name}`
}

const NO_SOURCE: Source = { file: 'MeshConfig', line: 0 }
