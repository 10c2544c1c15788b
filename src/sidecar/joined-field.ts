// A field's whole value: repeated fields are one list (RFC 9110 5.3), joined by commas as Envoy does, cookies by "; ".
// Only what is forwarded counts: a field that the sidecar drops is not there for a policy either.

import { isIn, TRACE } from './field-classes.ts'
import { fieldDropped } from './fields.ts'
import {
  fieldId,
  fieldValueLen,
  fieldValuePtr,
  findField,
  nextField,
  outBytes,
  outPosition,
  outText,
} from './message.ts'

let value: i32 = 0
let valueSize: i32 = 0
let joinedFirst: i32 = -1

/** Forgets what was joined in an earlier call, whose output is gone. */
export function forgetJoined(): void {
  joinedFirst = -1
}

/** Finds the field; false where the request has none. Its value is at joinedPtr. */
export function joinField(namePtr: i32, nameLen: i32, hash: u32, cookie: bool): bool {
  const first = visibleFrom(findField(namePtr, nameLen, hash))
  if (first < 0) return false
  let field = visibleFrom(nextField(first))
  if (field < 0) {
    value = fieldValuePtr(first)
    valueSize = fieldValueLen(first)
    joinedFirst = -1
    return true
  }
  // The joined value was written by the condition before this one.
  if (first == joinedFirst) return true
  value = outPosition()
  outBytes(fieldValuePtr(first), fieldValueLen(first))
  while (field >= 0) {
    outText(cookie ? '; ' : ',')
    outBytes(fieldValuePtr(field), fieldValueLen(field))
    field = visibleFrom(nextField(field))
  }
  valueSize = outPosition() - value
  joinedFirst = first
  return true
}

/** The field itself or the next one of its name that counts; trace fields do as received, though new ones are sent. */
function visibleFrom(field: i32): i32 {
  while (field >= 0 && fieldDropped(field) && !isIn(TRACE, fieldId(field))) field = nextField(field)
  return field
}

export function joinedPtr(): i32 {
  return value
}

export function joinedLen(): i32 {
  return valueSize
}
