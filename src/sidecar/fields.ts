// The field table of the head that the phase judges: filled by field-section.ts, read by every policy.

import { equalIgnoreCase, hashBytesLower, SP } from './bytes.ts'
import { idOfName } from './field-table.ts'
import { ADDED_FIELDS, MAX_FIELDS, POLICY_FIELDS } from './layout/record.ts'
import { SCRATCH_FIELDS, SCRATCH_FIRST } from './layout/scratch.ts'
import { outBytes, outPosition, outReserve, outText } from './writer.ts'

const ENTRY_SIZE: i32 = 28
const NAME_PTR: usize = 0
const NAME_LEN: usize = 4
const VALUE_PTR: usize = 8
const VALUE_LEN: usize = 12
const HASH: usize = 16
const ID: usize = 20
const DROPPED: usize = 21
const REMOVED: usize = 22
const LINE_END: usize = 24

let count: i32 = 0
/** How many were received; those after them were added by policies. */
let received: i32 = 0
let changed: bool = false

function entry(i: i32): i32 {
  return SCRATCH_FIELDS + i * ENTRY_SIZE
}

export function fieldCount(): i32 {
  return count
}

export function fieldNamePtr(i: i32): i32 {
  return load<i32>(entry(i), NAME_PTR)
}

export function fieldNameLen(i: i32): i32 {
  return load<i32>(entry(i), NAME_LEN)
}

/** The value without the white space around it. */
export function fieldValuePtr(i: i32): i32 {
  return load<i32>(entry(i), VALUE_PTR)
}

export function fieldValueLen(i: i32): i32 {
  return load<i32>(entry(i), VALUE_LEN)
}

/** FNV-1a of the lower-cased name. */
export function fieldHash(i: i32): u32 {
  return load<u32>(entry(i), HASH)
}

/** The FIELD_* id of the name, 0 where the sidecar does not interpret it. */
export function fieldId(i: i32): i32 {
  return load<u8>(entry(i), ID)
}

/** Address after the line's CRLF; the line starts at fieldNamePtr. */
export function fieldLineEnd(i: i32): i32 {
  return load<i32>(entry(i), LINE_END)
}

/** Whether the field is not sent onwards as it came. */
export function fieldDropped(i: i32): bool {
  return load<u8>(entry(i), DROPPED) != 0
}

/** Whether a policy has taken the field away. */
export function fieldRemoved(i: i32): bool {
  return load<u8>(entry(i), REMOVED) != 0
}

export function dropField(i: i32): void {
  store<u8>(entry(i), 1, DROPPED)
}

/** Index of the first field of that name, -1 where there is none; `hash` is FNV-1a of the lower-cased name. */
export function findField(namePtr: i32, nameLen: i32, hash: u32): i32 {
  return findFrom(0, namePtr, nameLen, hash)
}

/** Index of the next field with the same name as field `i`, or -1. */
export function nextField(i: i32): i32 {
  return findFrom(i + 1, fieldNamePtr(i), fieldNameLen(i), fieldHash(i))
}

/** Index of the first field with that FIELD_* id, or -1. */
export function findFieldById(id: i32): i32 {
  return (load<u8>(SCRATCH_FIRST + id) as i32) - 1
}

function findFrom(first: i32, namePtr: i32, nameLen: i32, hash: u32): i32 {
  for (let i = first; i < count; i++) {
    if (fieldHash(i) != hash || fieldRemoved(i)) continue
    if (equalIgnoreCase(fieldNamePtr(i), fieldNameLen(i), namePtr, nameLen)) return i
  }
  return -1
}

export function clearFields(): void {
  count = 0
  memory.fill(SCRATCH_FIRST, 0, 64)
}

/** Notes that the table holds what was received. */
export function sealFields(): void {
  received = count
  changed = false
}

/** Brings the table back to what was received, without what an earlier run of the phase changed. */
export function restoreFields(): void {
  if (!changed) return
  count = received
  memory.fill(SCRATCH_FIRST, 0, 64)
  for (let i = count - 1; i >= 0; i--) {
    store<u8>(entry(i), 0, REMOVED)
    if (fieldId(i) != 0) store<u8>(SCRATCH_FIRST + fieldId(i), (i + 1) as u8)
  }
  changed = false
}

