import { z } from 'zod'
import { checkCel } from './cel.ts'
import type { CelType } from './cel-attribute.ts'
import {
  across,
  type CheckContext,
  filledList,
  list,
  mapping,
  reading,
  report,
  text,
  unsupported,
  word,
} from './fields.ts'
import { checkFieldName, checkVariableName } from './kubernetes-name.ts'
import { type Manifest, manifest } from './manifest.ts'
import { metadata } from './metadata.ts'
import { selector } from './selector.ts'

/** Which spans, access-log lines and metrics the selected functions produce: Istio's Telemetry. */
export type Telemetry = Manifest<
  'telemetry.istio.io/v1' | 'telemetry.istio.io/v1alpha1',
  'Telemetry',
  TelemetrySpec
>
export type TelemetrySpec = z.output<typeof telemetrySpec>
export type Tracing = z.output<typeof tracing>
export type AccessLogging = z.output<typeof accessLogging>
export type CustomTag = z.output<typeof customTag>
export type Metrics = z.output<typeof metrics>
export type MetricSelector = NonNullable<NonNullable<Metrics['overrides'][number]['match']>['metric']>

const providers = filledList(mapping({ name: text(checkProviderName) }), 16).optional()

const match = mapping({
  mode: word(['CLIENT_AND_SERVER', 'CLIENT', 'SERVER']).default('CLIENT_AND_SERVER'),
}).optional()

function expression(types: readonly CelType[]) {
  return reading((value) => checkCel(value, types))
}

const TAG_TYPES = ['literal', 'environment', 'header']

const customTag = across(
  mapping({
    literal: mapping({ value: text(checkFilled) }).optional(),
    environment: mapping({ name: text(checkVariableName), defaultValue: text().optional() }).optional(),
    header: mapping({ name: text(checkFieldName), defaultValue: text().optional() }).optional(),
    formatter: unsupported('formatters are not available: write literal, environment or header'),
  }),
  (value, context) => {
    const given = TAG_TYPES.filter((type) => value[type] !== undefined)
    if (given.length === 0 && !Object.hasOwn(value, 'formatter'))
      report(context, 'missing-field', `expected ${TAG_TYPES.join(' or ')}`)
    if (given.length > 1) report(context, 'conflict', `has ${given.join(' and ')}: keep one of them`)
  },
)

export const customTags = across(z.record(z.string(), customTag), (tags, context) => {
  for (const name of Object.keys(tags)) {
    if (name.trim() === '') report(context, 'bad-value', 'a tag needs a name', [name])
  }
})

export const percentage = z.number().superRefine((value, context) => {
  if (!(value >= 0 && value <= 100))
    report(context, 'out-of-range', `expected a percentage from 0 to 100, got ${value}`)
})

const tracing = across(
  mapping({
    match,
    providers,
    randomSamplingPercentage: percentage.optional(),
    disableSpanReporting: z.boolean().optional(),
    customTags: customTags.optional(),
    useRequestIdForTraceSampling: z.boolean().optional(),
    enableIstioTags: z.boolean().optional(),
  }),
  (value, context) => {
    if (Array.isArray(value.providers) && value.providers.length > 1) {
      report(context, 'unsupported', 'spans go to one provider: remove the others', ['providers', 1])
    }
  },
)

const accessLogging = mapping({
  match,
  providers,
  disabled: z.boolean().optional(),
  filter: mapping({ expression: expression(['truth']) }).optional(),
})

/** Names of labels by Prometheus' rules; `le` is a histogram's own. */
const LABEL = /^(?!__)(?!le$)[a-zA-Z_][a-zA-Z0-9_]*$/

const tagOverride = across(
  mapping({
    operation: word(['UPSERT', 'REMOVE']).default('UPSERT'),
    value: expression(['text', 'integer', 'truth']).optional(),
  }),
  (value, context) => {
    const removes = value.operation === 'REMOVE'
    if (removes && value.value !== undefined)
      report(context, 'conflict', 'removes the tag and gives it a value: keep one of them', ['value'])
    if (!removes && value.value === undefined)
      report(context, 'missing-field', "expected an expression such as request.host or 'text'", ['value'])
  },
)

const tagOverrides = across(z.record(z.string(), tagOverride), (tags, context) => {
  for (const name of Object.keys(tags)) {
    if (!LABEL.test(name))
      report(context, 'bad-value', 'is no name of a metric tag: use letters, digits and "_"', [name])
  }
})

const metricsOverride = mapping({
  match: mapping({
    metric: word([
      ...['ALL_METRICS', 'REQUEST_COUNT', 'REQUEST_DURATION', 'REQUEST_SIZE', 'RESPONSE_SIZE'],
      ...['TCP_OPENED_CONNECTIONS', 'TCP_CLOSED_CONNECTIONS', 'TCP_SENT_BYTES', 'TCP_RECEIVED_BYTES'],
      ...['GRPC_REQUEST_MESSAGES', 'GRPC_RESPONSE_MESSAGES'],
    ] as const).optional(),
    customMetric: unsupported('there are no metrics but the standard ones: write metric'),
    mode: word(['CLIENT_AND_SERVER', 'CLIENT', 'SERVER']).default('CLIENT_AND_SERVER'),
  }).optional(),
  disabled: z.boolean().optional(),
  tagOverrides: tagOverrides.default({}),
})

const metrics = mapping({
  providers,
  overrides: list(metricsOverride, 64).default([]),
  reportingInterval: unsupported(
    'only TCP connections are reported at intervals, and there are none: remove the field',
  ),
})

const telemetrySpec = across(
  mapping({
    selector: selector.optional(),
    targetRef: unsupported('gateways and waypoints are not resources here: use selector'),
    targetRefs: unsupported('gateways and waypoints are not resources here: use selector'),
    tracing: list(tracing, 64).default([]),
    accessLogging: list(accessLogging, 64).default([]),
    metrics: list(metrics, 64).default([]),
  }),
  checkOncePerMode,
)

export const telemetryManifest = manifest(
  ['telemetry.istio.io/v1', 'telemetry.istio.io/v1alpha1'],
  'Telemetry',
  metadata(),
  telemetrySpec,
)

/** Of two tracing entries for the same mode only one could hold. */
function checkOncePerMode(spec: Readonly<Record<string, unknown>>, context: CheckContext): void {
  const entries = Array.isArray(spec.tracing)
    ? (spec.tracing as { match?: { mode?: string } | undefined }[])
    : []
  const taken = new Set<string>()
  entries.forEach((entry, index) => {
    const mode = entry?.match?.mode ?? 'CLIENT_AND_SERVER'
    const covered = mode === 'CLIENT_AND_SERVER' ? ['CLIENT', 'SERVER'] : [mode]
    const twice = covered.filter((one) => taken.has(one))
    if (twice.length > 0)
      report(context, 'conflict', `an earlier entry is for ${twice.join(' and ')} already`, [
        'tracing',
        index,
      ])
    for (const one of covered) taken.add(one)
  })
}

function checkFilled(value: string): string | null {
  return value === '' ? 'is empty' : null
}

function checkProviderName(value: string): string | null {
  return value.trim() === '' ? 'is empty: name a provider of the MeshConfig' : null
}
