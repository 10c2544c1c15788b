// What policies decide about the fields of the response while they judge the request. The operations travel in the context,
// and the response phase applies them to the upstream's head and to the mesh's own replies alike.
// In the context, for each: u8 RESPOND_*, u8 length of the name, u16 length of the value, the name in lower case, the value.

import { equalBytes, hashBytesLower } from './bytes.ts'
import { FRAMING, HOP_BY_HOP, isIn, setOf } from './field-classes.ts'
import { idOfName } from './field-table.ts'
import { addField, removeFields } from './fields.ts'
import { FIELD_INTERNAL, FIELD_TRAILER, FIELD_X_REQUEST_ID } from './layout/fields.ts'
import { outByte, outBytes, outPosition, outReserve, outText } from './writer.ts'

const RESPOND_SET: i32 = 1
const RESPOND_ADD: i32 = 2
const RESPOND_REMOVE: i32 = 3
const HEADER: i32 = 4
/** Noted operations are chained in the output: u32 next, then as in the context. */
const LINK: i32 = 4

let first: i32 = 0
let last: i32 = 0

let operations: i32 = 0
let operationsEnd: i32 = 0

/** Forgets what an earlier run of this phase noted. */
export function forgetResponseFields(): void {
  first = 0
  last = 0
}

/** The response will have that field once, with that value. Names are at most 255, values at most 65,535 bytes long. */
export function respondWithSet(namePtr: i32, nameLen: i32, valuePtr: i32, valueLen: i32): void {
  note(RESPOND_SET, namePtr, nameLen, valuePtr, valueLen)
}

/** The response will have one more field of that name. */
export function respondWithAdd(namePtr: i32, nameLen: i32, valuePtr: i32, valueLen: i32): void {
  note(RESPOND_ADD, namePtr, nameLen, valuePtr, valueLen)
}

/** The response will have no field of that name. */
export function respondWithout(namePtr: i32, nameLen: i32): void {
  note(RESPOND_REMOVE, namePtr, nameLen, 0, 0)
}

/** Appends the operations to the context that is being written. */
export function outResponseFields(): void {
  const lengthAt = outPosition()
  if (!outReserve(2)) return
  const start = outPosition()
  for (let link = first; link != 0; link = load<i32>(link)) {
    const at = link + LINK
    outBytes(at, HEADER + (load<u8>(at + 1) as i32) + (load<u16>(at + 2) as i32))
  }
  const size = outPosition() - start
  if (size > 0xffff) unreachable()
  store<u16>(lengthAt, size as u16)
}

/** Takes the operations from the context; gives the address after them, or 0 where they are cut off. */
export function takeResponseFields(start: i32, end: i32): i32 {
  operations = 0
  operationsEnd = 0
  if (end - start < 2) return 0
  const size: i32 = load<u16>(start)
  if (end - start - 2 < size) return 0
  operations = start + 2
  operationsEnd = operations + size
  return operationsEnd
}

/** Applies the operations to the field table of an upstream's head; false where the table is full. */
export function applyResponseFields(): bool {
  for (let at = operations; at < operationsEnd; at = next(at)) {
    const kind: i32 = load<u8>(at)
    if (kind != RESPOND_ADD) removeFields(namePtr(at), nameLen(at))
    if (kind == RESPOND_REMOVE) continue
    if (!addField(namePtr(at), nameLen(at), valuePtr(at), valueLen(at))) return false
  }
  return true
}

/** Writes the lines that the operations add to a reply of the mesh's own. */
export function outAddedLines(): void {
  for (let at = operations; at < operationsEnd; at = next(at)) {
    if (load<u8>(at) == RESPOND_REMOVE || isUndone(at)) continue
    outBytes(namePtr(at), nameLen(at))
    outText(': ')
    outBytes(valuePtr(at), valueLen(at))
    outText('\r\n')
  }
}

/** Whether a later operation takes away what this one adds. */
function isUndone(operation: i32): bool {
  for (let at = next(operation); at < operationsEnd; at = next(at)) {
    if (load<u8>(at) == RESPOND_ADD) continue
    if (equalBytes(namePtr(at), nameLen(at), namePtr(operation), nameLen(operation))) return true
  }
  return false
}

/** Whether the operations set or remove the field, so that the mesh's own reply does not have it by itself; the name in lower case. */
export function responseFieldIsReplaced(name: string): bool {
  const size = name.length
  const text = changetype<i32>(name)
  for (let at = operations; at < operationsEnd; at = next(at)) {
    if (load<u8>(at) == RESPOND_ADD || nameLen(at) != size) continue
    let i = 0
    while (i < size && load<u8>(namePtr(at) + i) == (load<u16>(text + (i << 1)) as u8)) i++
    if (i == size) return true
  }
  return false
}

function note(kind: i32, namePtr: i32, nameLen: i32, valuePtr: i32, valueLen: i32): void {
  // Framing and what stands between neighbours are the mesh's own business, whoever asks.
  if (nameLen < 1 || nameLen > 255 || valueLen > 0xffff) unreachable()
  if (isIn(untouched(), idOfName(namePtr, nameLen, hashBytesLower(namePtr, nameLen)))) return
  outAlign()
  const link = outPosition()
  if (!outReserve(LINK + HEADER)) return
  store<i32>(link, 0)
  store<u8>(link + LINK, kind as u8)
  store<u8>(link + LINK + 1, nameLen as u8)
  store<u16>(link + LINK + 2, valueLen as u16)
  for (let i = 0; i < nameLen; i++) outByte(lower(load<u8>(namePtr + i)))
  outBytes(valuePtr, valueLen)
  if (last == 0) first = link
  else store<i32>(last, link)
  last = link
}

// A function, since a constant made by calls would need a start function.
function untouched(): u64 {
  return HOP_BY_HOP | FRAMING | setOf(FIELD_INTERNAL) | setOf(FIELD_X_REQUEST_ID) | setOf(FIELD_TRAILER)
}

function outAlign(): void {
  outReserve(-outPosition() & 3)
}

function lower(byte: u32): u32 {
  return byte - 0x41 < 26 ? byte | 0x20 : byte
}

function next(at: i32): i32 {
  return valuePtr(at) + valueLen(at)
}

function namePtr(at: i32): i32 {
  return at + HEADER
}

function nameLen(at: i32): i32 {
  return load<u8>(at + 1)
}

function valuePtr(at: i32): i32 {
  return at + HEADER + nameLen(at)
}

function valueLen(at: i32): i32 {
  return load<u16>(at + 2)
}
