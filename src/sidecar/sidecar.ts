// The sidecar: what an engine may call in a fresh sandbox. A request takes `open` and `decide` in one sandbox, its
// response `respond` in another; all that they know of each other is the context (context.ts).

import { ABI_VERSION, IN_ABI, RESULT_NONE } from './layout/record.ts'
import { inU32 } from './message.ts'
import { decideRequest, openRequest } from './request-phase.ts'
import { respondToClient } from './response-phase.ts'
import { passTrailers } from './trailer-phase.ts'

/** Reads a request head and names its destination. */
export function open(): i32 {
  return inU32(IN_ABI) == ABI_VERSION ? openRequest() : RESULT_NONE
}

/** Judges the request that `open` read, by the policy that the engine has put into memory since. */
export function decide(): i32 {
  return inU32(IN_ABI) == ABI_VERSION ? decideRequest() : RESULT_NONE
}

/** Reads an upstream's response head, or words a reply of the mesh's own. */
export function respond(): i32 {
  return inU32(IN_ABI) == ABI_VERSION ? respondToClient() : RESULT_NONE
}

/** Reads a trailer section. */
export function trailers(): i32 {
  return inU32(IN_ABI) == ABI_VERSION ? passTrailers() : RESULT_NONE
}
