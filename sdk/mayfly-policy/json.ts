// Reading the configuration, which the mesh has written as valid JSON without blanks. A value is the bytes of its JSON text.

import { absent, Bytes } from './bytes'

// Values that were read are noted here, one after the other: a value holds until SLOTS more have been read.
const SLOTS: i32 = 128
const VALUES = memory.data(1024, 8)
const NAME = memory.data(8, 8)
let used: i32 = 0

/** The member of an object; absent where it has none, or is no object. Names with escapes are not found. */
export function member(object: Bytes, name: string): Bytes {
  if (object.at(0) != 0x7b) return absent()
  const stop = object.ptr + object.length
  let at = object.ptr + 1
  while (at < stop && load<u8>(at) == 0x22) {
    const nameEnd = skip(at, stop)
    const value = nameEnd + 1
    const end = skip(value, stop)
    if (nameAt(at, nameEnd).equals(name)) return bytes(value, end - value)
    at = end + 1
  }
  return absent()
}

/** The member whose name the bytes are. */
export function memberNamed(object: Bytes, name: Bytes): Bytes {
  if (object.at(0) != 0x7b) return absent()
  const stop = object.ptr + object.length
  let at = object.ptr + 1
  while (at < stop && load<u8>(at) == 0x22) {
    const nameEnd = skip(at, stop)
    const value = nameEnd + 1
    const end = skip(value, stop)
    if (nameAt(at, nameEnd).equalsBytes(name)) return bytes(value, end - value)
    at = end + 1
  }
  return absent()
}

/** The `index`-th element of a list; absent behind its end. */
export function element(list: Bytes, index: i32): Bytes {
  if (list.at(0) != 0x5b || list.length == 2) return absent()
  const stop = list.ptr + list.length
  let at = list.ptr + 1
  while (at < stop) {
    const end = skip(at, stop)
    if (index-- == 0) return bytes(at, end - at)
    at = end + 1
  }
  return absent()
}

/** The text of a string; absent for another value, and for a string with escapes. */
export function text(value: Bytes): Bytes {
  if (value.at(0) != 0x22) return absent()
  for (let i = 1; i < value.length - 1; i++) if (value.at(i) == 0x5c) return absent()
  return bytes(value.ptr + 1, value.length - 2)
}

/** A whole number; `otherwise` for any other value. */
export function integer(value: Bytes, otherwise: i64): i64 {
  if (!value.exists || value.length == 0 || value.length > 18) return otherwise
  const negative = value.at(0) == 0x2d
  let result: i64 = 0
  for (let i: i32 = negative ? 1 : 0; i < value.length; i++) {
    const digit = (value.at(i) as u32) - 0x30
    if (digit > 9) return otherwise
    result = result * 10 + digit
  }
  return negative ? -result : result
}

/** Whether the value is `true`. */
export function isTrue(value: Bytes): bool {
  return value.equals('true')
}

/** Where a value that starts at `at` ends. */
function skip(at: i32, stop: i32): i32 {
  let depth = 0
  let quoted = false
  for (; at < stop; at++) {
    const byte = load<u8>(at)
    if (quoted) {
      if (byte == 0x5c) at++
      else if (byte == 0x22) {
        quoted = false
        if (depth == 0) return at + 1
      }
    } else if (byte == 0x22) quoted = true
    else if (byte == 0x7b || byte == 0x5b) depth++
    else if (byte == 0x7d || byte == 0x5d) {
      if (depth == 0) return at
      if (--depth == 0) return at + 1
    } else if (depth == 0 && (byte == 0x2c || byte == 0x3a)) return at
  }
  return at
}

/** The name between its quotes; only for a look. */
function nameAt(start: i32, end: i32): Bytes {
  store<i32>(NAME, start + 1)
  store<i32>(NAME, end - start - 2, 4)
  return changetype<Bytes>(NAME)
}

function bytes(ptr: i32, length: i32): Bytes {
  const slot = VALUES + ((used++ % SLOTS) << 3)
  store<i32>(slot, ptr)
  store<i32>(slot, length, 4)
  return changetype<Bytes>(slot)
}
