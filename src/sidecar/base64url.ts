// Base64url without padding (RFC 4648 5, RFC 7515 2), read strictly: no white space, no "=", no other alphabet, and bits that are
// not part of a byte are zero, so that each text of bytes has one form.

import { SCRATCH_TEXT } from './layout/scratch.ts'

/** Value of a character, 64 for one that is none; for bytes below 128. */
const VALUES = memory.data<u8>([
  64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64,
  64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 62, 64, 64, 52, 53, 54, 55, 56, 57,
  58, 59, 60, 61, 64, 64, 64, 64, 64, 64, 64, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17,
  18, 19, 20, 21, 22, 23, 24, 25, 64, 64, 64, 64, 63, 64, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38,
  39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, 64, 64, 64, 64, 64,
])

/** How many bytes a text of that length stands for, at most. */
export function decodedLength(len: i32): i32 {
  return (len * 3) >> 2
}

/** Decodes into the decodedLength(len) bytes at `out`; gives their number, -1 where the text is no base64url. */
export function decodeBase64Url(ptr: i32, len: i32, out: i32): i32 {
  const whole = ptr + (len & ~3)
  let p = ptr
  let to = out
  for (; p < whole; p += 4) {
    const a = valueOf(load<u8>(p))
    const b = valueOf(load<u8>(p + 1))
    const c = valueOf(load<u8>(p + 2))
    const d = valueOf(load<u8>(p + 3))
    if (((a | b | c | d) & 64) != 0) return -1
    const bits = (a << 18) | (b << 12) | (c << 6) | d
    store<u8>(to, (bits >> 16) as u8)
    store<u8>(to + 1, (bits >> 8) as u8)
    store<u8>(to + 2, bits as u8)
    to += 3
  }
  const left = len & 3
  if (left == 0) return to - out
  if (left == 1) return -1
  const a = valueOf(load<u8>(p))
  const b = valueOf(load<u8>(p + 1))
  const c: u32 = left == 3 ? valueOf(load<u8>(p + 2)) : 0
  if (((a | b | c) & 64) != 0) return -1
  const bits = (a << 18) | (b << 12) | (c << 6)
  if ((bits & (left == 3 ? 0xff : 0xffff)) != 0) return -1
  store<u8>(to, (bits >> 16) as u8)
  if (left == 2) return to + 1 - out
  store<u8>(to + 1, (bits >> 8) as u8)
  return to + 2 - out
}

/** Whether the text is base64url. */
export function isBase64Url(ptr: i32, len: i32): bool {
  const left = len & 3
  // What is left after whole groups of four is judged as it is decoded, to a place that nobody reads.
  if (left != 0 && decodeBase64Url(ptr + len - left, left, SCRATCH_TEXT) < 0) return false
  const end = ptr + len - left
  let p = ptr
  for (; p + 16 <= end; p += 16) {
    const bytes = v128.load(p)
    const letters = v128.or(bytes, i8x16.splat(0x20))
    const isLetter = i8x16.lt_u(i8x16.sub(letters, i8x16.splat(0x61)), i8x16.splat(26))
    const isDigit = i8x16.lt_u(i8x16.sub(bytes, i8x16.splat(0x30)), i8x16.splat(10))
    const isSign = v128.or(i8x16.eq(bytes, i8x16.splat(0x2d)), i8x16.eq(bytes, i8x16.splat(0x5f)))
    if (!i8x16.all_true(v128.or(v128.or(isLetter, isDigit), isSign))) return false
  }
  for (; p < end; p++) if (valueOf(load<u8>(p)) == 64) return false
  return true
}

function valueOf(byte: u32): u32 {
  return byte < 128 ? load<u8>((VALUES as i32) + byte) : 64
}
