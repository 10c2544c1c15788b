import type { FunctionSpec } from '../api/function-spec.ts'
import type { MeshConfigSpec } from '../api/mesh-config.ts'
import type { CustomTag, Telemetry } from '../api/telemetry.ts'
import type { SpanTag } from './observation-plan.ts'
import { isForMode, type WorkloadMode } from './telemetry-selection.ts'
import { CLUSTER, workloadOf } from './workload.ts'

/**
 * The tags of a function's spans beside what every span has: Istio's own, and those of the nearest Telemetry that lists
 * any, else of MeshConfig. Of two with one name the listed one holds.
 */
export function spanTags(
  applicable: readonly Telemetry[],
  mode: WorkloadMode,
  config: MeshConfigSpec,
  fn: FunctionSpec,
): SpanTag[] {
  const entries = applicable.flatMap(({ spec }) => spec.tracing).filter((entry) => isForMode(entry, mode))
  const listed = entries.findLast(({ customTags }) => Object.keys(customTags ?? {}).length > 0)?.customTags
  const own = entries.findLast(({ enableIstioTags }) => enableIstioTags !== undefined)?.enableIstioTags
  const tags = new Map<string, SpanTag>()
  if (own !== false) for (const tag of istioTags(config, fn)) tags.set(tag.name, tag)
  for (const [name, tag] of Object.entries(listed ?? config.defaultConfig.tracing.customTags)) {
    const one = customTag(name, tag, fn)
    if (one !== null) tags.set(name, one)
  }
  return [...tags.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
}

function istioTags(config: MeshConfigSpec, fn: FunctionSpec): SpanTag[] {
  const { canonicalService, canonicalRevision } = workloadOf(fn)
  return [
    literal('istio.canonical_revision', canonicalRevision),
    literal('istio.canonical_service', canonicalService),
    literal('istio.cluster_id', CLUSTER),
    literal('istio.mesh_id', config.trustDomain),
    literal('istio.namespace', fn.namespace),
  ]
}

/** null: an environment variable that is not set, without a default. */
function customTag(name: string, tag: CustomTag, fn: FunctionSpec): SpanTag | null {
  if (tag.literal !== undefined) return literal(name, tag.literal.value)
  if (tag.environment !== undefined) {
    const value = environmentOf(fn).get(tag.environment.name) ?? tag.environment.defaultValue
    return value === undefined || value === '' ? null : literal(name, value)
  }
  const field = tag.header!.name.toLowerCase()
  const byDefault = tag.header!.defaultValue ?? null
  return { name, value: { op: 'field', type: 'text', head: 'request', name: field }, byDefault }
}

function literal(name: string, value: string): SpanTag {
  return { name, value: { op: 'literal', type: 'text', value }, byDefault: null }
}

/** A function's own environment, as its manifest and Knative's contract give it: nobody's else is shown to collectors. */
function environmentOf({ env, name, service = name, port }: FunctionSpec): Map<string, string> {
  const variables = new Map(env.map((variable) => [variable.name, variable.value]))
  return variables.set('K_SERVICE', service).set('K_CONFIGURATION', service).set('PORT', String(port))
}
