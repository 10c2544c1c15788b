// What every policy in the sidecar works with: the parsed request, its fields, the output and the verdict.
// The other files of this folder that are public to policies are exported again from here.

import { equalBytes, equalIgnoreCase, hashBytes, hashBytesLower, isText } from './bytes.ts'
import {
  addField,
  fieldCount,
  fieldHash,
  fieldId,
  fieldNameLen,
  fieldNamePtr,
  fieldValueLen,
  fieldValuePtr,
  findField,
  findFieldById,
  nextField,
  removeField,
  removeFields,
  restoreFields,
  sealFields,
  setField,
} from './fields.ts'
import {
  IN_DIRECTION,
  INPUT,
  MAX_VERDICTS,
  OUT_FIELDS_LEN,
  OUT_FIELDS_PTR,
  OUT_REASON,
  OUT_RESPONSE_FLAGS,
  OUT_RESULT,
  OUT_STATUS,
  OUT_TEXT_LEN,
  OUT_TEXT_PTR,
  OUT_VERDICTS,
  OUTPUT,
  RESULT_DENY,
  VERDICT_SIZE,
  VERDICTS,
} from './layout/record.ts'
import { SCRATCH_HOST, SCRATCH_REMOTE_IP, SCRATCH_REQUEST_ID } from './layout/scratch.ts'
import {
  outBegin,
  outByte,
  outBytes,
  outDecimal,
  outOverflowed,
  outPosition,
  outReserve,
  outRoom,
  outText,
} from './writer.ts'

export {
  addField,
  equalBytes,
  equalIgnoreCase,
  fieldCount,
  fieldHash,
  fieldId,
  fieldNameLen,
  fieldNamePtr,
  fieldValueLen,
  fieldValuePtr,
  findField,
  findFieldById,
  hashBytes,
  hashBytesLower,
  isText,
  nextField,
  outBegin,
  outByte,
  outBytes,
  outDecimal,
  outOverflowed,
  outPosition,
  outReserve,
  outRoom,
  outText,
  removeField,
  removeFields,
  setField,
}

let method: i32 = 0
let methodSize: i32 = 0
let target: i32 = 0
let targetSize: i32 = 0
let path: i32 = 0
let pathSize: i32 = 0
let query: i32 = 0
let querySize: i32 = 0
let hostSize: i32 = 0
let authority: i32 = 0
let authoritySize: i32 = 0
let port: i32 = 0
let minor: i32 = 1
let sealedPath: i32 = 0
let sealedPathSize: i32 = 0
let sealedQuery: i32 = 0
let sealedQuerySize: i32 = 0
let sealedAuthority: i32 = 0
let sealedAuthoritySize: i32 = 0
let sealedPort: i32 = 0
let sealedHostSize: i32 = 0

/** A u32 of the input record; `offset` is an IN_*. */
export function inU32(offset: i32): u32 {
  return load<u32>(INPUT + offset)
}

export function outU32(offset: i32, value: u32): void {
  store<u32>(OUTPUT + offset, value)
}

/** DIRECTION_*. */
export function direction(): i32 {
  return load<i32>(INPUT + IN_DIRECTION)
}

export function methodPtr(): i32 {
  return method
}

export function methodLen(): i32 {
  return methodSize
}

/** The request target as received. */
export function targetPtr(): i32 {
  return target
}

export function targetLen(): i32 {
  return targetSize
}

/** The path that is judged and forwarded, without query; "*" for the asterisk form. */
export function pathPtr(): i32 {
  return path
}

export function pathLen(): i32 {
  return pathSize
}

/** The query without its "?"; where there is none both are 0. */
export function queryPtr(): i32 {
  return query
}

export function queryLen(): i32 {
  return querySize
}

/** The authority's host in lower case, without port, brackets and a final dot; "" where there is none. */
export function hostPtr(): i32 {
  return SCRATCH_HOST
}

