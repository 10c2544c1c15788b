import type { Cel } from '../api/cel.ts'
import { METRICS_PROVIDER, type MeshConfigSpec } from '../api/mesh-config.ts'
import type { Metrics, Telemetry } from '../api/telemetry.ts'
import { METRICS, type MetricPlan } from './observation-plan.ts'
import type { SectionProblem } from './section.ts'
import { isForMode, type WorkloadMode } from './telemetry-selection.ts'

/** What the Telemetries that apply make of each of METRICS; a nearer one's overrides stand above a broader one's. */
export function metricPlans(applicable: readonly Telemetry[], mode: WorkloadMode): MetricPlan[] {
  const overrides = applicable.flatMap(({ spec }) => spec.metrics).flatMap((entry) => entry.overrides)
  return METRICS.map(({ metric }) => {
    let disabled = false
    const tags = new Map<string, Cel | null>()
    for (const override of overrides) {
      if (!isForMode(override, mode) || !isForMetric(override, metric)) continue
      disabled = override.disabled ?? disabled
      for (const [name, tag] of Object.entries(override.tagOverrides)) {
        tags.set(name, tag.operation === 'REMOVE' ? null : tag.value!)
      }
    }
    return { disabled, tags: [...tags] }
  })
}

/** TCP and gRPC have metrics of their own, of which there are none without such traffic. */
function isForMetric({ match }: Metrics['overrides'][number], metric: string): boolean {
  const wanted = match?.metric ?? 'ALL_METRICS'
  return wanted === 'ALL_METRICS' || wanted === metric
}

/** Names under `metrics` that are no provider of metrics. */
export function unknownMetricsProviders(input: {
  readonly config: MeshConfigSpec
  readonly telemetries: readonly Telemetry[]
}): SectionProblem[] {
  const known = input.config.extensionProviders.filter((one) => one.prometheus !== undefined)
  const names = new Set([METRICS_PROVIDER, ...known.map(({ name }) => name)])
  return input.telemetries.flatMap(({ metadata, source, spec }) =>
    spec.metrics.flatMap(({ providers = [] }, entry) =>
      providers.flatMap(({ name }, index): SectionProblem[] => {
        if (names.has(name)) return []
        return [
          {
            code: 'bad-value',
            resource: `Telemetry ${metadata.namespace}/${metadata.name}`,
            source,
            field: `spec.metrics[${entry}].providers[${index}].name`,
            message: `${JSON.stringify(name)} is no provider of metrics: write "${METRICS_PROVIDER}", or leave the field out`,
          },
        ]
      }),
    ),
  )
}
