// What a Service's traffic makes beside it: each earlier revision that it names is a function of its own, by the name of the
// revision, and requests for the Service are routed to all of them by weight.

import type { ManifestError } from '../api/manifest-error.ts'
import type { Resource } from '../api/resource.ts'
import { type EarlierRevision, type Service, VISIBILITY_LABEL } from '../api/service.ts'
import type { TrafficTarget } from '../api/traffic-target.ts'
import type { VirtualService } from '../api/virtual-service.ts'
import { revisionName } from './revision-name.ts'

/** A resource and what it makes beside itself; always the same objects for the same resource. */
export function servedResources(resource: Resource): readonly Resource[] {
  if (resource.kind !== 'Service' || resource.spec.traffic === undefined) return [resource]
  const known = made.get(resource)
  if (known) return known
  const all = [resource, ...earlierFunctions(resource), ...routesOf(resource)]
  made.set(resource, all)
  return all
}

const made = new WeakMap<Resource, readonly Resource[]>()

/** The revision that an entry of the traffic means: null for the newest one, undefined where it is not known. */
export function revisionMeant(
  service: Service,
  { revisionName: named }: Pick<TrafficTarget, 'revisionName'>,
): EarlierRevision | null | undefined {
  const { metadata, spec, revisions = [] } = service
  const isNamed = (generation: number, template: EarlierRevision['template']) =>
    named === revisionName(metadata.name, generation) || named === template.metadata.name
  if (named === undefined || isNamed(metadata.generation ?? 1, spec.template)) return null
  return revisions.find(({ generation, template }) => isNamed(generation, template))
}

/** Entries of a Service's traffic that name what nobody knows. */
export function trafficProblems(service: Service): ManifestError[] {
  const { metadata, spec, source } = service
  return (spec.traffic ?? []).flatMap((target, index) => {
    if (revisionMeant(service, target) !== undefined) return []
    const newest = revisionName(metadata.name, metadata.generation ?? 1)
    const message = `${JSON.stringify(target.revisionName)} is no revision that is known here: the newest is ${newest}, and earlier ones are kept by a control plane alone (mayfly rollout history)`
    return [
      {
        code: 'bad-value',
        ...source,
        column: 1,
        field: `spec.traffic[${index}].revisionName`,
        message,
      } as const,
    ]
  })
}

function earlierFunctions(service: Service): Service[] {
  const { apiVersion, kind, metadata, source } = service
  const named = (service.spec.traffic ?? []).flatMap((target) => revisionMeant(service, target) ?? [])
  return [...new Set(named)].map(({ generation, template }) => ({
    apiVersion,
    kind,
    metadata: {
      ...metadata,
      name: revisionName(metadata.name, generation),
      // From outside it is reached by way of its Service.
      labels: { ...metadata.labels, [VISIBILITY_LABEL]: 'cluster-local' },
      generation,
    },
    spec: { template },
    source,
    revisionOf: metadata.name,
  }))
}

/** Nothing where all requests go to the newest revision. */
function routesOf(service: Service): VirtualService[] {
  const { metadata, spec, source } = service
  const parts = (spec.traffic ?? []).filter(({ percent }) => percent > 0)
  const route = parts.map((target) => {
    const earlier = revisionMeant(service, target)
    const host = earlier ? revisionName(metadata.name, earlier.generation) : metadata.name
    return { destination: { host }, weight: target.percent }
  })
  if (route.every(({ destination }) => destination.host === metadata.name)) return []
  return [
    {
      apiVersion: 'networking.istio.io/v1',
      kind: 'VirtualService',
      metadata: { ...metadata, name: `${metadata.name}.traffic` },
      spec: { hosts: [metadata.name], http: [{ route }] },
      source,
    },
  ]
}
