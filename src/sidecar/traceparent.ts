// The `traceparent` field of W3C Trace Context Level 2, section 3.2.

import { hexByte, isLowerHex, isZeroHex } from './hex.ts'
import { FIELD_TRACEPARENT } from './layout/fields.ts'
import {
  fieldValueLen,
  fieldValuePtr,
  findFieldById,
  nextField,
  outBytes,
  outPosition,
  outReserve,
} from './message.ts'
import { continueTrace, SPAN_ID_LEN, spanIdPtr, TRACE_ID_LEN, traceIdPtr } from './trace-ids.ts'

export const FLAG_SAMPLED: i32 = 1
/** Level 2: the trace id's last seven bytes are random. */
export const FLAG_RANDOM: i32 = 2

const VERSION_0_LEN: i32 = 55
const TRACE_ID_AT: i32 = 3
const PARENT_ID_AT: i32 = 36
const FLAGS_AT: i32 = 53
const DASH: u8 = 0x2d

// "traceparent: 00-"
const LINE_START = memory.data<u8>([
  0x74, 0x72, 0x61, 0x63, 0x65, 0x70, 0x61, 0x72, 0x65, 0x6e, 0x74, 0x3a, 0x20, 0x30, 0x30, 0x2d,
])
const LINE_START_LEN: i32 = 16

/** Continues the trace that the request's one valid `traceparent` names; gives its known flags, or -1. */
export function readTraceparent(): i32 {
  const i = findFieldById(FIELD_TRACEPARENT)
  if (i < 0 || nextField(i) >= 0) return -1
  const ptr = fieldValuePtr(i)
  const len = fieldValueLen(i)
  if (len < VERSION_0_LEN || !isWellFormed(ptr, len)) return -1
  const flags = hexByte(ptr + FLAGS_AT)
  if (flags < 0) return -1
  continueTrace(ptr + TRACE_ID_AT, TRACE_ID_LEN, ptr + PARENT_ID_AT)
  return flags & (FLAG_SAMPLED | FLAG_RANDOM)
}

/** The value that names this span, without its line. */
export function writeTraceparentValue(flags: i32): void {
  outBytes((LINE_START as i32) + 13, 3)
  writeIdsAndFlags(flags)
}

export function writeTraceparent(flags: i32): void {
  outBytes(LINE_START as i32, LINE_START_LEN)
  writeIdsAndFlags(flags)
  const end = outPosition()
  if (outReserve(2)) store<u16>(end, 0x0a0d)
}

function writeIdsAndFlags(flags: i32): void {
  const start = outPosition()
  if (!outReserve(VERSION_0_LEN - 3)) return
  memory.copy(start, traceIdPtr(), TRACE_ID_LEN)
  store<u8>(start + 32, DASH)
  memory.copy(start + 33, spanIdPtr(), SPAN_ID_LEN)
  store<u16>(start + 49, 0x302d)
  store<u8>(start + 51, (0x30 + flags) as u8)
}

function isWellFormed(ptr: i32, len: i32): bool {
  const version = hexByte(ptr)
  if (version < 0 || version == 0xff) return false
  // A later version may say more, behind another dash.
  if (len > VERSION_0_LEN && (version == 0 || load<u8>(ptr + VERSION_0_LEN) != DASH)) return false
  if (load<u8>(ptr, 2) != DASH || load<u8>(ptr, 35) != DASH || load<u8>(ptr, 52) != DASH) return false
  return isId(ptr + TRACE_ID_AT, TRACE_ID_LEN) && isId(ptr + PARENT_ID_AT, SPAN_ID_LEN)
}

/** Whether the text is an id of `len` digits, not all zero. */
export function isId(ptr: i32, len: i32): bool {
  return isLowerHex(ptr, len) && !isZeroHex(ptr, len)
}
