// The attributes that expressions may name, as values on the stack (layout/observation.ts).

import { findForwarded, forwardedLen, forwardedPtr } from './field-as-forwarded.ts'
import { fieldDropped } from './fields.ts'
import { isIpv4, outIp } from './ip-address.ts'
import { FIELD_INTERNAL } from './layout/fields.ts'
import { IDENTITY_HEADER, IDENTITY_PRINCIPAL, IDENTITY_PRINCIPAL_LEN } from './layout/identity.ts'
import {
  OBSERVED_CODE,
  OBSERVED_CODE_DETAILS,
  OBSERVED_DESTINATION_ADDRESS,
  OBSERVED_DESTINATION_PORT,
  OBSERVED_HOST,
  OBSERVED_LOCAL_URI,
  OBSERVED_METHOD,
  OBSERVED_MTLS,
  OBSERVED_PATH,
  OBSERVED_PEER_URI,
  OBSERVED_PROTOCOL,
  OBSERVED_QUERY,
  OBSERVED_REQUEST_ID,
  OBSERVED_SCHEME,
  OBSERVED_SOURCE_ADDRESS,
  OBSERVED_SOURCE_PORT,
  OBSERVED_UPSTREAM_ADDRESS,
  OBSERVED_UPSTREAM_PORT,
  OBSERVED_URL_PATH,
} from './layout/observation.ts'
import { SECTION_IDENTITY } from './layout/policy.ts'
import {
  IN_FLAG_TLS,
  IN_FLAGS,
  IN_LOCAL_IP,
  IN_LOCAL_STATUS,
  IN_PEER_LEN,
  IN_PEER_PTR,
  IN_TARGET_PORT,
  IN_UPSTREAM_LEN,
  IN_UPSTREAM_PTR,
  INPUT,
  OUT_STATUS,
  OUTPUT,
} from './layout/record.ts'
import { remotePort } from './log-address.ts'
import { detailsEntry } from './log-operators.ts'
import {
  authorityLen,
  authorityPtr,
  fieldId,
  fieldValueLen,
  fieldValuePtr,
  findField,
  httpMinor,
  inU32,
  methodLen,
  methodPtr,
  nextField,
  outByte,
  outBytes,
  outDecimal,
  outPosition,
  outText,
  pathLen,
  pathPtr,
  queryLen,
  queryPtr,
  remoteIpPtr,
  requestIdPtr,
} from './message.ts'
import { pushError, pushInteger, pushText, pushTruth } from './observed-value.ts'
import { sectionLen, sectionPtr } from './policy.ts'
import { findReplyField, replyFieldLen, replyFieldPtr } from './reply-field.ts'
import { REQUEST_ID_LEN } from './request-id.ts'

/** Puts an attribute's value on the stack; `table` and `entries` are those of OBSERVED_CODE_DETAILS. */
export function pushAttribute(code: i32, section: i32, table: i32, entries: i32): void {
  switch (code) {
    case OBSERVED_PATH:
      return pushPath()
    case OBSERVED_URL_PATH:
      return pushPresent(pathPtr(), pathLen())
    case OBSERVED_QUERY:
      return pushText(queryPtr(), queryLen())
    case OBSERVED_HOST:
      return pushPresent(authorityPtr(), authorityLen())
    case OBSERVED_SCHEME:
      return pushOwn((inU32(IN_FLAGS) & IN_FLAG_TLS) != 0 ? 'https' : 'http')
    case OBSERVED_METHOD:
      return pushPresent(methodPtr(), methodLen())
    case OBSERVED_PROTOCOL:
      return pushOwn(httpMinor() == 0 ? 'HTTP/1.0' : 'HTTP/1.1')
    case OBSERVED_REQUEST_ID:
      return pushText(requestIdPtr(), REQUEST_ID_LEN)
    case OBSERVED_SOURCE_ADDRESS:
      return pushAddress(remoteIpPtr(), remotePort())
    case OBSERVED_SOURCE_PORT:
      return pushInteger(remotePort() as i64)
    case OBSERVED_DESTINATION_ADDRESS:
      return pushAddress(INPUT + IN_LOCAL_IP, inU32(IN_TARGET_PORT))
    case OBSERVED_DESTINATION_PORT:
      return pushInteger(inU32(IN_TARGET_PORT) as i64)
    case OBSERVED_MTLS:
      return pushTruth(inU32(IN_PEER_LEN) != 0)
    case OBSERVED_PEER_URI:
      return pushUri(inU32(IN_PEER_PTR), inU32(IN_PEER_LEN))
    case OBSERVED_LOCAL_URI:
      return pushLocalUri()
    case OBSERVED_CODE: {
      const local = inU32(IN_LOCAL_STATUS)
      return pushInteger((local != 0 ? local : load<u32>(OUTPUT + OUT_STATUS)) as i64)
    }
    case OBSERVED_CODE_DETAILS: {
      const entry = detailsEntry(section + table, entries)
      return pushText(section + load<i32>(entry + 4), load<i32>(entry + 8))
    }
    case OBSERVED_UPSTREAM_ADDRESS:
      return pushPresent(inU32(IN_UPSTREAM_PTR), inU32(IN_UPSTREAM_LEN))
    case OBSERVED_UPSTREAM_PORT:
      return pushUpstreamPort()
    default:
      unreachable()
  }
}

