// Peer authentication: whether the connection has to prove who calls (PEER_AUTHENTICATION section).

import {
  MTLS_DISABLE,
  MTLS_STRICT,
  PEER_HEADER,
  PEER_MODE,
  PEER_PORT,
  PEER_PORT_MODE,
  PEER_PORT_RULE,
  PEER_PORT_SIZE,
  PEER_PORTS,
  PEER_RULE,
} from './layout/peer-authentication.ts'
import {
  IN_FLAG_PLAINTEXT,
  IN_FLAGS,
  IN_PEER_LEN,
  IN_TARGET_LEN,
  IN_TARGET_PTR,
  INPUT,
  NO_RULE,
  POLICY_TLS,
  REASON_MUTUAL_TLS,
  VERDICT_ALLOW,
  VERDICT_DENY,
} from './layout/record.ts'
import { deny, inU32, outDecimal, outPosition, outText, recordVerdict } from './message.ts'
import { requestedPort } from './ports.ts'
import { outPrintable } from './printable.ts'

/** Of the mode that was looked up last. */
let rule: i32 = 0

/** Judges by the PEER_AUTHENTICATION section: VERDICT_ALLOW, or VERDICT_DENY with the denial written. */
export function judgePeerAuthentication(section: i32, sectionLen: i32): i32 {
  const port = requestedPort()
  const mode = modeOf(section, sectionLen, port)
  if (mode == MTLS_STRICT && (inU32(IN_FLAGS) & IN_FLAG_PLAINTEXT) != 0) return refuse(port)
  // Where no connection is TLS nobody has an identity, also who is in the same engine and could prove one.
  if (mode == MTLS_DISABLE) store<u32>(INPUT + IN_PEER_LEN, 0)
  recordVerdict(POLICY_TLS, VERDICT_ALLOW, rule)
  return VERDICT_ALLOW
}

/** Whether the function's port takes part in no TLS, so that who sends a request there does not use it either. */
export function isPlaintext(section: i32, sectionLen: i32): bool {
  return modeOf(section, sectionLen, requestedPort()) == MTLS_DISABLE
}

/** MTLS_* of a port; without a section no connection may go unproved. */
function modeOf(section: i32, sectionLen: i32, port: i32): i32 {
  rule = NO_RULE
  if (sectionLen < PEER_HEADER) return MTLS_STRICT
  let entry = section + PEER_HEADER
  for (let left = load<i32>(section + PEER_PORTS); left > 0; left--) {
    if (load<i32>(entry + PEER_PORT) == port) {
      rule = load<i32>(entry + PEER_PORT_RULE)
      return load<i32>(entry + PEER_PORT_MODE)
    }
    entry += PEER_PORT_SIZE
  }
  rule = load<i32>(section + PEER_RULE)
  return load<i32>(section + PEER_MODE)
}

function refuse(port: i32): i32 {
  recordVerdict(POLICY_TLS, VERDICT_DENY, rule)
  const text = outPosition()
  outPrintable(inU32(IN_TARGET_PTR), inU32(IN_TARGET_LEN))
  outText(' accepts only mutual TLS on port ')
  outDecimal(port as u64)
  deny(403, REASON_MUTUAL_TLS, text, outPosition() - text)
  return VERDICT_DENY
}
