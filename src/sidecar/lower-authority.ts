// The authority in lower case, for hosts that are compared without regard to case.

import { lowerCase } from './bytes.ts'
import { authorityLen, authorityPtr, outPosition, outReserve } from './message.ts'

let lowered: i32 = 0

/** Forgets what was written in an earlier call, whose output is gone. */
export function forgetLowerAuthority(): void {
  lowered = 0
}

/** Address of authorityLen bytes: the authority with its port, in lower case. */
export function lowerAuthorityPtr(): i32 {
  if (lowered != 0) return lowered
  const len = authorityLen()
  const start = outPosition()
  // Without room the phase fails by the writer's overflow, whatever is judged.
  if (!outReserve(len)) return authorityPtr()
  for (let i = 0; i < len; i++) store<u8>(start + i, lowerCase(load<u8>(authorityPtr() + i)) as u8)
  lowered = start
  return start
}
