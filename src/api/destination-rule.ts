import type { z } from 'zod'
import { across, type CheckContext, isMapping, list, mapping, report, text } from './fields.ts'
import { checkDnsLabel, quote } from './kubernetes-name.ts'
import { type Manifest, manifest } from './manifest.ts'
import { metadata, qualifiedMap } from './metadata.ts'
import { checkSelected, selector } from './selector.ts'
import { trafficPolicy } from './traffic-policy.ts'

/** How calls to a function are sent, and which subsets of its instances there are: Istio's DestinationRule. */
export type DestinationRule = Manifest<
  'networking.istio.io/v1' | 'networking.istio.io/v1beta1' | 'networking.istio.io/v1alpha3',
  'DestinationRule',
  DestinationRuleSpec
>
export type DestinationRuleSpec = z.output<typeof destinationRuleSpec>
export type Subset = DestinationRuleSpec['subsets'][number]

const subset = mapping({
  name: text(checkDnsLabel),
  labels: qualifiedMap(checkSelected).default({}),
  trafficPolicy: trafficPolicy.optional(),
})

const destinationRuleSpec = across(
  mapping({
    host: text(checkRuleHost),
    trafficPolicy: trafficPolicy.optional(),
    subsets: list(subset, 64).default([]),
    /** "." its own namespace, "*" all, or a namespace's name; none listed: all. */
    exportTo: list(text(checkExport)).default([]),
    /** Of the callers in the rule's namespace those for which it holds. */
    workloadSelector: selector.optional(),
  }),
  checkSpec,
)

export const destinationRuleManifest = manifest(
  ['networking.istio.io/v1', 'networking.istio.io/v1beta1', 'networking.istio.io/v1alpha3'],
  'DestinationRule',
  metadata(),
  destinationRuleSpec,
)

function checkSpec(spec: Readonly<Record<string, unknown>>, context: CheckContext): void {
  if (!Array.isArray(spec.subsets)) return
  const seen = new Set<unknown>()
  spec.subsets.forEach((one: unknown, index) => {
    const name = isMapping(one) ? one.name : undefined
    if (name !== undefined && seen.has(name))
      report(context, 'conflict', `subset ${quote(String(name))} is listed twice`, ['subsets', index, 'name'])
    seen.add(name)
  })
}

/** A function's name in one of the forms that callers use, or a wildcard over them. */
function checkRuleHost(value: string): string | null {
  const host = value.toLowerCase()
  if (host === '*' || WILDCARD.test(host) || NAME.test(host)) return null
  return `${quote(value)} names no function: write NAME, NAME.NAMESPACE.svc.cluster.local, *.NAMESPACE.svc.cluster.local or *; the outside world is never reachable`
}

const LABEL = '[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?'
const NAME = new RegExp(`^${LABEL}(?:\\.${LABEL}(?:\\.svc(?:\\.cluster\\.local)?)?)?$`)
const WILDCARD = new RegExp(`^\\*\\.(?:(?:(?:${LABEL}\\.)?svc\\.)?cluster\\.)?local$`)

function checkExport(value: string): string | null {
  return value === '.' || value === '*' ? null : checkDnsLabel(value)
}
