// A JSON Web Token in the compact form of a signed one (RFC 7519, RFC 7515 7.1), read as strictly as can be: what two readers could
// take for different things is no token. Whether its signature is right is not known here.

import { decodeBase64Url, decodedLength, isBase64Url } from './base64url.ts'
import { DOT, isExactly } from './bytes.ts'
import {
  JSON_ARRAY,
  JSON_NUMBER,
  JSON_STRING,
  jsonFirst,
  jsonLen,
  jsonNamed,
  jsonNext,
  jsonPtr,
  jsonType,
  readJsonObject,
} from './json.ts'
import { MOST_TOKEN } from './layout/authentication.ts'
import { IN_HEAD_LEN, IN_HEAD_PTR } from './layout/record.ts'
import { inU32 } from './message.ts'
import { isNumericDate, readNumericDate } from './numeric-date.ts'
import {
  BAD_ALG,
  BAD_AUD,
  BAD_CRIT,
  BAD_EXP,
  BAD_FORMAT,
  BAD_HEADER_BASE64,
  BAD_HEADER_JSON,
  BAD_IAT,
  BAD_ISS,
  BAD_JTI,
  BAD_KID,
  BAD_NBF,
  BAD_PAYLOAD_BASE64,
  BAD_PAYLOAD_JSON,
  BAD_SIGNATURE_BASE64,
  BAD_SUB,
  NO_ALG,
  NO_FAILURE,
  TOO_LONG,
} from './token-failure.ts'
import { outKeep } from './writer.ts'

/** They are compared before anything is known of the token. */
const MOST_AUDIENCES: i32 = 128
/** Times may be off by so many seconds, as in Envoy. */
const SKEW: u64 = 60
const NEVER: u64 = u64.MAX_VALUE - SKEW

/** The token that was read whole. */
let token: i32 = 0
let tokenSize: i32 = 0
let payload: i32 = 0
let payloadText: i32 = 0
let payloadTextSize: i32 = 0
let algorithm: i32 = 0
let kid: i32 = 0
let issuer: i32 = 0
let audience: i32 = 0
/** Seconds since the epoch; 0 and NEVER where the token does not say. */
let notBefore: u64 = 0
let expiry: u64 = 0

/** Reads the token: NO_FAILURE, or what is wrong with it. */
export function readToken(ptr: i32, len: i32): i32 {
  // A further run of the phase finds what an earlier one has read of the same bytes.
  if (ptr == token && len == tokenSize && isReceived(ptr, len)) return NO_FAILURE
  tokenSize = 0
  if (len > MOST_TOKEN) return TOO_LONG
  const end = ptr + len
  const headerEnd = findDot(ptr, end)
  const payloadEnd = findDot(headerEnd + 1, end)
  const signature = payloadEnd + 1
  if (signature >= end || findDot(signature, end) < end) return BAD_FORMAT
  if (headerEnd == ptr || payloadEnd == headerEnd + 1) return BAD_FORMAT
  const failure = readHeader(ptr, headerEnd - ptr)
  if (failure != NO_FAILURE) return failure
  payloadText = headerEnd + 1
  payloadTextSize = payloadEnd - payloadText
  const failed = readPayload()
  if (failed != NO_FAILURE) return failed
  if (!isBase64Url(signature, end - signature)) return BAD_SIGNATURE_BASE64
  token = ptr
  tokenSize = len
  return NO_FAILURE
}

/** The JSON object of the claims. */
export function tokenClaims(): i32 {
  return payload
}

/** The payload as it stands in the token. */
export function payloadPtr(): i32 {
  return payloadText
}

export function payloadLen(): i32 {
  return payloadTextSize
}

/** Index in ALGORITHMS. */
export function tokenAlgorithm(): i32 {
  return algorithm
}

/** The JSON string that names the key, 0 where none is named. */
export function tokenKid(): i32 {
  return kid
}

/** The JSON string of the claim `iss`, 0 where there is none. */
export function tokenIssuer(): i32 {
  return issuer
}

/** The JSON string or list of strings of the claim `aud`, 0 where there is none. */
export function tokenAudience(): i32 {
  return audience
}

/** Whether the token is not valid yet; `now` is in seconds. */
export function isEarly(now: u64): bool {
  return now + SKEW < notBefore
}

/** Whether the token is not valid any more. */
export function isExpired(now: u64): bool {
  return now > expiry + SKEW
}

