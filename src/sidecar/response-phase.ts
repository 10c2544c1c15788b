// The response phase: an upstream's response head, read as strictly as a request's, becomes the one that the client gets.

import { logResponse } from './access-log.ts'
import { outOverloaded } from './breaker.ts'
import { keepsConnection, readConnection } from './connection-options.ts'
import {
  CONTEXT_EXPECTS,
  CONTEXT_HEAD,
  CONTEXT_HTTP_1_0,
  CONTEXT_JUDGED_AGAIN,
  CONTEXT_KEEP_ALIVE,
  CONTEXT_REQUEST_ID,
  contextHas,
  contextPiecesLen,
  contextPiecesPtr,
  contextUpgradeLen,
  contextUpgradePtr,
  readContext,
} from './context.ts'
import { FRAMING, HOP_BY_HOP, setOf } from './field-classes.ts'
import { readFieldSection } from './field-section.ts'
import { outFieldLines } from './fields.ts'
import { outFraming, readFraming, statedBody, statedLength, statesLength } from './framing.ts'
import { isUndelivered } from './hop.ts'
import { FIELD_INTERNAL, FIELD_TRAILER, FIELD_UPGRADE, FIELD_X_REQUEST_ID } from './layout/fields.ts'
import { SECTION_ACCESS_LOG, SECTION_OBSERVATION, SECTION_USER_POLICIES } from './layout/policy.ts'
import {
  BODY_CHUNKED,
  BODY_CLOSE,
  BODY_NONE,
  DIRECTION_INBOUND,
  DIRECTION_OUTBOUND,
  IN_FLAG_DRAINING,
  IN_FLAGS,
  IN_HEAD_LEN,
  IN_HEAD_PTR,
  IN_LOCAL_STATUS,
  IN_MAX_HEAD,
  IN_POLICY_LEN,
  OUT_BODY,
  OUT_BODY_LENGTH,
  OUT_FLAG_CLOSE_CLIENT,
  OUT_FLAG_KEEP_ALIVE,
  OUT_FLAG_UPGRADE,
  OUT_FLAGS,
  OUT_HEAD_LEN,
  OUT_LOG_LEN,
  OUT_REASON,
  OUT_REQUEST_ID_LEN,
  OUT_REQUEST_ID_PTR,
  OUT_RESULT,
  OUT_SEND_BODY,
  OUT_SEND_LEN,
  OUT_SEND_PTR,
  OUT_STATUS,
  OUTPUT,
  REASON_FRAMING,
  REASON_HEAD_TOO_LARGE,
  REASON_MEMORY,
  REASON_POLICY,
  REASON_TOO_MANY_ADDED,
  REASON_UPGRADE,
  REASON_USER_POLICY,
  RESULT_BAD,
  RESULT_FORWARD,
  RESULT_INCOMPLETE,
  RESULT_INTERIM,
  RESULT_NEEDS,
  RESULT_RETRY,
  RESULT_UNDELIVERED,
  VERDICT_ALLOW,
} from './layout/record.ts'
import { outLocalReply } from './local-reply.ts'
import {
  direction,
  fieldValueLen,
  fieldValuePtr,
  findFieldById,
  inU32,
  outBegin,
  outBytes,
  outDecimal,
  outOverflowed,
  outPosition,
  outText,
  outU32,
  requestIdPtr,
  sealRequest,
} from './message.ts'
import { beginNeeds, hasNeeds } from './needs.ts'
import { observeResponse } from './observation.ts'
import { readPolicy, sectionLen, sectionPtr } from './policy.ts'
import { INCOMPLETE, refusedReason } from './refusal.ts'
import { REQUEST_ID_LEN } from './request-id.ts'
import { applyResponseFields } from './response-fields.ts'
import { isRetried } from './retry.ts'
import { phraseLen, phrasePtr, readStatusLine, statusCode } from './status-line.ts'
import { listsProtocol } from './upgrade.ts'
import { runUserResponsePolicies } from './user-policies.ts'

