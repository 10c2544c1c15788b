// Which port of the function a request is for, and whether the function accepts it (EGRESS section: a Sidecar's
// ingress ports, else the function's declared port).

import {
  EGRESS_FIRST_PORT,
  EGRESS_HEADER,
  EGRESS_OWN,
  EGRESS_OWN_LENGTH,
  EGRESS_PORTS,
} from './layout/egress.ts'
import {
  DIRECTION_INGRESS,
  IN_DIRECTION,
  IN_FLAG_TLS,
  IN_FLAGS,
  IN_LOCAL_PORT,
  IN_TARGET_PORT,
  NO_RULE,
  POLICY_SIDECAR,
  REASON_PORT,
  VERDICT_ALLOW,
  VERDICT_DENY,
} from './layout/record.ts'
import { authorityPort, deny, inU32, outDecimal, outPosition, outText, recordVerdict } from './message.ts'
import { outPrintable } from './printable.ts'

/**
 * The port of the function that the request names: its declared one, unless a caller inside the mesh names another than
 * the scheme's or its egress address's own. From outside, the port is that of whatever stands before the gateway.
 */
export function requestedPort(): i32 {
  if (inU32(IN_DIRECTION) == DIRECTION_INGRESS) return inU32(IN_TARGET_PORT)
  const port = authorityPort()
  const isDefault = port == 0 || port == 80 || (port == 443 && (inU32(IN_FLAGS) & IN_FLAG_TLS) != 0)
  if (isDefault || port == inU32(IN_LOCAL_PORT)) return inU32(IN_TARGET_PORT)
  return port
}

/** Judges a request that arrives at its function: VERDICT_ALLOW, or VERDICT_DENY with the denial written. */
export function judgePorts(section: i32, sectionLen: i32): i32 {
  const port = requestedPort()
  const count = sectionLen < EGRESS_HEADER ? 0 : load<i32>(section + EGRESS_PORTS)
  const ports = section + (count > 0 ? load<i32>(section + EGRESS_FIRST_PORT) : 0)
  for (let i = 0; i < count; i++) if (load<i32>(ports + (i << 2)) == port) return VERDICT_ALLOW
  const text = outPosition()
  if (sectionLen >= EGRESS_HEADER) {
    outPrintable(section + load<i32>(section + EGRESS_OWN), load<i32>(section + EGRESS_OWN_LENGTH))
  }
  outText(' does not accept requests on port ')
  outDecimal(port as u64)
  for (let i = 0; i < count && i < MOST_NAMED; i++) {
    outText(i == 0 ? ': it accepts ' : ', ')
    outDecimal(load<u32>(ports + (i << 2)) as u64)
  }
  recordVerdict(POLICY_SIDECAR, VERDICT_DENY, NO_RULE)
  deny(403, REASON_PORT, text, outPosition() - text)
  return VERDICT_DENY
}

/** A denial names at most so many ports. */
const MOST_NAMED = 8
