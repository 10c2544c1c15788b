// The trailer section behind a chunked body (RFC 9112 7.1.2): read by the same rules as a head's fields; names that say
// how a message is framed, routed, authenticated or processed are left out (RFC 9110 6.5.1).

import { NOT_IN_TRAILERS } from './field-classes.ts'
import { readFieldSection } from './field-section.ts'
import { outFieldLines } from './fields.ts'
import {
  IN_HEAD_LEN,
  IN_HEAD_PTR,
  OUT_REASON,
  OUT_RESULT,
  OUT_SEND_LEN,
  OUT_SEND_PTR,
  REASON_MEMORY,
  REASON_TRAILER,
  RESULT_BAD,
  RESULT_FORWARD,
} from './layout/record.ts'
import { inU32, outBegin, outOverflowed, outPosition, outText, outU32 } from './message.ts'

/** Reads the lines up to and with the empty one, and nothing after it: RESULT_FORWARD with the lines to send, or RESULT_BAD. */
export function passTrailers(): i32 {
  outBegin()
  const start: i32 = inU32(IN_HEAD_PTR)
  const end = start + (inU32(IN_HEAD_LEN) as i32)
  if (readFieldSection(start, end, false) != end) return bad(REASON_TRAILER)
  const out = outPosition()
  outFieldLines(NOT_IN_TRAILERS)
  outText('\r\n')
  if (outOverflowed()) return bad(REASON_MEMORY)
  outU32(OUT_SEND_PTR, out)
  outU32(OUT_SEND_LEN, outPosition() - out)
  outU32(OUT_RESULT, RESULT_FORWARD)
  return RESULT_FORWARD
}

function bad(reason: i32): i32 {
  outU32(OUT_REASON, reason)
  outU32(OUT_RESULT, RESULT_BAD)
  return RESULT_BAD
}
