import type { CelScope } from '../policy/evaluate-cel.ts'
import type { SpanTag } from '../policy/observation-plan.ts'

/** What an engine knows of one sidecar's span when its exchange has ended. Valid only during the call that hands it over. */
export interface SpanFacts {
  /** Where it goes: the URL of a collector that takes OTLP over HTTP. */
  collector: string
  /** 64 hexadecimal digits: trace id, span id, parent's span id (OUT_TRACE_PTR in layout/record.ts). */
  trace: string
  direction: number
  /** The function on whose behalf the sidecar ran, "namespace/name". */
  function: string
  /** The head that was forwarded: it begins "METHOD SP target SP"; null where the request was refused. */
  head: Buffer | null
  requestId: string
  /** Milliseconds since the epoch. */
  startMs: number
  durationMs: number
  status: number
  /** Istio's name of the cluster that the request went to; "" where it went to none. */
  cluster: string
  /** Longer paths are cut. */
  maxPath: number
  /** Bytes of the bodies. */
  bytesReceived: number
  bytesSent: number
  /** RESPONSE_FLAG_* bits. */
  responseFlags: number
  /** Tags of the function's own; those that depend on the exchange are asked of `scope`. */
  tags: readonly SpanTag[]
  scope: CelScope
}
