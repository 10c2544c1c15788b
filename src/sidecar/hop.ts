// Heads that another node's engine has written: it judged the client's side of the call, set the mesh's own fields, and
// chose the instance.

import { isText } from './bytes.ts'
import { FIELD_INTERNAL } from './layout/fields.ts'
import {
  DIRECTION_INGRESS,
  IN_FLAG_FORWARDED,
  IN_FLAGS,
  OUT_INSTANCE_LEN,
  OUT_INSTANCE_PTR,
} from './layout/record.ts'
import {
  direction,
  fieldCount,
  fieldId,
  fieldNameLen,
  fieldNamePtr,
  fieldValueLen,
  fieldValuePtr,
  inU32,
  outBytes,
  outText,
  outU32,
} from './message.ts'

export function isForwarded(): bool {
  return (inU32(IN_FLAGS) & IN_FLAG_FORWARDED) != 0
}

/** Whether the head comes from a client outside the mesh itself: then fields of the mesh's own are not believed. */
export function isFromOutside(): bool {
  return direction() == DIRECTION_INGRESS && !isForwarded()
}

/** Says which instance the sender chose; of two that are named none counts. */
export function outInstance(): void {
  const field = findInternal('x-mayfly-instance')
  if (field < 0) return
  outU32(OUT_INSTANCE_PTR, fieldValuePtr(field))
  outU32(OUT_INSTANCE_LEN, fieldValueLen(field))
}

/** Passes on which attempt of the sender's this is, as Envoy says it. */
export function outAttemptCount(): void {
  const field = findInternal('x-envoy-attempt-count')
  if (field < 0) return
  outText('x-envoy-attempt-count: ')
  outBytes(fieldValuePtr(field), fieldValueLen(field))
  outText('\r\n')
}

/** Whether a response says that the instance was not reached; only another engine may say so. */
export function isUndelivered(): bool {
  return findInternal('x-mayfly-undelivered') >= 0
}

/** Index of the only field of that name, -1 where there is none or more than one. */
export function findInternal(name: string): i32 {
  let found = -1
  for (let i = 0; i < fieldCount(); i++) {
    if (fieldId(i) != FIELD_INTERNAL || !isText(fieldNamePtr(i), fieldNameLen(i), name)) continue
    if (found >= 0) return -1
    found = i
  }
  return found
}
