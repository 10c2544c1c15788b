// Request authentication: a token that a request carries must be valid by one of the function's rules that look where it is; a
// request without one goes on without claims. As Envoy does with what Istio makes of the rules: one valid is enough, and none where
// there is a token is a refusal. Time and audience are judged before the signature is asked for.

import { isExactly, isText } from './bytes.ts'
import { forgetClaims, takeClaims } from './claims.ts'
import { JSON_STRING, jsonFirst, jsonLen, jsonNext, jsonPtr, jsonType } from './json.ts'
import {
  isEarly,
  isExpired,
  readToken,
  tokenAlgorithm,
  tokenAudience,
  tokenClaims,
  tokenIssuer,
  tokenKid,
} from './jwt.ts'
import {
  AUTHN_HEADER,
  AUTHN_RULES,
  JWT_AUDIENCES,
  JWT_FLAG_ANY_ISSUER,
  JWT_FLAGS,
  JWT_ISSUER,
  JWT_ISSUER_LENGTH,
  JWT_SPACE_DELIMITED,
  SIGNATURE_ALGORITHM,
  SIGNATURE_HEADER,
  SIGNATURE_KID_LENGTH,
  SIGNATURE_NO_KEY,
  SIGNATURE_NO_KEYS,
  SIGNATURE_RULES,
} from './layout/authentication.ts'
import {
  IN_FLAG_TLS,
  IN_FLAGS,
  IN_TIME,
  INPUT,
  NEED_SIGNATURE,
  NO_RULE,
  POLICY_AUTHENTICATION,
  REASON_AUDIENCE,
  REASON_TOKEN,
  REASON_TOO_MANY_ADDED,
  VERDICT_ALLOW,
  VERDICT_DENY,
  VERDICT_SKIP,
  VERDICT_WAIT,
} from './layout/record.ts'
import { SCRATCH_AUTHENTICATION } from './layout/scratch.ts'
import {
  authorityLen,
  authorityPtr,
  deny,
  denyWithFields,
  equalBytes,
  fieldCount,
  fieldNameLen,
  fieldNamePtr,
  fieldValueLen,
  inU32,
  methodLen,
  methodPtr,
  outByte,
  outBytes,
  outPosition,
  outReserve,
  outText,
  pathLen,
  pathPtr,
  recordVerdict,
} from './message.ts'
import { answerLen, need } from './needs.ts'
import { listMatches } from './string-list.ts'
import {
  EXPIRED,
  NO_FAILURE,
  NO_KEY,
  NO_KEYS,
  NOT_YET_VALID,
  outFailure,
  UNKNOWN_ISSUER,
  WRONG_AUDIENCE,
  WRONG_SIGNATURE,
} from './token-failure.ts'
import { findToken, hasToken, rulesOfLocation, tokenLen, tokenPtr } from './token-location.ts'
import { dropOutputs, writeOutputs } from './token-outputs.ts'

/** Judges by the AUTHENTICATION section: VERDICT_ALLOW, VERDICT_WAIT, or VERDICT_DENY with the denial written. */
export function judgeAuthentication(section: i32, sectionLen: i32): i32 {
  forgetClaims()
  if (sectionLen < AUTHN_HEADER) return VERDICT_ALLOW
  dropOutputs(section)
  if (isPreflight()) return skip()
  let failure = findToken(section)
  if (failure != NO_FAILURE) return refuse(failure, NO_RULE)
  if (!hasToken()) return skip()
  failure = readToken(tokenPtr(), tokenLen())
  return failure == NO_FAILURE ? judgeToken(section) : refuse(failure, NO_RULE)
}

/** Browsers send these without credentials, and Istio lets them by (Fetch standard, CORS-preflight fetch). */
function isPreflight(): bool {
  return (
    isExactly(methodPtr(), methodLen(), 'OPTIONS') &&
    hasValue('origin') &&
    hasValue('access-control-request-method')
  )
}

function hasValue(name: string): bool {
  for (let i = 0; i < fieldCount(); i++) {
    if (fieldValueLen(i) > 0 && isText(fieldNamePtr(i), fieldNameLen(i), name)) return true
  }
  return false
}

function skip(): i32 {
  recordVerdict(POLICY_AUTHENTICATION, VERDICT_SKIP, NO_RULE)
  return VERDICT_ALLOW
}

/** Finds the rules that the token's claims satisfy, and by whose keys its signature is right. */
function judgeToken(section: i32): i32 {
  const read = rulesOfLocation()
  const rules = load<i32>(section + AUTHN_RULES)
  let failure = UNKNOWN_ISSUER
  let failed = NO_RULE
  let candidates = 0
  for (let i = 0; i < rules; i++) {
    if (((read >> i) & 1) == 0) continue
    const judged = judgeClaims(section, ruleAt(section, i))
    if (judged == NO_FAILURE) store<u16>(CANDIDATES + (candidates++ << 1), i as u16)
    else if (judged != UNKNOWN_ISSUER) {
      failure = judged
      failed = i
    }
  }
  if (candidates == 0) return refuse(failure, failed)
  const answer = askForSignature(candidates)
  if (answer == 0) return VERDICT_WAIT
  if (answerLen() != 4) unreachable()
  const chosen = load<u32>(answer)
  if (chosen >= (candidates as u32)) return refuse(failureOf(chosen), load<u16>(CANDIDATES))
  return accept(section, load<u16>(CANDIDATES + (chosen << 1)))
}

