import type { Cel } from '../api/cel.ts'
import { UNKNOWN_WORKLOAD, type Workload } from './workload.ts'

/** What an engine does with what a function's sidecars find out about exchanges (sidecar/layout/observation.ts). */
export interface FunctionObservation {
  readonly workload: Workload
  /** Istio's names of its clusters (sidecar/log-address.ts): at its own sidecar, and at those of its callers; "" for the gateway. */
  readonly inboundCluster: string
  readonly outboundCluster: string
  /** Longer paths are cut in its spans. */
  readonly maxTracedPath: number
  /** For its outbound sidecar. */
  readonly client: ModeObservation
  /** For its inbound sidecar, and the gateway's that is for it. */
  readonly server: ModeObservation
}

export interface ModeObservation {
  /** Values that the sidecar gives to the engine. */
  readonly values: number
  /** Whether a log line is written, where only the engine can tell; null: every one is that the sidecar makes. */
  readonly logFilter: Cel | null
  readonly spanTags: readonly SpanTag[]
  /** In the order of METRICS. */
  readonly metrics: readonly MetricPlan[]
}

export interface SpanTag {
  readonly name: string
  /** Literals, and values of the sidecar's. */
  readonly value: Cel
  /** Where the value is absent; null: the span does not have the tag then. */
  readonly byDefault: string | null
}

export interface MetricPlan {
  readonly disabled: boolean
  /** Labels that are put in place of the standard ones, or beside them; null: the label is left out. */
  readonly tags: readonly (readonly [name: string, value: Cel | null])[]
}

/** Istio's metrics of HTTP, as its Telemetry calls them and as Prometheus does. */
export const METRICS = [
  { metric: 'REQUEST_COUNT', name: 'istio_requests_total' },
  { metric: 'REQUEST_DURATION', name: 'istio_request_duration_milliseconds' },
  { metric: 'REQUEST_SIZE', name: 'istio_request_bytes' },
  { metric: 'RESPONSE_SIZE', name: 'istio_response_bytes' },
] as const

const NOTHING: ModeObservation = {
  values: 0,
  logFilter: null,
  spanTags: [],
  metrics: METRICS.map(() => ({ disabled: false, tags: [] })),
}

/** That of a function of which nothing is known, by no Telemetry. */
export const NOTHING_OBSERVED: FunctionObservation = {
  workload: UNKNOWN_WORKLOAD,
  inboundCluster: '',
  outboundCluster: '',
  maxTracedPath: 256,
  client: NOTHING,
  server: NOTHING,
}
