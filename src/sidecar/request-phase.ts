// The request phase: `open` reads a head and names the destination, `decide` judges it by the policy of whose sidecar
// this is, and writes what goes on.

import { logRequest } from './access-log.ts'
import { judgeAuthentication } from './authentication.ts'
import { judgeAuthorization } from './authorization.ts'
import { judgeBreaker } from './breaker.ts'
import { isExactly } from './bytes.ts'
import { forgetClaims } from './claims.ts'
import { findClientAddress } from './client-address.ts'
import { keepsConnection, readConnection } from './connection-options.ts'
import {
  CONTEXT_BODY,
  CONTEXT_EXPECTS,
  CONTEXT_HEAD,
  CONTEXT_HTTP_1_0,
  CONTEXT_JUDGED_AGAIN,
  CONTEXT_KEEP_ALIVE,
  CONTEXT_REQUEST_ID,
  outContext,
} from './context.ts'
import { judgeEgress } from './egress.ts'
import { judgeExternalAuthorization } from './external-authorization.ts'
import { readFieldSection } from './field-section.ts'
import { outForwardHead } from './forward-head.ts'
import { readFraming, statedBody, statedLength } from './framing.ts'
import { isForwarded, outInstance } from './hop.ts'
import { judgeRequest } from './judge-request.ts'
import { HTTP_NORMALIZATION, HTTP_SIZE, HTTP_TRUSTED_PROXIES } from './layout/http.ts'
import {
  SECTION_ACCESS_LOG,
  SECTION_AUTHENTICATION,
  SECTION_AUTHORIZATION,
  SECTION_BREAKER,
  SECTION_EGRESS,
  SECTION_EXTERNAL_AUTHORIZATION,
  SECTION_HTTP,
  SECTION_IDENTITY,
  SECTION_OBSERVATION,
  SECTION_PEER_AUTHENTICATION,
  SECTION_RATE_LIMIT,
  SECTION_ROUTES,
  SECTION_TRACING,
  SECTION_USER_POLICIES,
} from './layout/policy.ts'
import {
  BODY_NONE,
  DIRECTION_INBOUND,
  DIRECTION_OUTBOUND,
  IN_FLAG_ROUTE,
  IN_FLAG_SERVE,
  IN_FLAG_SHADOW,
  IN_FLAGS,
  IN_HEAD_LEN,
  IN_HEAD_PTR,
  IN_MAX_HEAD,
  NO_RULE,
  OUT_BODY,
  OUT_BODY_LENGTH,
  OUT_CONTEXT_LEN,
  OUT_CONTEXT_PTR,
  OUT_FIELDS_LEN,
  OUT_FLAG_EXPECT_CONTINUE,
  OUT_FLAG_IDEMPOTENT,
  OUT_FLAG_KEEP_ALIVE,
  OUT_FLAG_SAMPLED,
  OUT_FLAG_UPGRADE,
  OUT_FLAGS,
  OUT_HEAD_LEN,
  OUT_HOST_LEN,
  OUT_HOST_PTR,
  OUT_PORT,
  OUT_REQUEST_ID_LEN,
  OUT_REQUEST_ID_PTR,
  OUT_RESPONSE_FLAGS,
  OUT_RESULT,
  OUT_ROUTE_LEN,
  OUT_SEND_BODY,
  OUT_SEND_LEN,
  OUT_SEND_PTR,
  OUT_VERDICTS,
  OUTPUT,
  POLICY_HTTP,
  REASON_HEAD_TOO_LARGE,
  REASON_HOST,
  REASON_MEMORY,
  REASON_PATH,
  REASON_POLICY,
  REASON_TARGET,
  RESULT_DENY,
  RESULT_FORWARD,
  RESULT_INCOMPLETE,
  RESULT_NEEDS,
  RESULT_OPENED,
  VERDICT_ALLOW,
  VERDICT_DENY,
  VERDICT_WAIT,
} from './layout/record.ts'
import {
  authorityPort,
  deny,
  direction,
  hostLen,
  hostPtr,
  httpMinor,
  inU32,
  methodLen,
  methodPtr,
  outBegin,
  outOverflowed,
  outPosition,
  outU32,
  recordVerdict,
  requestIdPtr,
  restoreRequest,
  sealRequest,
} from './message.ts'
import { beginNeeds, hasNeeds } from './needs.ts'
import { observeRequest } from './observation.ts'
import { normalisePath } from './path.ts'
import { judgePeerAuthentication } from './peer-authentication.ts'
import { readPolicy, sectionLen, sectionPtr } from './policy.ts'
import { judgePorts } from './ports.ts'
import { judgeRateLimit } from './rate-limit.ts'
import { INCOMPLETE, refusedReason, refusedStatus } from './refusal.ts'
import { chooseRequestId, makeRequestId, REQUEST_ID_LEN } from './request-id.ts'
import { readRequestLine } from './request-line.ts'
import { readTarget, restoreTarget, sealTarget } from './request-target.ts'
import { forgetResponseFields } from './response-fields.ts'
import { isJudgedAgain, routeLeaves, takeRoute } from './routes.ts'
import { shadowAuthority } from './shadow.ts'
import { prepareTrace, sampled } from './trace.ts'
import { expectsContinue, readExpectations, upgradeValueLen, upgradeValuePtr } from './upgrade.ts'
import { forgetCarry } from './user-carry.ts'
import { runUserPolicies } from './user-policies.ts'

