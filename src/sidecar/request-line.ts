// The request line by RFC 9112 3: `method SP target SP HTTP/1.x CRLF`, exactly, after at most one empty line.

import { CR, DOT, isDigit, isExactly, LF, SP, tokenByte } from './bytes.ts'
import {
  REASON_BARE_CR_LF,
  REASON_CONNECT,
  REASON_METHOD,
  REASON_REQUEST_LINE,
  REASON_TARGET,
  REASON_VERSION,
} from './layout/record.ts'
import { methodLen, methodPtr, setHttpMinor, setMethod, setTarget } from './message.ts'
import { INCOMPLETE, REFUSED, refuse } from './refusal.ts'

/** Longest method; the registered ones have at most 17 bytes. */
const MAX_METHOD: i32 = 32

/** Returns the address after the line, INCOMPLETE or REFUSED. */
export function readRequestLine(start: i32, end: i32): i32 {
  let p = start
  if (p < end && load<u8>(p) == CR) {
    if (p + 1 >= end) return INCOMPLETE
    if (load<u8>(p + 1) != LF) return refuse(400, REASON_BARE_CR_LF)
    p += 2
  }
  const method = p
  while (p < end && tokenByte(load<u8>(p)) != 0) p++
  if (p - method > MAX_METHOD) return refuse(501, REASON_METHOD)
  if (p >= end) return INCOMPLETE
  if (p == method || load<u8>(p) != SP) return refuse(400, REASON_REQUEST_LINE)
  setMethod(method, p - method)

  p++
  const target = p
  p = skipTarget(p, end)
  if (p >= end) return INCOMPLETE
  const after: u32 = load<u8>(p)
  if (after == CR || after == LF || p == target) return refuse(400, REASON_REQUEST_LINE)
  if (after != SP) return refuse(400, REASON_TARGET)
  setTarget(target, p - target)

  p = readVersion(p + 1, end, REASON_REQUEST_LINE)
  if (p < 0) return p
  if (p >= end) return INCOMPLETE
  if (load<u8>(p) != CR) return refuse(400, load<u8>(p) == LF ? REASON_BARE_CR_LF : REASON_REQUEST_LINE)
  if (p + 1 >= end) return INCOMPLETE
  if (load<u8>(p + 1) != LF) return refuse(400, REASON_BARE_CR_LF)
  return checkMethod() ? p + 2 : REFUSED
}

/**
 * `HTTP/1.0` or `HTTP/1.1`; returns the address after it. Every byte is judged as soon as it is there; what is
 * no version at all is refused for `reason`.
 */
export function readVersion(start: i32, end: i32, reason: i32): i32 {
  const name = 'HTTP/'
  const namePtr = changetype<i32>(name)
  let p = start
  for (let i = 0; i < 5; i++, p++) {
    if (p >= end) return INCOMPLETE
    if (load<u8>(p) != load<u16>(namePtr + (i << 1))) return refuse(400, reason)
  }
  if (p >= end) return INCOMPLETE
  const major: u32 = load<u8>(p)
  if (!isDigit(major)) return refuse(400, reason)
  if (++p >= end) return INCOMPLETE
  if (load<u8>(p) != DOT) return refuse(400, reason)
  if (++p >= end) return INCOMPLETE
  const minor: u32 = load<u8>(p)
  if (!isDigit(minor)) return refuse(400, reason)
  if (major != 0x31 || minor > 0x31) return refuse(505, REASON_VERSION)
  setHttpMinor(minor - 0x30)
  return p + 1
}

// Visible ASCII but "#": a fragment has no place in a request.
function skipTarget(start: i32, end: i32): i32 {
  let p = start
  while (p < end) {
    const byte: u32 = load<u8>(p)
    if (byte - 0x21 > 0x5d || byte == 0x23) break
    p++
  }
  return p
}

// Istio refuses methods that are not in upper case: servers that ignore the case would serve what no policy matched.
// CONNECT would open a tunnel that no policy sees into; TRACE would show a client the fields that the mesh and the
// function's neighbours add (RFC 9110 9.3.8).
function checkMethod(): bool {
  const ptr = methodPtr()
  const len = methodLen()
  for (let i = 0; i < len; i++) {
    if (load<u8>(ptr + i) - 0x61 < 26) {
      refuse(400, REASON_METHOD)
      return false
    }
  }
  if (isExactly(ptr, len, 'CONNECT')) refuse(405, REASON_CONNECT)
  else if (isExactly(ptr, len, 'TRACE')) refuse(405, REASON_METHOD)
  else return true
  return false
}
