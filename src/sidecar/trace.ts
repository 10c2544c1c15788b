// Trace context: which trace the request belongs to, the span of this sidecar in it, and what the next one is told.

import { B3_CONTINUED, B3_NOT_SAMPLED, B3_SAMPLED, readB3, writeB3Multiple, writeB3Single } from './b3.ts'
import { fieldLineEnd } from './fields.ts'
import {
  FIELD_B3,
  FIELD_TRACEPARENT,
  FIELD_TRACESTATE,
  FIELD_X_B3_FLAGS,
  FIELD_X_B3_TRACEID,
} from './layout/fields.ts'
import {
  DIRECTION_INBOUND,
  DIRECTION_OUTBOUND,
  IN_FLAG_SERVE,
  IN_FLAGS,
  OUT_TRACE_PTR,
} from './layout/record.ts'
import {
  PROPAGATE_B3,
  PROPAGATE_B3_SINGLE,
  PROPAGATE_W3C,
  REPORT_CLIENT,
  REPORT_SERVER,
  SAMPLING_SCALE,
  TRACING_CLIENT_SAMPLING,
  TRACING_PROPAGATION,
  TRACING_REPORT,
  TRACING_REQUEST_ID,
  TRACING_SERVER_SAMPLING,
  TRACING_SIZE,
} from './layout/tracing.ts'
import { direction, fieldNamePtr, findFieldById, inU32, nextField, outBytes, outU32 } from './message.ts'
import { requestIdDraw } from './request-id.ts'
import { beginSpan, beginTrace, parentSpanIdPtr, samplingDraw, spanIdPtr, traceIdPtr } from './trace-ids.ts'
import { FLAG_RANDOM, FLAG_SAMPLED, readTraceparent, writeTraceparent } from './traceparent.ts'
import { clearTracestate, readTracestate, writeTracestate } from './tracestate.ts'

export { parentSpanIdPtr, spanIdPtr, traceIdPtr }

const B3_FORMS: i32 = PROPAGATE_B3 | PROPAGATE_B3_SINGLE

let propagation: i32 = 0
let flags: i32 = 0
let b3: i32 = 0
let recorded: bool = false

/**
 * Reads the request's trace fields and makes this sidecar's span: the child of the one that the request names, or the
 * first of a new trace. `section` is TRACING; of length 0 the sidecar takes no part in traces.
 */
export function prepareTrace(section: i32, len: i32): void {
  propagation = 0
  flags = 0
  b3 = 0
  recorded = false
  clearTracestate()
  if (len < TRACING_SIZE || onlyPassesBy()) return
  propagation = load<i32>(section + TRACING_PROPAGATION)
  if (propagation == 0) return
  const client = direction() == DIRECTION_OUTBOUND
  const sampling = load<u32>(section + (client ? TRACING_CLIENT_SAMPLING : TRACING_SERVER_SAMPLING))
  const reported = client ? REPORT_CLIENT : REPORT_SERVER
  findTrace(sampling, (load<i32>(section + TRACING_REQUEST_ID) & reported) != 0)
  beginSpan()
  recorded = (flags & FLAG_SAMPLED) != 0 && (load<i32>(section + TRACING_REPORT) & reported) != 0
  if (recorded) outU32(OUT_TRACE_PTR, traceIdPtr())
}

/** Of a function whose own side another node judges the span is made there; the caller's is made already. */
function onlyPassesBy(): bool {
  return direction() == DIRECTION_INBOUND && (inU32(IN_FLAGS) & IN_FLAG_SERVE) == 0
}

/** Whether the sidecar takes part in traces: whether there are ids. */
export function tracing(): bool {
  return propagation != 0
}

/** Whether a span of this request is to be recorded. */
export function sampled(): bool {
  return recorded
}

/** The flags of the `traceparent` that is forwarded. */
export function traceFlags(): i32 {
  return flags
}

/** Whether the `traceparent` that is forwarded is this sidecar's own. */
export function writesTraceparent(): bool {
  return (propagation & PROPAGATE_W3C) != 0
}

/** Writes all trace fields of the forwarded head: those that name this span, and unchanged those of forms not asked for. */
export function writeTraceFields(): void {
  if ((propagation & PROPAGATE_W3C) != 0) {
    writeTraceparent(flags)
    writeTracestate()
  } else {
    copyFields(FIELD_TRACEPARENT, FIELD_TRACESTATE)
  }
  if ((propagation & B3_FORMS) == 0) {
    copyFields(FIELD_B3, FIELD_B3)
    copyFields(FIELD_X_B3_TRACEID, FIELD_X_B3_FLAGS)
    return
  }
  const isSampled = (flags & FLAG_SAMPLED) != 0
  if ((propagation & PROPAGATE_B3_SINGLE) != 0) writeB3Single(b3, isSampled)
  if ((propagation & PROPAGATE_B3) != 0) writeB3Multiple(b3, isSampled)
}

/** W3C wins over B3 where a request has both. */
function findTrace(sampling: u32, byRequestId: bool): void {
  if ((propagation & PROPAGATE_W3C) != 0) {
    flags = readTraceparent()
    if (flags >= 0) {
      readTracestate()
      return
    }
  }
  if ((propagation & B3_FORMS) != 0) b3 = readB3()
  flags = 0
  if ((b3 & B3_CONTINUED) == 0) {
    beginTrace()
    flags = FLAG_RANDOM
  }
  if ((b3 & B3_SAMPLED) != 0) flags |= FLAG_SAMPLED
  else if (
    (b3 & B3_NOT_SAMPLED) == 0 &&
    (byRequestId ? requestIdDraw() : samplingDraw()) % SAMPLING_SCALE < sampling
  )
    flags |= FLAG_SAMPLED
}

/** Copies the lines of all fields whose FIELD_* id is in the closed range. */
function copyFields(first: i32, last: i32): void {
  for (let id = first; id <= last; id++) {
    for (let i = findFieldById(id); i >= 0; i = nextField(i)) {
      const start = fieldNamePtr(i)
      outBytes(start, fieldLineEnd(i) - start)
    }
  }
}
