// The name of the route that a request has taken, here or in another sidecar before: that one tells it in a field of the
// mesh's own, which functions do not get.

import { findInternal, isForwarded } from './hop.ts'
import { fieldValueLen, fieldValuePtr } from './message.ts'
import { isRouted, takenNameLen, takenNamePtr } from './routes.ts'

let name: i32 = 0
let size: i32 = 0

/** Finds it; false where no VirtualService applies. A route may have no name. */
export function findRouteName(): bool {
  if (isRouted()) {
    name = takenNamePtr()
    size = takenNameLen()
    return true
  }
  const field = isForwarded() ? findInternal('x-mayfly-route') : -1
  if (field < 0) return false
  name = fieldValuePtr(field)
  size = fieldValueLen(field)
  return true
}

export function routeNamePtr(): i32 {
  return name
}

export function routeNameLen(): i32 {
  return size
}
