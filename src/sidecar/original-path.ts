// The path and query with which a request came, where a route has rewritten the path: Envoy's x-envoy-original-path. The
// engine of another node, which took the route, tells it in that field; from anybody else the field is not believed.

import { findInternal, isForwarded } from './hop.ts'
import { fieldValueLen, fieldValuePtr } from './message.ts'
import { rewrittenPathLen, rewrittenPathPtr } from './route-rewrite.ts'

let path: i32 = 0
let size: i32 = 0

/** Finds it; false where the path is the one with which the request came. */
export function findOriginalPath(): bool {
  path = rewrittenPathPtr()
  size = rewrittenPathLen()
  if (size > 0 || !isForwarded()) return size > 0
  const field = findInternal('x-envoy-original-path')
  if (field < 0) return false
  path = fieldValuePtr(field)
  size = fieldValueLen(field)
  return size > 0
}

export function originalPathPtr(): i32 {
  return path
}

export function originalPathLen(): i32 {
  return size
}
