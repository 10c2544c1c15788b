import type { FunctionSpec } from '../api/function-spec.ts'

/** How metrics and spans name one side of an exchange (Istio's standard labels, without their `source_` or `destination_`). */
export interface Workload {
  readonly workload: string
  readonly namespace: string
  /** "spiffe://..." where the workload has an identity that others can check, else "unknown". */
  readonly principal: string
  readonly app: string
  readonly version: string
  readonly canonicalService: string
  readonly canonicalRevision: string
}

/** What Istio writes for what is not known. */
export const UNKNOWN = 'unknown'

/** The `source_cluster` and `destination_cluster` of all metrics: Istio's name for the only cluster. */
export const CLUSTER = 'Kubernetes'

export const UNKNOWN_WORKLOAD: Workload = {
  workload: UNKNOWN,
  namespace: UNKNOWN,
  principal: UNKNOWN,
  app: UNKNOWN,
  version: UNKNOWN,
  canonicalService: UNKNOWN,
  canonicalRevision: 'latest',
}

/** The gateway as a workload; clients from outside have none. It has no identity of its own (docs/decisions/0003). */
export function gatewayWorkload(rootNamespace: string): Workload {
  const name = 'mayfly-gateway'
  return { ...UNKNOWN_WORKLOAD, workload: name, namespace: rootNamespace, app: name, canonicalService: name }
}

/** What a principal alone says: a workload that is called as its service account, as a function is unless it says otherwise. */
export function workloadOfPrincipal(principal: string): Workload {
  const [, namespace, account] = /^[^/]+\/ns\/([^/]+)\/sa\/([^/]+)$/.exec(principal) ?? []
  if (namespace === undefined || account === undefined) return UNKNOWN_WORKLOAD
  const names = { workload: account, canonicalService: account }
  return { ...UNKNOWN_WORKLOAD, ...names, namespace, principal: `spiffe://${principal}` }
}

/** By Istio's rules: canonical names from labels of service.istio.io, else from `app` and `version`. */
export function workloadOf({ name, service, namespace, principal, labels }: FunctionSpec): Workload {
  const label = (key: string) => (Object.hasOwn(labels, key) && labels[key] !== '' ? labels[key] : undefined)
  const app = label('app') ?? label('app.kubernetes.io/name')
  const version = label('version') ?? label('app.kubernetes.io/version')
  return {
    workload: name,
    namespace,
    principal: `spiffe://${principal}`,
    app: app ?? UNKNOWN,
    version: version ?? UNKNOWN,
    canonicalService: label('service.istio.io/canonical-name') ?? app ?? service ?? name,
    canonicalRevision:
      label('service.istio.io/canonical-revision') ?? version ?? (service === undefined ? 'latest' : name),
  }
}
