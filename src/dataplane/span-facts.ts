/** What an engine knows of one sidecar's span when its exchange has ended. */
export interface SpanFacts {
  /** Where it goes: the URL of a collector that takes OTLP over HTTP. */
  collector: string
  /** 64 hexadecimal digits: trace id, span id, parent's span id (OUT_TRACE_PTR in layout/record.ts). */
  trace: string
  direction: number
  /** The function on whose behalf the sidecar ran, "namespace/name". */
  function: string
  /** As forwarded; "" where the request was refused. */
  method: string
  path: string
  requestId: string
  /** Milliseconds since the epoch. */
  startMs: number
  durationMs: number
  status: number
}
