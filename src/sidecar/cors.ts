// CORS (Fetch standard 3.2), as Envoy's filter has it: what origins that are listed may read is told, and their preflights
// are answered; all others go on, and no response says that its script may read it.

import { isExactly } from './bytes.ts'
import { findForwarded, forwardedLen, forwardedPtr } from './field-as-forwarded.ts'
import {
  CORS_ANSWERS_OTHERS,
  CORS_BITS,
  CORS_CREDENTIALS,
  CORS_EXPOSED,
  CORS_FIRST_ORIGIN,
  CORS_HEADERS,
  CORS_MAX_AGE,
  CORS_METHODS,
  CORS_ORIGINS,
  TEXT_MATCH_LENGTH,
} from './layout/routes.ts'
import { hashBytes, methodLen, methodPtr, outPosition, outText } from './message.ts'
import { respondWithSet } from './response-fields.ts'
import { matchesText } from './route-condition.ts'

/** Notes what the response is to say by the block, 0 is none; true where it is a preflight that is to be answered here. */
export function answersPreflight(cors: i32): bool {
  if (cors == 0 || !findText('origin') || forwardedLen() == 0) return false
  const origin = forwardedPtr()
  const originLen = forwardedLen()
  const bits = load<i32>(cors + CORS_BITS)
  const preflight = isPreflight()
  if (!isListed(cors, origin, originLen)) return preflight && (bits & CORS_ANSWERS_OTHERS) != 0
  respond('access-control-allow-origin', origin, originLen)
  if ((bits & CORS_CREDENTIALS) != 0) {
    const start = outPosition()
    outText('true')
    respond('access-control-allow-credentials', start, outPosition() - start)
  }
  if (!preflight) {
    respondText('access-control-expose-headers', cors, CORS_EXPOSED)
    return false
  }
  respondText('access-control-allow-methods', cors, CORS_METHODS)
  respondText('access-control-allow-headers', cors, CORS_HEADERS)
  respondText('access-control-max-age', cors, CORS_MAX_AGE)
  return true
}

function isPreflight(): bool {
  if (!isExactly(methodPtr(), methodLen(), 'OPTIONS')) return false
  return findText('access-control-request-method') && forwardedLen() > 0
}

function isListed(cors: i32, origin: i32, originLen: i32): bool {
  const start = outPosition()
  outText('*')
  let match = cors + load<i32>(cors + CORS_FIRST_ORIGIN)
  for (let left = load<i32>(cors + CORS_ORIGINS); left > 0; left--) {
    // "*" among the origins is any.
    if (matchesText(match, start, 1) || matchesText(match, origin, originLen)) return true
    match += load<i32>(match + TEXT_MATCH_LENGTH)
  }
  return false
}

function findText(name: string): bool {
  const start = outPosition()
  outText(name)
  const len = outPosition() - start
  return findForwarded(start, len, hashBytes(start, len))
}

function respondText(name: string, cors: i32, offset: i32): void {
  const len = load<i32>(cors + offset + 4)
  if (len > 0) respond(name, cors + load<i32>(cors + offset), len)
}

function respond(name: string, value: i32, valueLen: i32): void {
  const start = outPosition()
  outText(name)
  respondWithSet(start, outPosition() - start, value, valueLen)
}
