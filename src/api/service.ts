import type { z } from 'zod'
import { across, type CheckContext, isMapping, list, mapping, report } from './fields.ts'
import { checkDnsLabel, quote } from './kubernetes-name.ts'
import { type Manifest, manifest } from './manifest.ts'
import { metadata } from './metadata.ts'
import { type RevisionTemplate, revisionTemplate } from './revision.ts'
import { SCALING_PREFIX } from './scaling.ts'
import { checkTraffic, trafficTarget } from './traffic-target.ts'

/** A function: Knative's Service. */
export type Service = Manifest<'serving.knative.dev/v1', 'Service', ServiceSpec> & {
  /** Set by a control plane: those of its earlier revisions that its traffic names. */
  revisions?: readonly EarlierRevision[]
  /** It stands for an earlier revision of the Service of this name, as which it is selected and known to others. */
  revisionOf?: string
}

export interface EarlierRevision {
  generation: number
  template: RevisionTemplate
}

export type ServiceSpec = z.output<typeof serviceSpec>

/** The label by which policies select a function; the mesh sets it on every function. */
export const SERVICE_LABEL = 'serving.knative.dev/service'
/** On a Service with the value `cluster-local`: the gateway does not serve the function. */
export const VISIBILITY_LABEL = 'networking.knative.dev/visibility'

const serviceSpec = across(
  mapping({ template: revisionTemplate, traffic: list(trafficTarget).optional() }),
  checkTraffic,
)

export const serviceManifest = across(
  manifest(['serving.knative.dev/v1'], 'Service', metadata(checkDnsLabel), serviceSpec),
  checkService,
)

function checkService(service: Readonly<Record<string, unknown>>, context: CheckContext): void {
  const own = isMapping(service.metadata) ? service.metadata : {}
  const template = at(service, 'spec', 'template', 'metadata')
  checkVisibility(own, template, context)
  for (const key of Object.keys(at(own, 'annotations'))) {
    if (!key.startsWith(SCALING_PREFIX)) continue
    report(context, 'unsupported', 'has no effect here: move it to spec.template.metadata.annotations', [
      'metadata',
      'annotations',
      key,
    ])
  }
  if (typeof own.name !== 'string') return
  const named = at(template, 'labels')[SERVICE_LABEL]
  if (named !== undefined && named !== own.name) {
    report(context, 'conflict', `is set by the mesh to ${quote(own.name)}: remove it`, [
      'spec',
      'template',
      'metadata',
      'labels',
      SERVICE_LABEL,
    ])
  }
  if (typeof template.name === 'string' && !template.name.startsWith(`${own.name}-`)) {
    report(
      context,
      'bad-value',
      `the name of a revision begins with its Service's: write for example ${quote(`${own.name}-v1`)}, or remove it`,
      ['spec', 'template', 'metadata', 'name'],
    )
  }
}

function checkVisibility(
  own: Record<string, unknown>,
  template: Record<string, unknown>,
  context: CheckContext,
): void {
  const value = at(own, 'labels')[VISIBILITY_LABEL]
  if (value !== undefined && value !== 'cluster-local') {
    report(
      context,
      'bad-value',
      'expected cluster-local, or no such label for a function that the gateway serves',
      ['metadata', 'labels', VISIBILITY_LABEL],
    )
  }
  if (at(template, 'labels')[VISIBILITY_LABEL] !== undefined) {
    report(context, 'unsupported', 'has no effect here: move it to metadata.labels', [
      'spec',
      'template',
      'metadata',
      'labels',
      VISIBILITY_LABEL,
    ])
  }
}

/** The mapping at `path`, empty where there is none. */
function at(value: Record<string, unknown>, ...path: string[]): Record<string, unknown> {
  let found: unknown = value
  for (const name of path) found = isMapping(found) ? found[name] : undefined
  return isMapping(found) ? found : {}
}
