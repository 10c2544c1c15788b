// The operations of a route on fields (layout/routes.ts).

import {
  OPERATION_ADD,
  OPERATION_AUTHORITY,
  OPERATION_KIND,
  OPERATION_LENGTH,
  OPERATION_NAME,
  OPERATION_SET,
  OPERATION_VALUE,
  OPERATIONS_COUNT,
  OPERATIONS_FIRST,
} from './layout/routes.ts'
import { addField, removeFields, setField } from './message.ts'
import { respondWithAdd, respondWithout, respondWithSet } from './response-fields.ts'
import { rewriteAuthority } from './route-rewrite.ts'

/** Changes the request's fields; 0 is no operations. False where there is no room for more fields. */
export function changeRequestFields(operations: i32): bool {
  if (operations == 0) return true
  let at = operations + OPERATIONS_FIRST
  for (let left = load<i32>(operations + OPERATIONS_COUNT); left > 0; left--) {
    const kind = load<i32>(at + OPERATION_KIND)
    if (kind == OPERATION_AUTHORITY) rewriteAuthority(valuePtr(at), valueLen(at))
    else if (kind == OPERATION_SET) {
      if (!setField(namePtr(at), nameLen(at), valuePtr(at), valueLen(at))) return false
    } else if (kind == OPERATION_ADD) {
      if (!addField(namePtr(at), nameLen(at), valuePtr(at), valueLen(at))) return false
    } else removeFields(namePtr(at), nameLen(at))
    at += load<i32>(at + OPERATION_LENGTH)
  }
  return true
}

/** Notes what becomes of the response's fields. */
export function changeResponseFields(operations: i32): void {
  if (operations == 0) return
  let at = operations + OPERATIONS_FIRST
  for (let left = load<i32>(operations + OPERATIONS_COUNT); left > 0; left--) {
    const kind = load<i32>(at + OPERATION_KIND)
    if (kind == OPERATION_SET) respondWithSet(namePtr(at), nameLen(at), valuePtr(at), valueLen(at))
    else if (kind == OPERATION_ADD) respondWithAdd(namePtr(at), nameLen(at), valuePtr(at), valueLen(at))
    else respondWithout(namePtr(at), nameLen(at))
    at += load<i32>(at + OPERATION_LENGTH)
  }
}

function namePtr(at: i32): i32 {
  return at + load<i32>(at + OPERATION_NAME)
}

function nameLen(at: i32): i32 {
  return load<i32>(at + OPERATION_NAME + 4)
}

function valuePtr(at: i32): i32 {
  return at + load<i32>(at + OPERATION_VALUE)
}

function valueLen(at: i32): i32 {
  return load<i32>(at + OPERATION_VALUE + 4)
}
