// Values in a log line, escaped so that no byte of a request can end the line, leave its quotes or forge a field.
//
// Text: as nginx does, `"`, `\` and every byte that is not printable ASCII become \xHH (two upper-case digits).
// JSON: `"` and `\` get a backslash, control characters (DEL and U+0080 to U+009F too) become \u00HH, the separators of lines and
// paragraphs \u2028 and \u2029; what else is UTF-8 stays;
// a byte that is not part of valid UTF-8 becomes \u00HH as if it were ISO 8859-1, so that a line is always valid UTF-8.

import { FORM_JSON_VALUE, FORM_TEXT, MAX_LOGGED_VALUE } from './layout/access-log.ts'
import { outByte, outBytes, outDecimal, outPosition, outReserve, outRoom, outText } from './message.ts'

const QUOTE: u32 = 0x22
const BACKSLASH: u32 = 0x5c

const ONES: u64 = 0x0101010101010101
const HIGH_BITS: u64 = 0x8080808080808080

/** Room that no value takes, so that a huge value is cut before the line's own text fails to fit. */
const KEPT_ROOM: i32 = 2048
/** The most bytes that one byte becomes: \u00HH. */
const MOST_ESCAPED: i32 = 6

/** So many bytes may be escaped in a phase, since each takes fuel; values are cut at the next one. */
const MAX_ESCAPES: i32 = 8192

/** What may still be written of the value, in bytes before escaping. */
let left: i32 = 0
let escapes: i32 = 0

/** Starts a value of text of which at most `limit` bytes are written. */
export function beginValue(form: i32, limit: i32): void {
  left = min(limit, MAX_LOGGED_VALUE)
  if (form == FORM_JSON_VALUE) outByte(QUOTE)
}

export function endValue(form: i32): void {
  if (form == FORM_JSON_VALUE) outByte(QUOTE)
}

/** Writes bytes of the value that was begun. */
export function outEscaped(form: i32, ptr: i32, len: i32): void {
  let taken = min(len, left)
  const room = outRoom() - KEPT_ROOM
  if (taken * MOST_ESCAPED > room) taken = max(room, 0) / MOST_ESCAPED
  left -= taken
  const end = ptr + taken
  while (ptr < end) {
    const plain = plainLen(ptr, end)
    outBytes(ptr, plain)
    ptr += plain
    if (ptr < end && ++escapes > MAX_ESCAPES) {
      left = 0
      return
    }
    if (ptr < end) ptr = form == FORM_TEXT ? escapeText(ptr) : escapeJson(ptr, end)
  }
}

/** Writes ASCII text of ours as bytes of the value that was begun; none of them needs escaping. */
export function outOwn(text: string): void {
  const len = min(text.length, left)
  left -= len
  if (len == text.length) outText(text)
}

/** The whole value is these bytes. */
export function outValue(form: i32, limit: i32, ptr: i32, len: i32): void {
  if (len <= limit && len + KEPT_ROOM <= outRoom() && outPlain(form, ptr, len)) return
  beginValue(form, limit)
  outEscaped(form, ptr, len)
  endValue(form)
}

/** The whole value is this number: a JSON number where it is a whole JSON value. */
export function outNumber(value: u32): void {
  outDecimal(value)
}

export function outAbsent(form: i32): void {
  if (form == FORM_JSON_VALUE) outText('null')
  else outByte(0x2d)
}

/** Writes a value of which no byte needs escaping, as nearly all are; false, and nothing is written, where one does. */
function outPlain(form: i32, ptr: i32, len: i32): bool {
  const quotes = form == FORM_JSON_VALUE ? 1 : 0
  const start = outPosition()
  const to = start + quotes
  let i = 0
  for (; i + 8 <= len; i += 8) {
    const word = load<u64>(ptr + i)
    if (needsEscape(word)) return false
    store<u64>(to + i, word)
  }
  for (; i < len; i++) {
    const byte: u32 = load<u8>(ptr + i)
    if (!isPlain(byte)) return false
    store<u8>(to + i, byte as u8)
  }
  if (quotes != 0) {
    store<u8>(start, QUOTE as u8)
    store<u8>(to + len, QUOTE as u8)
  }
  return outReserve(len + 2 * quotes)
}

/** How many bytes from `ptr` on need no escaping in any form. */
function plainLen(ptr: i32, end: i32): i32 {
  let p = ptr
  while (p + 8 <= end && !needsEscape(load<u64>(p))) p += 8
  while (p < end && isPlain(load<u8>(p))) p++
  return p - ptr
}

/** Whether any of eight bytes is no printable ASCII, a quote or a backslash. */
function needsEscape(word: u64): bool {
  const atLeastSpace = word + 0x60 * ONES
  const del = word + ONES
  const quotes =
    ((word ^ ((QUOTE as u64) * ONES)) + 0x7f * ONES) & ((word ^ ((BACKSLASH as u64) * ONES)) + 0x7f * ONES)
  return ((word | del | ~atLeastSpace | ~quotes) & HIGH_BITS) != 0
}

function isPlain(byte: u32): bool {
  return byte - 0x20 < 0x5f && byte != QUOTE && byte != BACKSLASH
}

function escapeText(ptr: i32): i32 {
  const byte: u32 = load<u8>(ptr)
  outByte(BACKSLASH)
  outByte(0x78)
  outByte(upperDigit(byte >> 4))
  outByte(upperDigit(byte & 15))
  return ptr + 1
}

/** Writes one character and gives the address after it. */
function escapeJson(ptr: i32, end: i32): i32 {
  const byte: u32 = load<u8>(ptr)
  if (byte == QUOTE || byte == BACKSLASH) {
    outByte(BACKSLASH)
    outByte(byte)
    return ptr + 1
  }
  const len = byte < 0x80 ? 0 : utf8Len(ptr, end)
  if (len == 2 && byte == 0xc2 && load<u8>(ptr, 1) < 0xa0) {
    outUnicode(load<u8>(ptr, 1))
    return ptr + 2
  }
  if (len > 0) {
    if (len == 3 && isSeparator(ptr)) outText(load<u8>(ptr, 2) == 0xa8 ? '\\u2028' : '\\u2029')
    else outBytes(ptr, len)
    return ptr + len
  }
  outUnicode(byte)
  return ptr + 1
}

/** U+2028 or U+2029, which Node's readline and others take for the end of a line. */
function isSeparator(ptr: i32): bool {
  return load<u16>(ptr) == 0x80e2 && (load<u8>(ptr, 2) | 1) == 0xa9
}

function outUnicode(byte: u32): void {
  const start = outPosition()
  if (!outReserve(6)) return
  store<u32>(start, 0x3030755c)
  store<u8>(start + 4, lowerDigit(byte >> 4) as u8)
  store<u8>(start + 5, lowerDigit(byte & 15) as u8)
}

/** Length of the well-formed UTF-8 sequence (Unicode 3.9, table 3-7) of at least two bytes at `ptr`, 0 where there is none. */
function utf8Len(ptr: i32, end: i32): i32 {
  const first: u32 = load<u8>(ptr)
  const len = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0
  if (len == 0 || end - ptr < len) return 0
  const second: u32 = load<u8>(ptr, 1)
  const least: u32 = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80
  const most: u32 = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf
  if (second < least || second > most) return 0
  for (let i = 2; i < len; i++) if ((load<u8>(ptr + i) & 0xc0) != 0x80) return 0
  return len
}

function upperDigit(value: u32): u32 {
  return value < 10 ? 0x30 + value : 0x37 + value
}

function lowerDigit(value: u32): u32 {
  return value < 10 ? 0x30 + value : 0x57 + value
}
