// A JSON string (RFC 8259 7), turned into its own UTF-8 where it lies: what is written is never longer than what was read.

import { BACKSLASH, hexValue } from './bytes.ts'

const QUOTE: u32 = 0x22

let end: i32 = 0
let string: i32 = 0
let stringSize: i32 = 0
/** Where the character behind an escape ends. */
let escaped: i32 = 0

/** Reads the string whose first character is at `start`; gives the address after its closing quote, 0 where it is none. */
export function readString(start: i32, stop: i32): i32 {
  let p = start
  end = stop
  string = p
  while (p < end) {
    const byte: u32 = load<u8>(p)
    if (byte - 0x20 >= 0x5f || byte == QUOTE || byte == BACKSLASH) break
    p++
  }
  let to = p
  while (p < end) {
    const byte: u32 = load<u8>(p)
    if (byte == QUOTE) {
      stringSize = to - string
      return p + 1
    }
    if (byte == BACKSLASH) {
      p = readEscape(p + 1, to)
      if (p == 0) return 0
      to = escaped
      continue
    }
    const size = characterSize(p, byte)
    if (size == 0) return 0
    for (let i = 0; i < size; i++) store<u8>(to++, load<u8>(p++))
  }
  return 0
}

/** The string that was read last: its own bytes, which lie where its text lay. */
export function stringPtr(): i32 {
  return string
}

export function stringLen(): i32 {
  return stringSize
}

/** Length of the UTF-8 character at `p`; 0 where it is none, or a control character (RFC 3629 4). */
function characterSize(p: i32, first: u32): i32 {
  if (first < 0x80) return first < 0x20 ? 0 : 1
  if (first - 0xc2 < 0x1e) return continues(p, 1) ? 2 : 0
  const second: u32 = p + 1 < end ? load<u8>(p + 1) : 0
  if (first >> 4 == 0xe) {
    if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second >= 0xa0)) return 0
    return continues(p, 2) ? 3 : 0
  }
  if (first - 0xf0 >= 5) return 0
  if ((first == 0xf0 && second < 0x90) || (first == 0xf4 && second >= 0x90)) return 0
  return continues(p, 3) ? 4 : 0
}

function continues(p: i32, count: i32): bool {
  if (end - p <= count) return false
  for (let i = 1; i <= count; i++) if ((load<u8>(p + i) & 0xc0) != 0x80) return false
  return true
}

/** Reads what follows a backslash and writes it; gives the address after it, 0 where it is no escape. */
function readEscape(p: i32, to: i32): i32 {
  if (p >= end) return 0
  const byte: u32 = load<u8>(p++)
  if (byte == 0x75) return readUnicode(p, to)
  let meant = byte
  if (byte == 0x6e) meant = 0x0a
  else if (byte == 0x72) meant = 0x0d
  else if (byte == 0x74) meant = 0x09
  else if (byte == 0x62) meant = 0x08
  else if (byte == 0x66) meant = 0x0c
  else if (byte != QUOTE && byte != BACKSLASH && byte != 0x2f) return 0
  store<u8>(to, meant as u8)
  escaped = to + 1
  return p
}

function readUnicode(p: i32, to: i32): i32 {
  let code = codeUnit(p)
  p += 4
  if (code > 0xffff || code >> 10 == 0x37) return 0
  if (code >> 10 == 0x36) {
    if (end - p < 6 || load<u16>(p) != 0x755c) return 0
    const low = codeUnit(p + 2)
    if (low >> 10 != 0x37) return 0
    code = 0x10000 + ((code & 0x3ff) << 10) + (low & 0x3ff)
    p += 6
  }
  writeCharacter(code, to)
  return p
}

/** The four hexadecimal digits at `p`; above 0xffff where they are none. */
function codeUnit(p: i32): u32 {
  if (end - p < 4) return 0x10000
  let code: u32 = 0
  for (let i = 0; i < 4; i++) {
    const digit = hexValue(load<u8>(p + i))
    if (digit > 15) return 0x10000
    code = (code << 4) | digit
  }
  return code
}

function writeCharacter(code: u32, to: i32): void {
  if (code < 0x80) {
    store<u8>(to++, code as u8)
  } else {
    if (code < 0x800) store<u8>(to++, (0xc0 | (code >> 6)) as u8)
    else {
      if (code < 0x10000) store<u8>(to++, (0xe0 | (code >> 12)) as u8)
      else {
        store<u8>(to++, (0xf0 | (code >> 18)) as u8)
        store<u8>(to++, (0x80 | ((code >> 12) & 0x3f)) as u8)
      }
      store<u8>(to++, (0x80 | ((code >> 6) & 0x3f)) as u8)
    }
    store<u8>(to++, (0x80 | (code & 0x3f)) as u8)
  }
  escaped = to
}
