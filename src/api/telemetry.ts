import { z } from 'zod'
import {
  across,
  type CheckContext,
  filledList,
  list,
  mapping,
  report,
  text,
  unsupported,
  word,
} from './fields.ts'
import { checkFieldName, checkVariableName } from './kubernetes-name.ts'
import { type Manifest, manifest } from './manifest.ts'
import { metadata } from './metadata.ts'
import { selector } from './selector.ts'

/** Which spans and access-log lines the selected functions produce: Istio's Telemetry. */
export type Telemetry = Manifest<
  'telemetry.istio.io/v1' | 'telemetry.istio.io/v1alpha1',
  'Telemetry',
  TelemetrySpec
>
export type TelemetrySpec = z.output<typeof telemetrySpec>
export type Tracing = z.output<typeof tracing>
export type AccessLogging = z.output<typeof accessLogging>
export type CustomTag = z.output<typeof customTag>

const providers = filledList(mapping({ name: text(checkProviderName) }), 16).optional()

const match = mapping({
  mode: word(['CLIENT_AND_SERVER', 'CLIENT', 'SERVER']).default('CLIENT_AND_SERVER'),
}).optional()

const TAG_TYPES = ['literal', 'environment', 'header', 'formatter']

const customTag = across(
  mapping({
    literal: mapping({ value: text(checkFilled) }).optional(),
    environment: mapping({ name: text(checkVariableName), defaultValue: text().optional() }).optional(),
    header: mapping({ name: text(checkFieldName), defaultValue: text().optional() }).optional(),
    formatter: mapping({ value: text(checkFilled) }).optional(),
  }),
  (value, context) => {
    const given = TAG_TYPES.filter((type) => value[type] !== undefined)
    if (given.length === 0) report(context, 'missing-field', `expected ${TAG_TYPES.join(' or ')}`)
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
  filter: unsupported('filters (CEL expressions) are not available yet: remove the field'),
})

const telemetrySpec = across(
  mapping({
    selector: selector.optional(),
    targetRef: unsupported('gateways and waypoints are not resources here: use selector'),
    targetRefs: unsupported('gateways and waypoints are not resources here: use selector'),
    tracing: list(tracing, 64).default([]),
    accessLogging: list(accessLogging, 64).default([]),
    metrics: unsupported('metrics are not available yet: remove the field'),
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