let opened: bool = false

/** Reads the head: RESULT_INCOMPLETE, RESULT_OPENED or RESULT_DENY. */
export function openRequest(): i32 {
  const start: i32 = inU32(IN_HEAD_PTR)
  const received: i32 = inU32(IN_HEAD_LEN)
  const limit: i32 = inU32(IN_MAX_HEAD)
  const end = start + min(received, limit)
  outBegin()
  const fields = readRequestLine(start, end)
  if (fields < 0) return unreadable(fields, received >= limit, 414, REASON_TARGET)
  const after = readFieldSection(fields, end, direction() == DIRECTION_INBOUND || isForwarded())
  if (after < 0) return unreadable(after, received >= limit, 431, REASON_HEAD_TOO_LARGE)
  if (!readTarget() || !readFraming() || !readConnection() || !readExpectations()) {
    return refuseHead(refusedStatus(), refusedReason())
  }
  opened = true
  sealRequest()
  sealTarget()
  if (isForwarded()) outInstance()
  outU32(OUT_HEAD_LEN, after - start)
  outU32(OUT_HOST_PTR, hostPtr())
  outU32(OUT_HOST_LEN, hostLen())
  outU32(OUT_PORT, authorityPort())
  outU32(OUT_FLAGS, requestFlags())
  outU32(OUT_BODY, statedBody())
  outU32(OUT_SEND_BODY, statedBody())
  store<u64>(OUTPUT + OUT_BODY_LENGTH, statedLength())
  chooseRequestId()
  outRequestId()
  // For a host that names no function the engine answers without a decision; this is what the reply needs to know.
  writeContext(contextBits(), false)
  return outOverflowed() ? refuseForMemory() : finishAs(RESULT_OPENED)
}

/** Judges the head that was opened: RESULT_FORWARD, RESULT_DENY or RESULT_NEEDS; after that it is called again. */
export function decideRequest(): i32 {
  begin()
  if (!opened || !readPolicy() || sectionLen(SECTION_HTTP) < HTTP_SIZE)
    return refuseRequest(500, REASON_POLICY)
  const http = sectionPtr(SECTION_HTTP)
  const trustedProxies = load<i32>(http + HTTP_TRUSTED_PROXIES)
  findClientAddress(trustedProxies)
  prepareTrace(sectionPtr(SECTION_TRACING), sectionLen(SECTION_TRACING))
  if (sampled()) outU32(OUT_FLAGS, requestFlags() | OUT_FLAG_SAMPLED)
  if (!normalisePath(load<i32>(http + HTTP_NORMALIZATION))) return refuseRequest(400, REASON_PATH)
  // A call that names nobody is refused by the caller's egress, in its own words.
  if (hostLen() == 0 && direction() != DIRECTION_OUTBOUND) return refuseRequest(400, REASON_HOST)
  recordVerdict(POLICY_HTTP, VERDICT_ALLOW, NO_RULE)
  const verdict = judgeRequest()
  // Whatever was decided without them: a need that stands open says that the policies have not all been heard.
  if (verdict == VERDICT_WAIT || hasNeeds()) return hasNeeds() ? wait() : refuseRequest(500, REASON_POLICY)
  if (verdict != VERDICT_ALLOW) return finishRequest(RESULT_DENY)
  if (hostLen() == 0) return refuseRequest(400, REASON_HOST)
  const head = outPosition()
  outForwardHead(trustedProxies, sectionPtr(SECTION_IDENTITY), sectionLen(SECTION_IDENTITY))
  outU32(OUT_SEND_PTR, head)
  outU32(OUT_SEND_LEN, outPosition() - head)
  return finishRequest(RESULT_FORWARD)
}