export function hostLen(): i32 {
  return hostSize
}

/** The authority as it is forwarded in Host, with its port. */
export function authorityPtr(): i32 {
  return authority
}

export function authorityLen(): i32 {
  return authoritySize
}

/** The authority's port, 0 where it has none. */
export function authorityPort(): i32 {
  return port
}

/** The x of the message's HTTP/1.x. */
export function httpMinor(): i32 {
  return minor
}

/** The client's address, 16 bytes: the peer's, or what trusted proxies say in X-Forwarded-For. Set in `decide`. */
export function remoteIpPtr(): i32 {
  return SCRATCH_REMOTE_IP
}

/** The request id, 36 characters. Set in `decide` and where a context has it. */
export function requestIdPtr(): i32 {
  return SCRATCH_REQUEST_ID
}

export function setMethod(ptr: i32, len: i32): void {
  method = ptr
  methodSize = len
}

export function setTarget(ptr: i32, len: i32): void {
  target = ptr
  targetSize = len
}

export function setPath(ptr: i32, len: i32): void {
  path = ptr
  pathSize = len
}

export function setQuery(ptr: i32, len: i32): void {
  query = ptr
  querySize = len
}

/** The host's `hostBytes` bytes are in SCRATCH_HOST already. */
export function setAuthority(ptr: i32, len: i32, hostBytes: i32, portNumber: i32): void {
  authority = ptr
  authoritySize = len
  hostSize = hostBytes
  port = portNumber
}

export function setHttpMinor(value: i32): void {
  minor = value
}

/** Notes that this is the request as received. */
export function sealRequest(): void {
  sealedPath = path
  sealedPathSize = pathSize
  sealedQuery = query
  sealedQuerySize = querySize
  sealedAuthority = authority
  sealedAuthoritySize = authoritySize
  sealedPort = port
  sealedHostSize = hostSize
  sealFields()
}

/** Brings the request back to what was received, without what an earlier run of the phase made of it. */
export function restoreRequest(): void {
  path = sealedPath
  pathSize = sealedPathSize
  query = sealedQuery
  querySize = sealedQuerySize
  authority = sealedAuthority
  authoritySize = sealedAuthoritySize
  port = sealedPort
  hostSize = sealedHostSize
  restoreFields()
}

/** Notes what a policy (POLICY_*) says (VERDICT_*), and by which rule (NO_RULE: none); beyond MAX_VERDICTS nothing is noted. */
export function recordVerdict(policy: i32, verdict: i32, rule: i32): void {
  const count = load<i32>(OUTPUT + OUT_VERDICTS)
  if (count >= MAX_VERDICTS) return
  store<u32>(VERDICTS + count * VERDICT_SIZE, policy | (verdict << 8) | (rule << 16))
  store<i32>(OUTPUT + OUT_VERDICTS, count + 1)
}

/** Refuses the request: the phase ends with the result that this returns. Text at address 0: the reason's own text. */
export function deny(status: i32, reason: i32, textPtr: i32, textLen: i32): i32 {
  store<i32>(OUTPUT + OUT_STATUS, status)
  store<i32>(OUTPUT + OUT_REASON, reason)
  store<i32>(OUTPUT + OUT_TEXT_PTR, textPtr)
  store<i32>(OUTPUT + OUT_TEXT_LEN, textLen)
  store<i32>(OUTPUT + OUT_RESULT, RESULT_DENY)
  return RESULT_DENY
}

/** Extra fields of a denial: whole lines `name: value` CRLF, which go out with the reply; `flags` are RESPONSE_FLAG_* bits. */
export function denyWithFields(linesPtr: i32, linesLen: i32, flags: i32): void {
  store<i32>(OUTPUT + OUT_FIELDS_PTR, linesPtr)
  store<i32>(OUTPUT + OUT_FIELDS_LEN, linesLen)
  store<i32>(OUTPUT + OUT_RESPONSE_FLAGS, flags)
}