/** Reads an upstream's head, or makes the mesh's own reply: RESULT_INCOMPLETE, _INTERIM, _FORWARD, _NEEDS or _BAD. */
export function respondToClient(): i32 {
  outBegin()
  beginNeeds()
  // A reply to a head that named no function may come without any policy.
  if (!readPolicy() && inU32(IN_POLICY_LEN) != 0) return bad(REASON_POLICY)
  if (!readContext()) return bad(REASON_POLICY)
  if (contextHas(CONTEXT_REQUEST_ID)) {
    outU32(OUT_REQUEST_ID_PTR, requestIdPtr())
    outU32(OUT_REQUEST_ID_LEN, REQUEST_ID_LEN)
  }
  const localStatus: i32 = inU32(IN_LOCAL_STATUS)
  return localStatus != 0 ? replyLocally(localStatus) : readUpstreamHead()
}

function replyLocally(status: i32): i32 {
  outU32(OUT_STATUS, status)
  if (isRetried(status)) return finishAs(RESULT_RETRY)
  const start = outPosition()
  outU32(OUT_FLAGS, outLocalReply(status) ? OUT_FLAG_CLOSE_CLIENT : 0)
  outU32(OUT_SEND_PTR, start)
  outU32(OUT_SEND_LEN, outPosition() - start)
  return finish()
}

function readUpstreamHead(): i32 {
  const start: i32 = inU32(IN_HEAD_PTR)
  const received: i32 = inU32(IN_HEAD_LEN)
  const limit: i32 = inU32(IN_MAX_HEAD)
  const end = start + min(received, limit)
  let after = readStatusLine(start, end)
  if (after >= 0) {
    const fromSidecar = direction() == DIRECTION_OUTBOUND || contextHas(CONTEXT_JUDGED_AGAIN)
    after = readFieldSection(after, end, fromSidecar)
  }
  if (after == INCOMPLETE) return received >= limit ? bad(REASON_HEAD_TOO_LARGE) : finishAs(RESULT_INCOMPLETE)
  if (after < 0 || !readFraming() || !readConnection()) return bad(refusedReason())
  sealRequest()
  if (contextHas(CONTEXT_JUDGED_AGAIN) && isUndelivered()) return finishAs(RESULT_UNDELIVERED)
  outU32(OUT_STATUS, statusCode())
  outU32(OUT_HEAD_LEN, after - start)
  if (statusCode() < 200) return takeInformational()
  return isRetried(statusCode()) ? finishAs(RESULT_RETRY) : takeFinal()
}

// 1xx: no body and no framing fields (RFC 9110 15.2, RFC 9112 6.1).
function takeInformational(): i32 {
  if (statedBody() != BODY_NONE || statesLength()) return bad(REASON_FRAMING)
  if (statusCode() == 101) return switchProtocols()
  const start = outPosition()
  if (passesInterim()) {
    outStatusLine()
    outFieldLines(droppedFields())
    outText('\r\n')
  }
  outU32(OUT_SEND_PTR, start)
  outU32(OUT_SEND_LEN, outPosition() - start)
  return outOverflowed() ? bad(REASON_MEMORY) : finishAs(RESULT_INTERIM)
}

// Towards another sidecar everything passes: the one next to the client knows what the client can take.
function passesInterim(): bool {
  if (direction() == DIRECTION_INBOUND) return true
  if (contextHas(CONTEXT_HTTP_1_0)) return false
  return statusCode() != 100 || contextHas(CONTEXT_EXPECTS)
}

function switchProtocols(): i32 {
  const field = findFieldById(FIELD_UPGRADE)
  const asked = contextUpgradeLen()
  if (field < 0 || asked == 0) return bad(REASON_UPGRADE)
  if (!listsProtocol(contextUpgradePtr(), asked, fieldValuePtr(field), fieldValueLen(field)))
    return bad(REASON_UPGRADE)
  outU32(OUT_FLAGS, OUT_FLAG_UPGRADE)
  outHead(BODY_NONE, false, true, false)
  return finish()
}

