// All policies of a request, one after the other: the client's side of a call, then the workload's own, as Istio has them.

import { judgeAuthentication } from './authentication.ts'
import { judgeAuthorization } from './authorization.ts'
import { judgeBreaker } from './breaker.ts'
import { judgeEgress } from './egress.ts'
import { judgeExternalAuthorization } from './external-authorization.ts'
import {
  SECTION_AUTHENTICATION,
  SECTION_AUTHORIZATION,
  SECTION_BREAKER,
  SECTION_EGRESS,
  SECTION_EXTERNAL_AUTHORIZATION,
  SECTION_PEER_AUTHENTICATION,
  SECTION_RATE_LIMIT,
  SECTION_ROUTES,
  SECTION_USER_POLICIES,
} from './layout/policy.ts'
import {
  DIRECTION_OUTBOUND,
  IN_FLAG_ROUTE,
  IN_FLAG_SERVE,
  IN_FLAG_SHADOW,
  IN_FLAGS,
  VERDICT_ALLOW,
} from './layout/record.ts'
import { direction, inU32 } from './message.ts'
import { judgePeerAuthentication } from './peer-authentication.ts'
import { sectionLen, sectionPtr } from './policy.ts'
import { judgePorts } from './ports.ts'
import { judgeRateLimit } from './rate-limit.ts'
import { routeLeaves, takeRoute } from './routes.ts'
import { shadowAuthority } from './shadow.ts'
import { runUserPolicies } from './user-policies.ts'

/** VERDICT_ALLOW, VERDICT_WAIT where a need stands open, or VERDICT_DENY with the denial written. */
export function judgeRequest(): i32 {
  if (direction() == DIRECTION_OUTBOUND)
    return judgeEgress(sectionPtr(SECTION_EGRESS), sectionLen(SECTION_EGRESS))
  const flags: i32 = inU32(IN_FLAGS)
  let verdict = VERDICT_ALLOW
  if ((flags & IN_FLAG_SHADOW) != 0) shadowAuthority()
  if ((flags & IN_FLAG_ROUTE) != 0)
    verdict = takeRoute(sectionPtr(SECTION_ROUTES), sectionLen(SECTION_ROUTES))
  // Another function's own sidecar judges what goes there.
  if (routeLeaves()) return verdict
  // It judges where the engine injects counts, as the one that chooses the instance does.
  if (verdict == VERDICT_ALLOW)
    verdict = judgeBreaker(sectionPtr(SECTION_BREAKER), sectionLen(SECTION_BREAKER))
  if (verdict != VERDICT_ALLOW || (flags & IN_FLAG_SERVE) == 0) return verdict
  return judgeService()
}

// The workload's side, in Istio's order: who is there, what a check service says (it may set the token that is judged next), who
// asks, whether it may, how often.
function judgeService(): i32 {
  let verdict = judgePeerAuthentication(
    sectionPtr(SECTION_PEER_AUTHENTICATION),
    sectionLen(SECTION_PEER_AUTHENTICATION),
  )
  if (verdict != VERDICT_ALLOW) return verdict
  verdict = judgePorts(sectionPtr(SECTION_EGRESS), sectionLen(SECTION_EGRESS))
  if (verdict != VERDICT_ALLOW) return verdict
  const user = sectionPtr(SECTION_USER_POLICIES)
  const userLen = sectionLen(SECTION_USER_POLICIES)
  verdict = runUserPolicies(user, userLen, false)
  if (verdict != VERDICT_ALLOW) return verdict
  verdict = judgeExternalAuthorization(
    sectionPtr(SECTION_EXTERNAL_AUTHORIZATION),
    sectionLen(SECTION_EXTERNAL_AUTHORIZATION),
  )
  if (verdict != VERDICT_ALLOW) return verdict
  verdict = judgeAuthentication(sectionPtr(SECTION_AUTHENTICATION), sectionLen(SECTION_AUTHENTICATION))
  if (verdict != VERDICT_ALLOW) return verdict
  verdict = judgeAuthorization(sectionPtr(SECTION_AUTHORIZATION), sectionLen(SECTION_AUTHORIZATION))
  if (verdict != VERDICT_ALLOW) return verdict
  verdict = judgeRateLimit(sectionPtr(SECTION_RATE_LIMIT), sectionLen(SECTION_RATE_LIMIT))
  if (verdict != VERDICT_ALLOW) return verdict
  return runUserPolicies(user, userLen, true)
}
