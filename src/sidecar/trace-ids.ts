// The ids of this request's span, in hexadecimal, in scratch memory: trace id, span id, parent's span id.

import { isZeroHex, writeHex, writeZeroHex } from './hex.ts'
import { IN_RANDOM, INPUT } from './layout/record.ts'
import { SCRATCH_TRACING } from './layout/scratch.ts'

export const TRACE_ID_LEN: i32 = 32
export const SPAN_ID_LEN: i32 = 16

const SPAN_ID: i32 = SCRATCH_TRACING + 32
const PARENT_ID: i32 = SCRATCH_TRACING + 48
/** The rest of the tracing scratch. */
export const TRACE_MEMBERS: i32 = SCRATCH_TRACING + 64

// Where in IN_RANDOM (48 bytes) the ids come from.
const RANDOM_SPAN_ID: i32 = 16
const RANDOM_SAMPLING: i32 = 40

/** 32 digits. */
export function traceIdPtr(): i32 {
  return SCRATCH_TRACING
}

/** 16 digits. */
export function spanIdPtr(): i32 {
  return SPAN_ID
}

/** 16 digits, all "0" where the span is the first of its trace. */
export function parentSpanIdPtr(): i32 {
  return PARENT_ID
}

export function hasParent(): bool {
  return !isZeroHex(PARENT_ID, SPAN_ID_LEN)
}

/** The span's trace and parent are those at the addresses; a 64-bit trace id (16 digits) is filled up with "0" on the left. */
export function continueTrace(traceId: i32, traceIdLen: i32, parentId: i32): void {
  writeZeroHex(SCRATCH_TRACING, TRACE_ID_LEN - traceIdLen)
  memory.copy(SCRATCH_TRACING + TRACE_ID_LEN - traceIdLen, traceId, traceIdLen)
  memory.copy(PARENT_ID, parentId, SPAN_ID_LEN)
}

/** The span is the first of a new trace. */
export function beginTrace(): void {
  writeHex(SCRATCH_TRACING, INPUT + IN_RANDOM, TRACE_ID_LEN >> 1)
  avoidZero(SCRATCH_TRACING, TRACE_ID_LEN)
  writeZeroHex(PARENT_ID, SPAN_ID_LEN)
}

export function beginSpan(): void {
  writeHex(SPAN_ID, INPUT + IN_RANDOM + RANDOM_SPAN_ID, SPAN_ID_LEN >> 1)
  avoidZero(SPAN_ID, SPAN_ID_LEN)
}

/** Random bits for the decision whether a new trace is sampled. */
export function samplingDraw(): u64 {
  return load<u64>(INPUT + IN_RANDOM + RANDOM_SAMPLING)
}

/** An id of zeros only is no id. */
function avoidZero(ptr: i32, len: i32): void {
  if (isZeroHex(ptr, len)) store<u8>(ptr + len - 1, 0x31)
}