/** A field of the request as the function gets it, all of its lines joined. */
export function pushRequestField(name: i32, nameLen: i32, hash: u32): void {
  if (findForwarded(name, nameLen, hash)) pushText(forwardedPtr(), forwardedLen())
  else pushError()
}

/** A field of the response as the upstream sent it, or of the mesh's own reply. */
export function pushResponseField(name: i32, nameLen: i32, hash: u32): void {
  if (inU32(IN_LOCAL_STATUS) != 0) {
    if (findReplyField(name, nameLen)) pushText(replyFieldPtr(), replyFieldLen())
    else pushError()
    return
  }
  const first = kept(findField(name, nameLen, hash))
  if (first < 0 || fieldId(first) == FIELD_INTERNAL) return pushError()
  let next = kept(nextField(first))
  if (next < 0) return pushText(fieldValuePtr(first), fieldValueLen(first))
  const start = outPosition()
  outBytes(fieldValuePtr(first), fieldValueLen(first))
  for (; next >= 0; next = kept(nextField(next))) {
    outByte(0x2c)
    outBytes(fieldValuePtr(next), fieldValueLen(next))
  }
  pushText(start, outPosition() - start)
}

function kept(field: i32): i32 {
  while (field >= 0 && fieldDropped(field)) field = nextField(field)
  return field
}

function pushPresent(ptr: i32, len: i32): void {
  if (len == 0) pushError()
  else pushText(ptr, len)
}

function pushOwn(text: string): void {
  const start = outPosition()
  outText(text)
  pushText(start, outPosition() - start)
}

function pushPath(): void {
  if (queryPtr() == 0) return pushPresent(pathPtr(), pathLen())
  const start = outPosition()
  outBytes(pathPtr(), pathLen())
  outByte(0x3f)
  outBytes(queryPtr(), queryLen())
  pushText(start, outPosition() - start)
}

function pushAddress(ip: i32, port: u32): void {
  const start = outPosition()
  const bracketed = !isIpv4(ip)
  if (bracketed) outByte(0x5b)
  outIp(ip)
  if (bracketed) outByte(0x5d)
  outByte(0x3a)
  outDecimal(port)
  pushText(start, outPosition() - start)
}

function pushUri(principal: i32, len: i32): void {
  if (len == 0) return pushError()
  const start = outPosition()
  outText('spiffe://')
  outBytes(principal, len)
  pushText(start, outPosition() - start)
}

/** Absent where the peer is not authenticated, and so no identity was shown to it. */
function pushLocalUri(): void {
  const identity = sectionPtr(SECTION_IDENTITY)
  if (inU32(IN_PEER_LEN) == 0 || sectionLen(SECTION_IDENTITY) < IDENTITY_HEADER) return pushError()
  pushUri(identity + load<i32>(identity + IDENTITY_PRINCIPAL), load<i32>(identity + IDENTITY_PRINCIPAL_LEN))
}

function pushUpstreamPort(): void {
  const start: i32 = inU32(IN_UPSTREAM_PTR)
  let at = start + (inU32(IN_UPSTREAM_LEN) as i32)
  let port: i64 = 0
  let scale: i64 = 1
  while (at > start && load<u8>(at - 1) - 0x30 < 10) {
    at--
    port += scale * ((load<u8>(at) - 0x30) as i64)
    scale *= 10
  }
  if (scale == 1) pushError()
  else pushInteger(port)
}
