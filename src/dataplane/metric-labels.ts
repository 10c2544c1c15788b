import { CLUSTER, UNKNOWN, UNKNOWN_WORKLOAD, type Workload } from '../policy/workload.ts'
import { shortResponseFlags } from './response-flags.ts'

/** Who reports an exchange: the client's side of it or the server's. */
export type Reporter = 'source' | 'destination'

/** The two ends of an exchange, as one of them sees them. */
export interface Edge {
  readonly reporter: Reporter
  readonly source: Workload
  /** null: it named no function that the reporter knows. */
  readonly destination: Workload | null
  /** The source's identity is proved. */
  readonly mutual: boolean
}

export type Label = readonly [name: string, value: string]

/** Istio's standard labels of HTTP metrics, in Istio's order. */
export function standardLabels(edge: Edge, status: number, responseFlags: number): Label[] {
  const { reporter, source, mutual } = edge
  const destination = edge.destination ?? UNKNOWN_WORKLOAD
  const service = edge.destination === null ? UNKNOWN : destination.workload
  const namespace = edge.destination === null ? UNKNOWN : destination.namespace
  const identities = mutual || reporter === 'source'
  return [
    ['reporter', reporter],
    ['source_workload', source.workload],
    ['source_canonical_service', source.canonicalService],
    ['source_canonical_revision', source.canonicalRevision],
    ['source_workload_namespace', source.namespace],
    ['source_principal', identities ? source.principal : UNKNOWN],
    ['source_app', source.app],
    ['source_version', source.version],
    ['source_cluster', CLUSTER],
    ['destination_workload', destination.workload],
    ['destination_workload_namespace', destination.namespace],
    ['destination_principal', mutual ? destination.principal : UNKNOWN],
    ['destination_app', destination.app],
    ['destination_version', destination.version],
    ['destination_service', service === UNKNOWN ? UNKNOWN : `${service}.${namespace}.svc.cluster.local`],
    ['destination_canonical_service', destination.canonicalService],
    ['destination_canonical_revision', destination.canonicalRevision],
    ['destination_service_name', service],
    ['destination_service_namespace', namespace],
    ['destination_cluster', CLUSTER],
    ['request_protocol', 'http'],
    ['response_code', String(status)],
    // HTTP without gRPC has none; Istio writes the label all the same.
    ['grpc_response_status', ''],
    ['response_flags', shortResponseFlags(responseFlags)],
    // As in Istio, only the server's side says how the connection was secured.
    ['connection_security_policy', reporter === 'source' ? UNKNOWN : mutual ? 'mutual_tls' : 'none'],
  ]
}

/** `name="value",...`, as Prometheus' text format has it between braces. */
export function labelText(labels: Iterable<Label>): string {
  return Array.from(labels, ([name, value]) => `${name}="${escaped(value)}"`).join(',')
}

function escaped(value: string): string {
  return value.replace(/[\\"\n]/g, (character) => (character === '\n' ? '\\n' : `\\${character}`))
}
