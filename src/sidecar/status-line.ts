// A response's status line by RFC 9112 4: `HTTP/1.x SP 3DIGIT SP [reason] CRLF`. The last space may be missing where there
// is no reason, as many servers leave it out.

import { CR, isDigit, LF, SP } from './bytes.ts'
import { findControl } from './field-section.ts'
import { REASON_BARE_CR_LF, REASON_STATUS, REASON_STATUS_LINE } from './layout/record.ts'
import { INCOMPLETE, refuse } from './refusal.ts'
import { readVersion } from './request-line.ts'

let status: i32 = 0
let phrase: i32 = 0
let phraseSize: i32 = 0

export function statusCode(): i32 {
  return status
}

export function phrasePtr(): i32 {
  return phrase
}

export function phraseLen(): i32 {
  return phraseSize
}

/** Returns the address after the line, INCOMPLETE or REFUSED. */
export function readStatusLine(start: i32, end: i32): i32 {
  let p = readVersion(start, end, REASON_STATUS_LINE)
  if (p < 0) return p
  if (p >= end) return INCOMPLETE
  if (load<u8>(p) != SP) return refuse(502, REASON_STATUS_LINE)
  p++
  status = 0
  for (let digits = 0; digits < 3; digits++, p++) {
    if (p >= end) return INCOMPLETE
    const byte: u32 = load<u8>(p)
    if (!isDigit(byte)) return refuse(502, REASON_STATUS)
    status = status * 10 + (byte - 0x30)
  }
  if (status < 100) return refuse(502, REASON_STATUS)
  if (p >= end) return INCOMPLETE
  phrase = p
  if (load<u8>(p) == SP) {
    phrase++
    p = findControl(p, end)
    if (p >= end) return INCOMPLETE
  }
  phraseSize = p - phrase
  if (load<u8>(p) != CR) return refuse(502, load<u8>(p) == LF ? REASON_BARE_CR_LF : REASON_STATUS_LINE)
  if (p + 1 >= end) return INCOMPLETE
  return load<u8>(p + 1) == LF ? p + 2 : refuse(502, REASON_BARE_CR_LF)
}
