// How a parser says that it cannot go on: a negative position instead of the next one.

/** More bytes are needed. */
export const INCOMPLETE: i32 = -1
/** The bytes are not acceptable; refusedStatus and refusedReason say why. */
export const REFUSED: i32 = -2

let status: i32 = 0
let reason: i32 = 0

/** Notes why (a status for the client and a REASON_*) and returns REFUSED. */
export function refuse(forStatus: i32, forReason: i32): i32 {
  status = forStatus
  reason = forReason
  return REFUSED
}

export function refusedStatus(): i32 {
  return status
}

export function refusedReason(): i32 {
  return reason
}
