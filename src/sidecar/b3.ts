// Zipkin's B3 propagation: the single field `b3` and the fields `x-b3-*`.

import {
  FIELD_B3,
  FIELD_X_B3_FLAGS,
  FIELD_X_B3_PARENTSPANID,
  FIELD_X_B3_SAMPLED,
  FIELD_X_B3_SPANID,
  FIELD_X_B3_TRACEID,
} from './layout/fields.ts'
import {
  fieldValueLen,
  fieldValuePtr,
  findFieldById,
  isText,
  nextField,
  outByte,
  outBytes,
  outText,
} from './message.ts'
import {
  continueTrace,
  hasParent,
  parentSpanIdPtr,
  SPAN_ID_LEN,
  spanIdPtr,
  TRACE_ID_LEN,
  traceIdPtr,
} from './trace-ids.ts'
import { isId } from './traceparent.ts'

// What a request's B3 fields say, as bits.
/** They name a trace, and it is continued. */
export const B3_CONTINUED: i32 = 1
/** The trace's id has 64 bits. */
export const B3_NARROW: i32 = 2
export const B3_SAMPLED: i32 = 4
export const B3_NOT_SAMPLED: i32 = 8
/** Sampled, whatever anybody's sampling says. */
export const B3_DEBUG: i32 = 16

const NARROW_LEN: i32 = 16
const DASH: u8 = 0x2d

/** Continues the trace that valid B3 fields name; the single field wins over the others. */
export function readB3(): i32 {
  const single = onlyField(FIELD_B3)
  if (single >= 0) {
    const said = readSingle(fieldValuePtr(single), fieldValueLen(single))
    if (said != 0) return said
  }
  return readMultiple()
}

export function writeB3Single(said: i32, sampled: bool): void {
  outText('b3: ')
  writeTraceId(said)
  outByte(DASH)
  outBytes(spanIdPtr(), SPAN_ID_LEN)
  outByte(DASH)
  outByte((said & B3_DEBUG) != 0 ? 0x64 : sampled ? 0x31 : 0x30)
  if (hasParent()) {
    outByte(DASH)
    outBytes(parentSpanIdPtr(), SPAN_ID_LEN)
  }
  outText('\r\n')
}

export function writeB3Multiple(said: i32, sampled: bool): void {
  outText('x-b3-traceid: ')
  writeTraceId(said)
  outText('\r\nx-b3-spanid: ')
  outBytes(spanIdPtr(), SPAN_ID_LEN)
  if (hasParent()) {
    outText('\r\nx-b3-parentspanid: ')
    outBytes(parentSpanIdPtr(), SPAN_ID_LEN)
  }
  // Debug implies sampled, and then nothing else is said of sampling.
  outText(
    (said & B3_DEBUG) != 0
      ? '\r\nx-b3-flags: 1\r\n'
      : sampled
        ? '\r\nx-b3-sampled: 1\r\n'
        : '\r\nx-b3-sampled: 0\r\n',
  )
}

function writeTraceId(said: i32): void {
  if ((said & B3_NARROW) != 0) outBytes(traceIdPtr() + NARROW_LEN, NARROW_LEN)
  else outBytes(traceIdPtr(), TRACE_ID_LEN)
}

/** `traceid-spanid`, `traceid-spanid-sampling`, `traceid-spanid-sampling-parentspanid`, or `sampling` alone. */
function readSingle(ptr: i32, len: i32): i32 {
  if (len == 1) return samplingState(load<u8>(ptr))
  const traceLen = len > TRACE_ID_LEN && load<u8>(ptr + TRACE_ID_LEN) == DASH ? TRACE_ID_LEN : NARROW_LEN
  const spanAt = traceLen + 1
  const spanEnd = spanAt + SPAN_ID_LEN
  if (len < spanEnd || load<u8>(ptr + traceLen) != DASH) return 0
  if (!isId(ptr, traceLen) || !isId(ptr + spanAt, SPAN_ID_LEN)) return 0
  let said = B3_CONTINUED | (traceLen == NARROW_LEN ? B3_NARROW : 0)
  if (len > spanEnd) {
    if (len != spanEnd + 2 && len != spanEnd + 3 + SPAN_ID_LEN) return 0
    const state = samplingState(load<u8>(ptr + spanEnd + 1))
    if (load<u8>(ptr + spanEnd) != DASH || state == 0) return 0
    if (len > spanEnd + 2 && (load<u8>(ptr + spanEnd + 2) != DASH || !isId(ptr + spanEnd + 3, SPAN_ID_LEN)))
      return 0
    said |= state
  }
  continueTrace(ptr, traceLen, ptr + spanAt)
  return said
}

function readMultiple(): i32 {
  let said = multipleSampling()
  const trace = onlyField(FIELD_X_B3_TRACEID)
  const span = onlyField(FIELD_X_B3_SPANID)
  if (trace < 0 || span < 0) return said
  const traceLen = fieldValueLen(trace)
  if (traceLen != TRACE_ID_LEN && traceLen != NARROW_LEN) return said
  if (fieldValueLen(span) != SPAN_ID_LEN) return said
  if (!isId(fieldValuePtr(trace), traceLen) || !isId(fieldValuePtr(span), SPAN_ID_LEN)) return said
  said |= B3_CONTINUED | (traceLen == NARROW_LEN ? B3_NARROW : 0)
  continueTrace(fieldValuePtr(trace), traceLen, fieldValuePtr(span))
  return said
}

function multipleSampling(): i32 {
  const flags = onlyField(FIELD_X_B3_FLAGS)
  if (flags >= 0 && fieldValueLen(flags) == 1 && load<u8>(fieldValuePtr(flags)) == 0x31)
    return B3_SAMPLED | B3_DEBUG
  const sampled = onlyField(FIELD_X_B3_SAMPLED)
  if (sampled < 0) return 0
  const ptr = fieldValuePtr(sampled)
  const len = fieldValueLen(sampled)
  if (len == 1) return samplingState(load<u8>(ptr)) & ~B3_DEBUG
  // Tracers older than the specification say it in words.
  return isText(ptr, len, 'true') ? B3_SAMPLED : isText(ptr, len, 'false') ? B3_NOT_SAMPLED : 0
}

function samplingState(byte: i32): i32 {
  if (byte == 0x30) return B3_NOT_SAMPLED
  if (byte == 0x31) return B3_SAMPLED
  return byte == 0x64 ? B3_SAMPLED | B3_DEBUG : 0
}

/** The one field with that id; -1 where there is none or more than one. */
function onlyField(id: i32): i32 {
  const i = findFieldById(id)
  return i >= 0 && nextField(i) < 0 ? i : -1
}