// What an earlier run left: verdicts, needs, what policies made of the request.
function begin(): void {
  outBegin()
  beginNeeds()
  outU32(OUT_VERDICTS, 0)
  outU32(OUT_FIELDS_LEN, 0)
  outU32(OUT_RESPONSE_FLAGS, 0)
  outU32(OUT_ROUTE_LEN, 0)
  restoreRequest()
  restoreTarget()
  forgetResponseFields()
  forgetClaims()
  forgetCarry()
}

function wait(): i32 {
  outU32(OUT_CONTEXT_LEN, 0)
  return outOverflowed() ? refuseForMemory() : finishAs(RESULT_NEEDS)
}

function finishRequest(result: i32): i32 {
  observeRequest(sectionPtr(SECTION_OBSERVATION), sectionLen(SECTION_OBSERVATION))
  writeContext(isJudgedAgain() ? contextBits() | CONTEXT_JUDGED_AGAIN : contextBits(), true)
  return outOverflowed() ? refuseForMemory() : finishAs(result)
}

function refuseRequest(status: i32, reason: i32): i32 {
  recordVerdict(POLICY_HTTP, VERDICT_DENY, NO_RULE)
  deny(status, reason, 0, 0)
  return finishRequest(RESULT_DENY)
}

function unreadable(position: i32, isWhole: bool, tooLargeStatus: i32, tooLargeReason: i32): i32 {
  if (position != INCOMPLETE) return refuseHead(refusedStatus(), refusedReason())
  return isWhole ? refuseHead(tooLargeStatus, tooLargeReason) : finishAs(RESULT_INCOMPLETE)
}

// After a head that cannot be read nobody knows where the next one starts, so the connection ends with it.
function refuseHead(status: i32, reason: i32): i32 {
  recordVerdict(POLICY_HTTP, VERDICT_DENY, NO_RULE)
  deny(status, reason, 0, 0)
  makeRequestId()
  outRequestId()
  let bits = CONTEXT_REQUEST_ID
  if (isHead()) bits |= CONTEXT_HEAD
  if (httpMinor() == 0) bits |= CONTEXT_HTTP_1_0
  writeContext(bits, false)
  return outOverflowed() ? refuseForMemory() : RESULT_DENY
}

/** Nothing that was written may be used. */
function refuseForMemory(): i32 {
  outU32(OUT_CONTEXT_LEN, 0)
  outU32(OUT_REQUEST_ID_LEN, 0)
  return deny(500, REASON_MEMORY, 0, 0)
}

function finishAs(result: i32): i32 {
  outU32(OUT_RESULT, result)
  return result
}

function writeContext(bits: i32, logs: bool): void {
  const start = outPosition()
  outContext(bits, direction(), upgradeValuePtr(), upgradeValueLen())
  if (logs) logRequest(sectionPtr(SECTION_ACCESS_LOG), sectionLen(SECTION_ACCESS_LOG))
  outU32(OUT_CONTEXT_PTR, start)
  outU32(OUT_CONTEXT_LEN, outPosition() - start)
}

function outRequestId(): void {
  outU32(OUT_REQUEST_ID_PTR, requestIdPtr())
  outU32(OUT_REQUEST_ID_LEN, REQUEST_ID_LEN)
}

function contextBits(): i32 {
  let bits = CONTEXT_REQUEST_ID
  if (isHead()) bits |= CONTEXT_HEAD
  if (httpMinor() == 0) bits |= CONTEXT_HTTP_1_0
  if (keepsConnection()) bits |= CONTEXT_KEEP_ALIVE
  if (expectsContinue()) bits |= CONTEXT_EXPECTS
  if (statedBody() != BODY_NONE) bits |= CONTEXT_BODY
  return bits
}

function requestFlags(): i32 {
  let flags = 0
  if (keepsConnection()) flags |= OUT_FLAG_KEEP_ALIVE
  if (expectsContinue()) flags |= OUT_FLAG_EXPECT_CONTINUE
  if (upgradeValueLen() > 0) flags |= OUT_FLAG_UPGRADE
  if (isIdempotent()) flags |= OUT_FLAG_IDEMPOTENT
  return flags
}

function isHead(): bool {
  return isMethod('HEAD')
}

// RFC 9110 9.2.2.
function isIdempotent(): bool {
  return isMethod('GET') || isHead() || isMethod('OPTIONS') || isMethod('PUT') || isMethod('DELETE')
}

function isMethod(name: string): bool {
  return isExactly(methodPtr(), methodLen(), name)
}
