// What a route answers itself: redirects, direct responses, preflights and injected aborts. A body is given exactly as it is,
// and no field is added that Envoy would not add.

import { COLON, SLASH } from './bytes.ts'
import {
  DIRECTION_INGRESS,
  IN_LOCAL_PORT,
  REASON_FAULT,
  REASON_ROUTE,
  RESPONSE_FLAG_FI,
} from './layout/record.ts'
import {
  ANSWER_BODY,
  ANSWER_STATUS,
  REDIRECT_AUTHORITY,
  REDIRECT_OWN_PORT,
  REDIRECT_PATH,
  REDIRECT_PORT,
  REDIRECT_SCHEME,
  REDIRECT_STATUS,
} from './layout/routes.ts'
import {
  authorityLen,
  authorityPort,
  authorityPtr,
  deny,
  denyWithFields,
  direction,
  inU32,
  outByte,
  outBytes,
  outDecimal,
  outPosition,
  outText,
  pathLen,
  pathPtr,
  queryLen,
  queryPtr,
} from './message.ts'
import { respondWithout, respondWithSet } from './response-fields.ts'
import { isHttps } from './route-condition.ts'

const QUESTION_MARK: u32 = 0x3f

/** A direct response; `action` is its block. */
export function answerDirectly(action: i32): void {
  const body = action + load<i32>(action + ANSWER_BODY)
  const bodyLen = load<i32>(action + ANSWER_BODY + 4)
  beginAnswer(bodyLen > 0)
  deny(load<i32>(action + ANSWER_STATUS), REASON_ROUTE, body, bodyLen)
}

/** The answer to a preflight; what it permits is noted already. */
export function answerPreflight(): void {
  beginAnswer(false)
  deny(200, REASON_ROUTE, outPosition(), 0)
}

/** An injected abort. */
export function abortByFault(status: i32): void {
  beginAnswer(true)
  const text = outPosition()
  outText('fault filter abort')
  deny(status, REASON_FAULT, text, outPosition() - text)
  denyWithFields(0, 0, RESPONSE_FLAG_FI)
}

/** A redirect; `action` is its block. */
export function redirect(action: i32): void {
  beginAnswer(false)
  const name = outPosition()
  outText('location')
  const nameLen = outPosition() - name
  const location = outPosition()
  outLocation(action)
  respondWithSet(name, nameLen, location, outPosition() - location)
  deny(load<i32>(action + REDIRECT_STATUS), REASON_ROUTE, outPosition(), 0)
}

/** With what the request has where the redirect says nothing. */
function outLocation(action: i32): void {
  if (textLen(action, REDIRECT_SCHEME) > 0) outWords(action, REDIRECT_SCHEME)
  else outText(isHttps() ? 'https' : 'http')
  outText('://')
  const hasPort = textLen(action, REDIRECT_PORT) > 0 || load<i32>(action + REDIRECT_OWN_PORT) != 0
  if (textLen(action, REDIRECT_AUTHORITY) > 0) outWords(action, REDIRECT_AUTHORITY)
  else outBytes(authorityPtr(), keepsPort(action, hasPort) ? authorityLen() : hostSize())
  if (textLen(action, REDIRECT_PORT) > 0) outWords(action, REDIRECT_PORT)
  else if (hasPort) {
    outByte(COLON)
    outDecimal(ownPort() as u64)
  }
  const path = textLen(action, REDIRECT_PATH)
  if (path > 0) outWords(action, REDIRECT_PATH)
  // "*", the whole server, has no path.
  else if (load<u8>(pathPtr()) != SLASH) outByte(SLASH)
  else outBytes(pathPtr(), pathLen())
  if (queryPtr() == 0 || (path > 0 && hasQuery(action))) return
  outByte(QUESTION_MARK)
  outBytes(queryPtr(), queryLen())
}

/** A port that was only that of the old scheme is left out. */
function keepsPort(action: i32, hasPort: bool): bool {
  if (hasPort) return false
  if (textLen(action, REDIRECT_SCHEME) == 0 || authorityPort() == 0) return true
  const https = isHttps()
  // A redirect to the scheme it came by keeps everything.
  const same = schemeIs(action, https)
  return same || authorityPort() != (https ? 443 : 80)
}

function schemeIs(action: i32, https: bool): bool {
  const ptr = action + load<i32>(action + REDIRECT_SCHEME)
  const len = textLen(action, REDIRECT_SCHEME)
  return len == (https ? 5 : 4) && load<u32>(ptr) == 0x70747468 && (len == 4 || load<u8>(ptr + 4) == 0x73)
}

/** The port at which the request came: the gateway's own, or the one that was called. */
function ownPort(): i32 {
  if (direction() == DIRECTION_INGRESS) return inU32(IN_LOCAL_PORT)
  return authorityPort() == 0 ? 80 : authorityPort()
}

/** Length of the authority without its port. */
function hostSize(): i32 {
  if (authorityPort() == 0) return authorityLen()
  let end = authorityLen() - 1
  while (end > 0 && load<u8>(authorityPtr() + end) != COLON) end--
  return end
}

function hasQuery(action: i32): bool {
  const ptr = action + load<i32>(action + REDIRECT_PATH)
  for (let i = 0; i < textLen(action, REDIRECT_PATH); i++) if (load<u8>(ptr + i) == QUESTION_MARK) return true
  return false
}

function textLen(action: i32, offset: i32): i32 {
  return load<i32>(action + offset + 4)
}

function outWords(action: i32, offset: i32): void {
  outBytes(action + load<i32>(action + offset), textLen(action, offset))
}

/** The answer has no fields of the mesh's own kind of reply; text is told as such where there is some. */
function beginAnswer(hasText: bool): void {
  let start = outPosition()
  outText('cache-control')
  respondWithout(start, outPosition() - start)
  start = outPosition()
  outText('content-type')
  const len = outPosition() - start
  if (!hasText) return respondWithout(start, len)
  const value = outPosition()
  outText('text/plain')
  respondWithSet(start, len, value, outPosition() - value)
}
