// Whether a request fits the rules of an AuthorizationPolicy, where they lie in their section (layout/authorization.ts).

import { conditionHolds } from './condition.ts'
import { forgetForwarded } from './field-as-forwarded.ts'
import {
  AUTHZ_POLICY_HEADER,
  AUTHZ_POLICY_RULES,
  CONDITION_LENGTH,
  GROUP_CONDITIONS,
  GROUP_HEADER,
  GROUP_LENGTH,
  RULE_HEADER,
  RULE_LENGTH,
  RULE_OPERATIONS,
  RULE_SOURCES,
} from './layout/authorization.ts'
import { forgetLowerAuthority } from './lower-authority.ts'
import { forgetSegments } from './path-template.ts'
import { readPeer } from './peer.ts'

/** Prepares for the request as it is now: what was derived from it before may have been changed since. */
export function beginMatching(): void {
  readPeer()
  forgetForwarded()
  forgetLowerAuthority()
  forgetSegments()
}

/** Index of the policy's first rule that matches, -1 for none. */
export function matchingRule(policy: i32): i32 {
  const rules = load<i32>(policy + AUTHZ_POLICY_RULES)
  let rule = policy + AUTHZ_POLICY_HEADER
  for (let i = 0; i < rules; i++) {
    if (ruleMatches(rule)) return i
    rule += load<i32>(rule + RULE_LENGTH)
  }
  return -1
}

export function ruleMatches(rule: i32): bool {
  let group = rule + RULE_HEADER
  let found = false
  const sources: i32 = load<u16>(rule + RULE_SOURCES)
  for (let i = 0; i < sources; i++) {
    if (!found) found = groupHolds(group)
    group += load<i32>(group + GROUP_LENGTH)
  }
  if (sources > 0 && !found) return false
  found = false
  const operations: i32 = load<u16>(rule + RULE_OPERATIONS)
  for (let i = 0; i < operations; i++) {
    if (!found) found = groupHolds(group)
    group += load<i32>(group + GROUP_LENGTH)
  }
  if (operations > 0 && !found) return false
  return groupHolds(group)
}

function groupHolds(group: i32): bool {
  let condition = group + GROUP_HEADER
  for (let left = load<i32>(group + GROUP_CONDITIONS); left > 0; left--) {
    if (!conditionHolds(condition)) return false
    condition += load<i32>(condition + CONDITION_LENGTH)
  }
  return true
}
