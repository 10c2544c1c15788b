// The TRACING section of a compiled policy: how a function's sidecar takes part in traces. u32 values at these offsets
// from the section's first byte. Without the section the sidecar takes no part: trace fields pass as they came.

/** PROPAGATE_* bits: the forms in which trace context is read and written. */
export const TRACING_PROPAGATION: i32 = 0
/** Of 10,000 traces that begin at the outbound sidecar, how many are sampled. */
export const TRACING_CLIENT_SAMPLING: i32 = 4
/** The same for traces that begin at the inbound sidecar or at the gateway. */
export const TRACING_SERVER_SAMPLING: i32 = 8
/** REPORT_* bits: whose spans of sampled traces are recorded. */
export const TRACING_REPORT: i32 = 12
/** REPORT_* bits: for whom the request's id draws whether a new trace is sampled, so that all who know the id decide alike; else chance does. */
export const TRACING_REQUEST_ID: i32 = 16
export const TRACING_SIZE: i32 = 20

/** W3C Trace Context: `traceparent` and `tracestate`. */
export const PROPAGATE_W3C: i32 = 1
/** Zipkin's `x-b3-*` fields. */
export const PROPAGATE_B3: i32 = 2
/** Zipkin's single `b3` field. */
export const PROPAGATE_B3_SINGLE: i32 = 4

export const REPORT_CLIENT: i32 = 1
export const REPORT_SERVER: i32 = 2

/** Sampling is drawn out of this many. */
export const SAMPLING_SCALE: i32 = 10000
