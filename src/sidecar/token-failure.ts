// Why a token is refused, in Envoy's words where Envoy has any. The client reads them.

import { outText } from './writer.ts'

export const NO_FAILURE: i32 = 0
export const BAD_FORMAT: i32 = 1
export const TOO_LONG: i32 = 2
export const SEVERAL_TOKENS: i32 = 3
export const BAD_HEADER_BASE64: i32 = 4
export const BAD_HEADER_JSON: i32 = 5
export const NO_ALG: i32 = 6
export const BAD_ALG: i32 = 7
export const BAD_KID: i32 = 8
export const BAD_CRIT: i32 = 9
export const BAD_PAYLOAD_BASE64: i32 = 10
export const BAD_PAYLOAD_JSON: i32 = 11
export const BAD_ISS: i32 = 12
export const BAD_SUB: i32 = 13
export const BAD_IAT: i32 = 14
export const BAD_NBF: i32 = 15
export const BAD_EXP: i32 = 16
export const BAD_JTI: i32 = 17
export const BAD_AUD: i32 = 18
export const BAD_SIGNATURE_BASE64: i32 = 19
export const UNKNOWN_ISSUER: i32 = 20
export const NOT_YET_VALID: i32 = 21
export const EXPIRED: i32 = 22
export const WRONG_AUDIENCE: i32 = 23
export const WRONG_SIGNATURE: i32 = 24
export const NO_KEY: i32 = 25
export const NO_KEYS: i32 = 26
export const BAD_PREFIX: i32 = 27

/** Writes what is wrong. The words are put together from few, since literals are dear in a sidecar's memory. */
export function outFailure(failure: i32): void {
  if (failure == NO_KEY) outText("Jwks doesn't have key to match kid or alg from Jwt")
  else if (failure == NO_KEYS) outText('Jwks remote fetch is failed')
  else if (failure == WRONG_AUDIENCE) outText('Audiences in Jwt are not allowed')
  else {
    outText('Jwt ')
    if (failure >= BAD_HEADER_BASE64 && failure <= BAD_CRIT) outHeaderFailure(failure)
    else if (failure >= BAD_PAYLOAD_BASE64 && failure <= BAD_AUD) outPayloadFailure(failure)
    else if (failure == BAD_SIGNATURE_BASE64) {
      outText('signature')
      outText(BASE64)
    } else outText(tokenFailure(failure))
  }
}

const BASE64: string = ' is an invalid Base64url encoded'
const JSON: string = ' is an invalid JSON'
const STRING: string = '] field must be a string'

function tokenFailure(failure: i32): string {
  if (failure == BAD_FORMAT)
    return 'is not in the form of Header.Payload.Signature with two dots and 3 sections'
  if (failure == TOO_LONG) return 'is longer than 16384 bytes'
  if (failure == SEVERAL_TOKENS) return 'is not the only one'
  if (failure == BAD_PREFIX) return 'does not follow its prefix'
  if (failure == UNKNOWN_ISSUER) return 'issuer is not configured'
  if (failure == NOT_YET_VALID) return 'not yet valid'
  if (failure == EXPIRED) return 'is expired'
  return 'verification fails'
}

function outHeaderFailure(failure: i32): void {
  outText('header')
  if (failure == BAD_HEADER_BASE64) return outText(BASE64)
  if (failure == BAD_HEADER_JSON) return outText(JSON)
  outText(' [')
  if (failure == NO_ALG) {
    outText('alg')
    outText('] field is required and must be a string')
  } else if (failure == BAD_ALG) {
    outText('alg')
    outText('] is not supported')
  } else if (failure == BAD_KID) {
    outText('kid')
    outText(STRING)
  } else {
    outText('crit')
    outText('] is not supported')
  }
}

function outPayloadFailure(failure: i32): void {
  outText('payload')
  if (failure == BAD_PAYLOAD_BASE64) return outText(BASE64)
  if (failure == BAD_PAYLOAD_JSON) return outText(JSON)
  outText(' [')
  outText(claimOf(failure))
  if (failure == BAD_IAT || failure == BAD_NBF || failure == BAD_EXP)
    return outText('] field must be a number from 0 on')
  outText(STRING)
  if (failure == BAD_AUD) outText(' or string array')
}

function claimOf(failure: i32): string {
  if (failure == BAD_ISS) return 'iss'
  if (failure == BAD_SUB) return 'sub'
  if (failure == BAD_IAT) return 'iat'
  if (failure == BAD_NBF) return 'nbf'
  if (failure == BAD_EXP) return 'exp'
  return failure == BAD_JTI ? 'jti' : 'aud'
}