function takeFinal(): i32 {
  const status = statusCode()
  const verdict = runUserResponsePolicies(
    sectionPtr(SECTION_USER_POLICIES),
    sectionLen(SECTION_USER_POLICIES),
  )
  if (hasNeeds()) return outOverflowed() ? bad(REASON_MEMORY) : finishAs(RESULT_NEEDS)
  if (verdict != VERDICT_ALLOW) return outOverflowed() ? bad(REASON_MEMORY) : bad(REASON_USER_POLICY)
  if (!applyResponseFields()) return bad(REASON_TOO_MANY_ADDED)
  // 204 has neither body nor framing fields (RFC 9110 8.6, RFC 9112 6.1): with them nobody knows what follows.
  if (status == 204 && statedBody() != BODY_NONE) return bad(REASON_FRAMING)
  const isHead = contextHas(CONTEXT_HEAD)
  const isBare = isHead || status == 204 || status == 304
  const isOld = contextHas(CONTEXT_HTTP_1_0)
  let body = statedBody()
  if (body == BODY_NONE && !statesLength()) body = BODY_CLOSE
  let sendBody = body
  if (body == BODY_CLOSE && !isOld) sendBody = BODY_CHUNKED
  if (body == BODY_CHUNKED && isOld) sendBody = BODY_CLOSE

  let framing = sendBody
  if (isBare) {
    // The framing fields then tell of the body that a GET would have got (RFC 9110 8.6).
    framing = isHead && statedBody() == BODY_CHUNKED && !isOld ? BODY_CHUNKED : BODY_NONE
    body = BODY_NONE
    sendBody = BODY_NONE
  }
  const draining = (inU32(IN_FLAGS) & IN_FLAG_DRAINING) != 0
  const closes = !contextHas(CONTEXT_KEEP_ALIVE) || sendBody == BODY_CLOSE || draining
  let flags = 0
  if (closes) flags |= OUT_FLAG_CLOSE_CLIENT
  if (keepsConnection() && body != BODY_CLOSE) flags |= OUT_FLAG_KEEP_ALIVE
  outU32(OUT_FLAGS, flags)
  outU32(OUT_BODY, body)
  outU32(OUT_SEND_BODY, sendBody)
  if (body != BODY_NONE) store<u64>(OUTPUT + OUT_BODY_LENGTH, statedLength())
  outHead(framing, statesLength() && status != 204, status == 426, closes)
  return finish()
}

function outHead(framing: i32, withLength: bool, upgrades: bool, closes: bool): void {
  const start = outPosition()
  outStatusLine()
  let dropped = droppedFields()
  const upgrade = upgrades ? findFieldById(FIELD_UPGRADE) : -1
  if (framing != BODY_CHUNKED) dropped |= setOf(FIELD_TRAILER)
  outFieldLines(dropped)
  outOverloaded()
  outFraming(framing, withLength)
  if (upgrade >= 0) {
    outText('upgrade: ')
    outBytes(fieldValuePtr(upgrade), fieldValueLen(upgrade))
    outText(closes ? '\r\nconnection: upgrade, close\r\n' : '\r\nconnection: upgrade\r\n')
  } else if (closes) outText('connection: close\r\n')
  else if (contextHas(CONTEXT_HTTP_1_0)) outText('connection: keep-alive\r\n')
  if (contextHas(CONTEXT_REQUEST_ID)) {
    outText('x-request-id: ')
    outBytes(requestIdPtr(), REQUEST_ID_LEN)
    outText('\r\n')
  }
  outText('\r\n')
  outU32(OUT_SEND_PTR, start)
  outU32(OUT_SEND_LEN, outPosition() - start)
}

function outStatusLine(): void {
  outText('HTTP/1.1 ')
  outDecimal(statusCode())
  outText(' ')
  outBytes(phrasePtr(), phraseLen())
  outText('\r\n')
}

function droppedFields(): u64 {
  return HOP_BY_HOP | FRAMING | setOf(FIELD_INTERNAL) | setOf(FIELD_X_REQUEST_ID)
}

/** Ends a final response with what is observed of it and its access-log line. */
function finish(): i32 {
  if (observeResponse(sectionPtr(SECTION_OBSERVATION), sectionLen(SECTION_OBSERVATION))) {
    logResponse(
      sectionPtr(SECTION_ACCESS_LOG),
      sectionLen(SECTION_ACCESS_LOG),
      contextPiecesPtr(),
      contextPiecesLen(),
    )
  }
  return outOverflowed() ? bad(REASON_MEMORY) : finishAs(RESULT_FORWARD)
}

function bad(reason: i32): i32 {
  outU32(OUT_REASON, reason)
  outU32(OUT_LOG_LEN, 0)
  return finishAs(RESULT_BAD)
}

function finishAs(result: i32): i32 {
  outU32(OUT_RESULT, result)
  return result
}