/** Whether the bytes lie in the head as it was received, which stays as it is. */
function isReceived(ptr: i32, len: i32): bool {
  const head: i32 = inU32(IN_HEAD_PTR)
  return ptr >= head && ptr + len <= head + (inU32(IN_HEAD_LEN) as i32)
}

function findDot(ptr: i32, end: i32): i32 {
  let p = ptr
  while (p < end && load<u8>(p) != DOT) p++
  return p
}

let decoded: i32 = 0

/** Decodes to `decoded`; the length, or -1. */
function decode(ptr: i32, len: i32): i32 {
  decoded = outKeep(decodedLength(len))
  return decoded != 0 ? decodeBase64Url(ptr, len, decoded) : -1
}

function readHeader(ptr: i32, len: i32): i32 {
  const size = decode(ptr, len)
  if (size < 0) return BAD_HEADER_BASE64
  const header = readJsonObject(decoded, size)
  if (header == 0) return BAD_HEADER_JSON
  const alg = jsonNamed(header, 'alg')
  if (alg == 0 || jsonType(alg) != JSON_STRING) return NO_ALG
  algorithm = algorithmOf(jsonPtr(alg), jsonLen(alg))
  if (algorithm == 0) return BAD_ALG
  kid = jsonNamed(header, 'kid')
  if (kid != 0 && jsonType(kid) != JSON_STRING) return BAD_KID
  // Whoever writes it says that a reader without those extensions must refuse (RFC 7515 4.1.11); keys and addresses of keys in
  // the header are never looked at.
  return jsonNamed(header, 'crit') != 0 ? BAD_CRIT : NO_FAILURE
}

function readPayload(): i32 {
  const size = decode(payloadText, payloadTextSize)
  if (size < 0) return BAD_PAYLOAD_BASE64
  payload = readJsonObject(decoded, size)
  if (payload == 0) return BAD_PAYLOAD_JSON
  issuer = jsonNamed(payload, 'iss')
  if (!isStringOrAbsent(issuer)) return BAD_ISS
  if (!isStringOrAbsent(jsonNamed(payload, 'sub'))) return BAD_SUB
  if (!isDateOrAbsent(jsonNamed(payload, 'iat'))) return BAD_IAT
  const nbf = jsonNamed(payload, 'nbf')
  if (!isDateOrAbsent(nbf)) return BAD_NBF
  notBefore = nbf == 0 ? 0 : readNumericDate(jsonPtr(nbf), jsonLen(nbf))
  const exp = jsonNamed(payload, 'exp')
  if (!isDateOrAbsent(exp)) return BAD_EXP
  expiry = exp == 0 ? NEVER : readNumericDate(jsonPtr(exp), jsonLen(exp))
  if (!isStringOrAbsent(jsonNamed(payload, 'jti'))) return BAD_JTI
  audience = jsonNamed(payload, 'aud')
  return isStringsOrAbsent(audience) ? NO_FAILURE : BAD_AUD
}

function isStringOrAbsent(node: i32): bool {
  return node == 0 || jsonType(node) == JSON_STRING
}

function isDateOrAbsent(node: i32): bool {
  return node == 0 || (jsonType(node) == JSON_NUMBER && isNumericDate(jsonPtr(node), jsonLen(node)))
}

function isStringsOrAbsent(node: i32): bool {
  if (isStringOrAbsent(node)) return true
  if (jsonType(node) != JSON_ARRAY || jsonLen(node) > MOST_AUDIENCES) return false
  let element = jsonFirst(node)
  for (let left = jsonLen(node); left > 0; left--) {
    if (jsonType(element) != JSON_STRING) return false
    element = jsonNext(element)
  }
  return true
}

/** Index in ALGORITHMS; 0 for what is none of them: "none" and all that need a shared secret. */
function algorithmOf(ptr: i32, len: i32): i32 {
  if (len != 5) return 0
  if (isExactly(ptr, len, 'EdDSA')) return 10
  // The first two and the last three letters as little-endian words.
  const family: u32 = load<u16>(ptr)
  const size = load<u32>(ptr + 1) >> 8
  const first = family == 0x5352 ? 1 : family == 0x5350 ? 4 : family == 0x5345 ? 7 : 0
  const step = size == 0x363532 ? 0 : size == 0x343833 ? 1 : size == 0x323135 ? 2 : -1
  return first != 0 && step >= 0 ? first + step : 0
}
