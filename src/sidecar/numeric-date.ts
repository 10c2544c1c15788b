// A NumericDate (RFC 7519 2): a JSON number of seconds since the epoch, of which the whole seconds count. Read from its text, since
// a sidecar has no floats.

import { isDigit } from './bytes.ts'

/** Far beyond any time; larger numbers are this one. */
export const LATEST: u64 = 1_000_000_000_000_000_000

/** Whether the number is not below 0. */
export function isNumericDate(ptr: i32, len: i32): bool {
  return load<u8>(ptr) != 0x2d || secondsOf(ptr + 1, len - 1) == 0
}

/** The whole seconds of a number that isNumericDate takes, by the grammar of json.ts. */
export function readNumericDate(ptr: i32, len: i32): u64 {
  return load<u8>(ptr) == 0x2d ? 0 : secondsOf(ptr, len)
}

function secondsOf(ptr: i32, len: i32): u64 {
  const end = ptr + len
  let wholeEnd = ptr
  while (wholeEnd < end && isDigit(load<u8>(wholeEnd))) wholeEnd++
  let fraction = wholeEnd
  let fractionEnd = wholeEnd
  if (wholeEnd < end && load<u8>(wholeEnd) == 0x2e) {
    fraction = wholeEnd + 1
    fractionEnd = fraction
    while (fractionEnd < end && isDigit(load<u8>(fractionEnd))) fractionEnd++
  }
  // The decimal point stands behind so many digits once the exponent has moved it.
  const digits = wholeEnd - ptr + exponentAt(fractionEnd, end)
  let seconds: u64 = 0
  for (let i = 0; i < digits && seconds < LATEST; i++) {
    const at = i < wholeEnd - ptr ? ptr + i : fraction + (i - (wholeEnd - ptr))
    if (at >= fractionEnd && seconds == 0) return 0
    seconds = seconds * 10 + (at < fractionEnd ? (load<u8>(at) as u64) - 0x30 : 0)
  }
  return seconds < LATEST ? seconds : LATEST
}

function exponentAt(at: i32, end: i32): i32 {
  if (at >= end) return 0
  const sign: u32 = load<u8>(at + 1)
  let exponent = 0
  for (let i = sign == 0x2d || sign == 0x2b ? at + 2 : at + 1; i < end; i++) {
    if (exponent < MOST_EXPONENT) exponent = exponent * 10 + (load<u8>(i) as i32) - 0x30
  }
  return sign == 0x2d ? -exponent : exponent
}

/** Beyond it no digit of a token's number is left. */
const MOST_EXPONENT: i32 = 100_000
