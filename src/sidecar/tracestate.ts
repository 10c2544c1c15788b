// The `tracestate` field of W3C Trace Context, section 3.3: a list of members `key=value`, kept or dropped as a whole.

import { equalBytes, hashBytes } from './bytes.ts'
import { FIELD_TRACESTATE } from './layout/fields.ts'
import {
  fieldValueLen,
  fieldValuePtr,
  findFieldById,
  nextField,
  outByte,
  outBytes,
  outText,
} from './message.ts'
import { TRACE_MEMBERS } from './trace-ids.ts'

const MAX_MEMBERS: i32 = 32
/** What is propagated at least (3.3.1.5); beyond it, members go: first long ones, then the last ones. */
const MAX_LEN: i32 = 512
const LONG_MEMBER: i32 = 128
const MAX_KEY: i32 = 256
const MAX_TENANT: i32 = 241
const MAX_SYSTEM: i32 = 14
const MAX_VALUE: i32 = 256

// A member in TRACE_MEMBERS: u32 address, u32 length (0: dropped), u32 length of its key, u32 hash of its key.
const MEMBER_SHIFT: i32 = 4

const COMMA: i32 = 0x2c
const EQUALS: i32 = 0x3d
const AT: i32 = 0x40

let count: i32 = 0
/** Length of the whole field's value. */
let total: i32 = 0

/** Reads the members of all `tracestate` fields; where one of them is invalid there are none. */
export function readTracestate(): void {
  count = 0
  total = 0
  for (let i = findFieldById(FIELD_TRACESTATE); i >= 0; i = nextField(i)) {
    if (!readMembers(fieldValuePtr(i), fieldValueLen(i))) {
      count = 0
      return
    }
  }
  if (count > 0) total += count - 1
  if (total > MAX_LEN) shorten()
}

export function clearTracestate(): void {
  count = 0
}

export function writeTracestate(): void {
  // Even a lone member may be too long.
  if (count == 0 || total < 0) return
  outText('tracestate: ')
  let written = false
  for (let i = 0; i < count; i++) {
    if (memberLen(i) == 0) continue
    if (written) outByte(COMMA)
    outBytes(load<i32>(member(i)), memberLen(i))
    written = true
  }
  outText('\r\n')
}

function readMembers(ptr: i32, len: i32): bool {
  const end = ptr + len
  while (ptr < end) {
    let next = ptr
    while (next < end && load<u8>(next) != COMMA) next++
    let last = next
    while (ptr < last && isSpace(load<u8>(ptr))) ptr++
    while (last > ptr && isSpace(load<u8>(last - 1))) last--
    // Empty members are allowed (3.3.1.1).
    if (last > ptr && !addMember(ptr, last - ptr)) return false
    ptr = next + 1
  }
  return true
}

function addMember(ptr: i32, len: i32): bool {
  let keyLen = 0
  while (keyLen < len && load<u8>(ptr + keyLen) != EQUALS) keyLen++
  if (keyLen == len || count >= MAX_MEMBERS) return false
  if (!isKey(ptr, keyLen) || !isValue(ptr + keyLen + 1, len - keyLen - 1)) return false
  const hash = hashBytes(ptr, keyLen)
  for (let i = 0; i < count; i++) {
    const other = member(i)
    if (load<u32>(other, 12) == hash && equalBytes(load<i32>(other), load<i32>(other, 8), ptr, keyLen))
      return false
  }
  const at = member(count++)
  store<i32>(at, ptr)
  store<i32>(at, len, 4)
  store<i32>(at, keyLen, 8)
  store<u32>(at, hash, 12)
  total += len
  return true
}

function shorten(): void {
  for (let i = count - 1; i >= 0 && total > MAX_LEN; i--) if (memberLen(i) > LONG_MEMBER) dropMember(i)
  for (let i = count - 1; i >= 0 && total > MAX_LEN; i--) if (memberLen(i) > 0) dropMember(i)
}

function dropMember(i: i32): void {
  total -= memberLen(i) + 1
  store<i32>(member(i), 0, 4)
}

function member(i: i32): i32 {
  return TRACE_MEMBERS + (i << MEMBER_SHIFT)
}

function memberLen(i: i32): i32 {
  return load<i32>(member(i), 4)
}

function isKey(ptr: i32, len: i32): bool {
  let at = 0
  while (at < len && load<u8>(ptr + at) != AT) at++
  if (at == len) return len <= MAX_KEY && isKeyPart(ptr, len, false)
  return (
    at <= MAX_TENANT &&
    isKeyPart(ptr, at, true) &&
    len - at - 1 <= MAX_SYSTEM &&
    isKeyPart(ptr + at + 1, len - at - 1, false)
  )
}

function isKeyPart(ptr: i32, len: i32, digitFirst: bool): bool {
  if (len == 0) return false
  const first: i32 = load<u8>(ptr)
  if (!isLowerLetter(first) && !(digitFirst && isDigit(first))) return false
  for (let i = 1; i < len; i++) {
    const byte: i32 = load<u8>(ptr + i)
    if (
      !isLowerLetter(byte) &&
      !isDigit(byte) &&
      byte != 0x5f &&
      byte != 0x2d &&
      byte != 0x2a &&
      byte != 0x2f
    )
      return false
  }
  return true
}

/** The value's outer white space is gone already, so it cannot end with a space. */
function isValue(ptr: i32, len: i32): bool {
  if (len == 0 || len > MAX_VALUE) return false
  for (let i = 0; i < len; i++) {
    const byte: i32 = load<u8>(ptr + i)
    if (byte < 0x20 || byte > 0x7e || byte == EQUALS) return false
  }
  return true
}

function isLowerLetter(byte: i32): bool {
  return byte >= 0x61 && byte <= 0x7a
}

function isDigit(byte: i32): bool {
  return byte >= 0x30 && byte <= 0x39
}

function isSpace(byte: i32): bool {
  return byte == 0x20 || byte == 0x09
}
