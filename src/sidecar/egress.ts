// Which callees a function may know at all: the egress hosts of its Sidecar. A callee that is not listed is refused in
// the same words as one that does not exist, so that nobody learns by asking what the mesh runs.

import { calleeKeyLen, calleeKeyPtr, readCallee } from './callee-name.ts'
import {
  EGRESS_CALLEES,
  EGRESS_HEADER,
  EGRESS_MODE,
  EGRESS_OPEN,
  EGRESS_OWN,
  EGRESS_OWN_LENGTH,
  EGRESS_SIDECAR,
  EGRESS_SIDECAR_LENGTH,
} from './layout/egress.ts'
import {
  IN_TARGET_LEN,
  IN_TARGET_PTR,
  NO_RULE,
  POLICY_SIDECAR,
  REASON_EGRESS,
  REASON_OUTSIDE,
  VERDICT_ALLOW,
  VERDICT_DENY,
  VERDICT_SKIP,
} from './layout/record.ts'
import {
  authorityLen,
  authorityPtr,
  deny,
  hostLen,
  hostPtr,
  inU32,
  outPosition,
  outText,
  recordVerdict,
} from './message.ts'
import { outPrintable } from './printable.ts'
import { listMatches } from './string-list.ts'

/** Judges a call by the caller's EGRESS section: VERDICT_ALLOW, or VERDICT_DENY with the denial written. */
export function judgeEgress(section: i32, sectionLen: i32): i32 {
  if (sectionLen < EGRESS_HEADER) return refuse(0, REASON_EGRESS, false)
  const targetSize: i32 = inU32(IN_TARGET_LEN)
  if (load<i32>(section + EGRESS_MODE) == EGRESS_OPEN) {
    if (targetSize == 0) return refuse(section, REASON_OUTSIDE, false)
    recordVerdict(POLICY_SIDECAR, VERDICT_SKIP, NO_RULE)
    return VERDICT_ALLOW
  }
  if (targetSize > 0 && lists(section, inU32(IN_TARGET_PTR), targetSize)) {
    recordVerdict(POLICY_SIDECAR, VERDICT_ALLOW, EGRESS_RULE)
    return VERDICT_ALLOW
  }
  // From here on only the host counts, not whether there is such a function.
  if (!readCallee(ownPtr(section), ownLen(section), hostPtr(), hostLen())) {
    return refuse(section, REASON_OUTSIDE, false)
  }
  const isListed = lists(section, calleeKeyPtr(), calleeKeyLen())
  return refuse(section, isListed ? REASON_OUTSIDE : REASON_EGRESS, !isListed)
}

/** The number of the one rule that a Sidecar's egress is. */
const EGRESS_RULE = 0

function lists(section: i32, keyPtr: i32, keyLen: i32): bool {
  return listMatches(section + load<i32>(section + EGRESS_CALLEES), keyPtr, keyLen)
}

function ownPtr(section: i32): i32 {
  return section + load<i32>(section + EGRESS_OWN)
}

function ownLen(section: i32): i32 {
  return load<i32>(section + EGRESS_OWN_LENGTH)
}

/** Denies; with `named`, the text says which Sidecar does not list the callee of calleeKeyPtr. */
function refuse(section: i32, reason: i32, named: bool): i32 {
  recordVerdict(POLICY_SIDECAR, VERDICT_DENY, NO_RULE)
  const text = outPosition()
  if (hostLen() > 0) outPrintable(hostPtr(), hostLen())
  else outPrintable(authorityPtr(), authorityLen())
  outText(' is not a function that ')
  if (section != 0) outPrintable(ownPtr(section), ownLen(section))
  else outText('the caller')
  outText(' may call')
  if (named) {
    outText(': Sidecar ')
    outPrintable(section + load<i32>(section + EGRESS_SIDECAR), load<i32>(section + EGRESS_SIDECAR_LENGTH))
    outText(' does not list ')
    outPrintable(calleeKeyPtr(), calleeKeyLen())
    outText(' in egress.hosts')
  }
  deny(403, reason, text, outPosition() - text)
  return VERDICT_DENY
}
