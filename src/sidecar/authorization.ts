// Authorization, in Istio's order: a DENY policy that matches denies; without ALLOW policies the mesh's default holds;
// else an ALLOW policy must match. AUDIT policies are noted only. Every block is judged where it lies (layout/authorization.ts).

import {
  ACTION_ALLOW,
  ACTION_DENY,
  AUTHORIZATION_DEFAULT,
  AUTHORIZATION_DEFAULT_ALLOW,
  AUTHORIZATION_HEADER,
  AUTHORIZATION_POLICIES,
  AUTHZ_POLICY_ACTION,
  AUTHZ_POLICY_FIRST_RULE,
  AUTHZ_POLICY_LENGTH,
  AUTHZ_POLICY_NAME,
  AUTHZ_POLICY_NAME_LENGTH,
} from './layout/authorization.ts'
import {
  IN_PEER_LEN,
  IN_PEER_PTR,
  IN_TARGET_LEN,
  IN_TARGET_PTR,
  NO_RULE,
  POLICY_AUTHORIZATION,
  REASON_AUTHORIZATION,
  VERDICT_ALLOW,
  VERDICT_AUDIT,
  VERDICT_DENY,
} from './layout/record.ts'
import {
  deny,
  inU32,
  methodLen,
  methodPtr,
  outDecimal,
  outPosition,
  outText,
  pathLen,
  pathPtr,
  recordVerdict,
} from './message.ts'
import { outPrintable } from './printable.ts'
import { beginMatching, matchingRule } from './rule-match.ts'

/** Judges by the AUTHORIZATION section: VERDICT_ALLOW, or VERDICT_DENY with the denial written. */
export function judgeAuthorization(section: i32, sectionLen: i32): i32 {
  // Without its policies a function can be reached by nobody.
  if (sectionLen < AUTHORIZATION_HEADER) return refuse(0, NO_RULE, 0)
  beginMatching()
  let policy = section + AUTHORIZATION_HEADER
  let allowPolicies = 0
  for (let left = load<i32>(section + AUTHORIZATION_POLICIES); left > 0; left--) {
    const action = load<i32>(policy + AUTHZ_POLICY_ACTION)
    const index = matchingRule(policy)
    if (action == ACTION_ALLOW) allowPolicies++
    if (index >= 0) {
      const rule = load<i32>(policy + AUTHZ_POLICY_FIRST_RULE) + index
      if (action == ACTION_DENY) return refuse(policy, rule, index)
      if (action == ACTION_ALLOW) return allow(rule)
      recordVerdict(POLICY_AUTHORIZATION, VERDICT_AUDIT, rule)
    }
    policy += load<i32>(policy + AUTHZ_POLICY_LENGTH)
  }
  const byDefault =
    allowPolicies == 0 && load<i32>(section + AUTHORIZATION_DEFAULT) == AUTHORIZATION_DEFAULT_ALLOW
  return byDefault ? allow(NO_RULE) : refuse(0, NO_RULE, 0)
}

function allow(rule: i32): i32 {
  recordVerdict(POLICY_AUTHORIZATION, VERDICT_ALLOW, rule)
  return VERDICT_ALLOW
}

/** Denies; `policy` is the DENY policy that matched by its rule `index`, 0 where none allowed the request. */
function refuse(policy: i32, rule: i32, index: i32): i32 {
  recordVerdict(POLICY_AUTHORIZATION, VERDICT_DENY, rule)
  const text = outPosition()
  outPrintable(inU32(IN_TARGET_PTR), inU32(IN_TARGET_LEN))
  outText(' refuses ')
  outPrintable(methodPtr(), methodLen())
  outText(' ')
  outPrintable(pathPtr(), pathLen())
  outText(' from ')
  const peerSize: i32 = inU32(IN_PEER_LEN)
  if (peerSize > 0) outPrintable(inU32(IN_PEER_PTR), peerSize)
  else outText('a client without identity')
  if (policy == 0) {
    outText(': no AuthorizationPolicy allows it')
  } else {
    outText(': denied by AuthorizationPolicy ')
    outPrintable(policy + load<i32>(policy + AUTHZ_POLICY_NAME), load<i32>(policy + AUTHZ_POLICY_NAME_LENGTH))
    outText(' rule ')
    outDecimal(index as u64)
  }
  deny(403, REASON_AUTHORIZATION, text, outPosition() - text)
  return VERDICT_DENY
}