/** Numbers of the rules that the token's claims satisfy, u16 each. */
const CANDIDATES: i32 = SCRATCH_AUTHENTICATION

function ruleAt(section: i32, index: i32): i32 {
  return section + load<i32>(section + AUTHN_HEADER + (index << 2))
}

function judgeClaims(section: i32, rule: i32): i32 {
  if ((load<i32>(rule + JWT_FLAGS) & JWT_FLAG_ANY_ISSUER) == 0) {
    const issuer = tokenIssuer()
    const wanted = section + load<i32>(rule + JWT_ISSUER)
    const len = load<i32>(rule + JWT_ISSUER_LENGTH)
    if (issuer == 0 || !equalBytes(jsonPtr(issuer), jsonLen(issuer), wanted, len)) return UNKNOWN_ISSUER
  }
  const now = load<u64>(INPUT + IN_TIME) / 1000
  if (isEarly(now)) return NOT_YET_VALID
  if (isExpired(now)) return EXPIRED
  const audiences = load<i32>(rule + JWT_AUDIENCES)
  return audiences == 0 || isForOneOf(section + audiences) ? NO_FAILURE : WRONG_AUDIENCE
}

function isForOneOf(audiences: i32): bool {
  const claim = tokenAudience()
  if (claim == 0) return false
  if (jsonType(claim) == JSON_STRING) return isAudience(audiences, claim)
  let element = jsonFirst(claim)
  for (let left = jsonLen(claim); left > 0; left--) {
    if (isAudience(audiences, element)) return true
    element = jsonNext(element)
  }
  return false
}

/** As Envoy compares audiences: without "http://" or "https://" in front and "/" at the end. */
function isAudience(audiences: i32, text: i32): bool {
  let start = jsonPtr(text)
  let end = start + jsonLen(text)
  if (end - start >= 7 && isExactly(start, 7, 'http://')) start += 7
  else if (end - start >= 8 && isExactly(start, 8, 'https://')) start += 8
  if (end > start && load<u8>(end - 1) == 0x2f) end--
  return listMatches(audiences, start, end - start)
}

/** Asks whether one of the candidates' keys verifies the token; 0 where the answer is not there yet. */
function askForSignature(candidates: i32): i32 {
  const key = outPosition()
  const kid = tokenKid()
  const kidLen = kid == 0 ? 0 : jsonLen(kid)
  // What does not fit ends the phase by the writer's overflow, whatever is asked.
  if (outReserve(SIGNATURE_HEADER)) {
    store<u16>(key + SIGNATURE_RULES, candidates as u16)
    store<u16>(key + SIGNATURE_ALGORITHM, tokenAlgorithm() as u16)
    store<u32>(key + SIGNATURE_KID_LENGTH, kidLen)
  }
  if (kidLen > 0) outBytes(jsonPtr(kid), kidLen)
  outBytes(tokenPtr(), tokenLen())
  outBytes(CANDIDATES, candidates << 1)
  return need(NEED_SIGNATURE, key, outPosition() - key)
}

function failureOf(answer: u32): i32 {
  if (answer == SIGNATURE_NO_KEY) return NO_KEY
  return answer == SIGNATURE_NO_KEYS ? NO_KEYS : WRONG_SIGNATURE
}

function accept(section: i32, index: i32): i32 {
  const rule = ruleAt(section, index)
  takeClaims(tokenClaims(), section + load<i32>(rule + JWT_SPACE_DELIMITED))
  recordVerdict(POLICY_AUTHENTICATION, VERDICT_ALLOW, index)
  if (writeOutputs(section, rule)) return VERDICT_ALLOW
  deny(500, REASON_TOO_MANY_ADDED, 0, 0)
  return VERDICT_DENY
}

/** Denies as Envoy does: 403 for a wrong audience, 401 for all else. */
function refuse(failure: i32, rule: i32): i32 {
  recordVerdict(POLICY_AUTHENTICATION, VERDICT_DENY, rule)
  const fields = outPosition()
  outText('www-authenticate: Bearer realm="')
  outText((inU32(IN_FLAGS) & IN_FLAG_TLS) != 0 ? 'https://' : 'http://')
  outQuoted(authorityPtr(), authorityLen())
  outQuoted(pathPtr(), min(pathLen(), MOST_REALM_PATH))
  outText('", error="invalid_token"\r\n')
  const text = outPosition()
  outFailure(failure)
  const isAudience = failure == WRONG_AUDIENCE
  deny(isAudience ? 403 : 401, isAudience ? REASON_AUDIENCE : REASON_TOKEN, text, outPosition() - text)
  denyWithFields(fields, text - fields, 0)
  return VERDICT_DENY
}

/** As long as Envoy's. */
const MOST_REALM_PATH: i32 = 256

/** Writes a text inside quotes; what would end them is written as in a URL. */
function outQuoted(ptr: i32, len: i32): void {
  for (let i = 0; i < len; i++) {
    const byte: u32 = load<u8>(ptr + i)
    if (byte == 0x22) outText('%22')
    else if (byte == 0x5c) outText('%5C')
    else outByte(byte)
  }
}