/** Takes field `i` away: no policy after this and no function sees it. */
export function removeField(i: i32): void {
  changed = true
  store<u8>(entry(i), 1, REMOVED)
  const id = fieldId(i)
  if (id == 0 || findFieldById(id) != i) return
  let next = i + 1
  while (next < count && (fieldId(next) != id || fieldRemoved(next))) next++
  store<u8>(SCRATCH_FIRST + id, (next < count ? next + 1 : 0) as u8)
}

/** Takes all fields of that name away. */
export function removeFields(namePtr: i32, nameLen: i32): void {
  const hash = hashBytesLower(namePtr, nameLen)
  for (let i = findFrom(0, namePtr, nameLen, hash); i >= 0; i = findFrom(i + 1, namePtr, nameLen, hash))
    removeField(i)
}

/**
 * Adds a field as if it had been received behind the others; name and value are copied and must be acceptable ones. False where no
 * more can be added: then the request cannot be judged as its policies say.
 */
export function addField(namePtr: i32, nameLen: i32, valuePtr: i32, valueLen: i32): bool {
  if (count >= received + POLICY_FIELDS || count >= MAX_FIELDS + ADDED_FIELDS + POLICY_FIELDS) return false
  const line = outPosition()
  if (!outReserve(nameLen + valueLen + 4)) return false
  const value = line + nameLen + 2
  memory.copy(line, namePtr, nameLen)
  store<u16>(line + nameLen, 0x203a)
  memory.copy(value, valuePtr, valueLen)
  store<u16>(value + valueLen, 0x0a0d)
  changed = true
  const hash = hashBytesLower(line, nameLen)
  takeField(line, nameLen, value, valueLen, outPosition(), hash, idOfName(line, nameLen, hash), false)
  return true
}

/** The head has that field once, with that value. */
export function setField(namePtr: i32, nameLen: i32, valuePtr: i32, valueLen: i32): bool {
  removeFields(namePtr, nameLen)
  return addField(namePtr, nameLen, valuePtr, valueLen)
}

/** Notes a field that was received; the caller sees to it that the table's MAX_FIELDS + ADDED_FIELDS suffice. */
export function takeField(
  namePtr: i32,
  nameLen: i32,
  valuePtr: i32,
  valueLen: i32,
  lineEnd: i32,
  hash: u32,
  id: i32,
  dropped: bool,
): void {
  const at = entry(count)
  store<i32>(at, namePtr, NAME_PTR)
  store<i32>(at, nameLen, NAME_LEN)
  store<i32>(at, valuePtr, VALUE_PTR)
  store<i32>(at, valueLen, VALUE_LEN)
  store<u32>(at, hash, HASH)
  store<u32>(at, id | ((dropped as i32) << 8), ID)
  store<i32>(at, lineEnd, LINE_END)
  count++
  if (id != 0 && load<u8>(SCRATCH_FIRST + id) == 0) store<u8>(SCRATCH_FIRST + id, count as u8)
}

/** Writes the lines of all fields but the dropped ones and those whose FIELD_* id is in the set, as they came but for white space around values. */
export function outFieldLines(without: u64): void {
  // Lines that follow each other in the received head are copied at once.
  let start = 0
  let end = 0
  for (let i = 0; i < count; i++) {
    if (((without >> fieldId(i)) & 1) != 0 || fieldDropped(i) || fieldRemoved(i)) continue
    const line = fieldNamePtr(i)
    if (line != end) {
      if (end != start) outBytes(start, end - start)
      start = line
    }
    end = fieldLineEnd(i)
    if (isPlain(i)) continue
    if (line != start) outBytes(start, line - start)
    outPlainLine(i)
    start = end
  }
  if (end != start) outBytes(start, end - start)
}

/** Whether there is no white space around the value but one space before it: some servers take the rest for the value's. */
function isPlain(i: i32): bool {
  const value = fieldValuePtr(i)
  const blanks = value - fieldNamePtr(i) - fieldNameLen(i) - 1
  if (blanks > 1 || (blanks == 1 && load<u8>(value - 1) != SP)) return false
  return value + fieldValueLen(i) + 2 == fieldLineEnd(i)
}

function outPlainLine(i: i32): void {
  outBytes(fieldNamePtr(i), fieldNameLen(i))
  outText(': ')
  outBytes(fieldValuePtr(i), fieldValueLen(i))
  outText('\r\n')
}
