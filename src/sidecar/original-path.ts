// The path and query with which a request came, where a route has rewritten the path: Envoy's x-envoy-original-path. The
// engine of another node, which took the route, tells it in that field; from anybody else the field is not believed.

import { isText } from './bytes.ts'
import { isForwarded } from './hop.ts'
import { FIELD_INTERNAL } from './layout/fields.ts'
import { fieldCount, fieldId, fieldNameLen, fieldNamePtr, fieldValueLen, fieldValuePtr } from './message.ts'
import { rewrittenPathLen, rewrittenPathPtr } from './route-rewrite.ts'

let path: i32 = 0
let size: i32 = 0

/** Finds it; false where the path is the one with which the request came. */
export function findOriginalPath(): bool {
  path = rewrittenPathPtr()
  size = rewrittenPathLen()
  if (size > 0 || !isForwarded()) return size > 0
  for (let i = 0; i < fieldCount(); i++) {
    if (fieldId(i) != FIELD_INTERNAL || !isText(fieldNamePtr(i), fieldNameLen(i), 'x-envoy-original-path')) continue
    path = fieldValuePtr(i)
    size = fieldValueLen(i)
  }
  return size > 0
}

export function originalPathPtr(): i32 {
  return path
}

export function originalPathLen(): i32 {
  return size
}
