// The fields that tell a function by what way a request came: X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Client-Cert
// and X-Request-Id. From outside nobody but the mesh sets them.

import { isText } from './bytes.ts'
import { setOf } from './field-classes.ts'
import { isForwarded, isFromOutside, outAttemptCount } from './hop.ts'
import { outIp } from './ip-address.ts'
import {
  FIELD_FORWARDED,
  FIELD_INTERNAL,
  FIELD_X_FORWARDED_CLIENT_CERT,
  FIELD_X_FORWARDED_FOR,
  FIELD_X_FORWARDED_PROTO,
  FIELD_X_REQUEST_ID,
} from './layout/fields.ts'
import { IDENTITY_HEADER, IDENTITY_PRINCIPAL, IDENTITY_PRINCIPAL_LEN } from './layout/identity.ts'
import {
  DIRECTION_INBOUND,
  IN_FLAG_TLS,
  IN_FLAGS,
  IN_PEER_HASH_LEN,
  IN_PEER_HASH_PTR,
  IN_PEER_LEN,
  IN_PEER_PTR,
  IN_SOURCE_IP,
  INPUT,
} from './layout/record.ts'
import {
  direction,
  fieldValueLen,
  fieldValuePtr,
  findFieldById,
  inU32,
  nextField,
  outBytes,
  outText,
  requestIdPtr,
} from './message.ts'
import { REQUEST_ID_LEN } from './request-id.ts'

/** The received fields that outForwardedFields replaces or that must not go on. */
export function replacedFields(trustedProxies: i32): u64 {
  let set = setOf(FIELD_INTERNAL) | setOf(FIELD_X_REQUEST_ID) | setOf(FIELD_X_FORWARDED_CLIENT_CERT)
  if (isFromOutside()) {
    set |= setOf(FIELD_X_FORWARDED_FOR) | setOf(FIELD_X_FORWARDED_PROTO)
    if (trustedProxies == 0) set |= setOf(FIELD_FORWARDED)
  }
  return set
}

/** Writes the fields; `identity` is the own IDENTITY section. */
export function outForwardedFields(trustedProxies: i32, identity: i32, identityLen: i32): void {
  if (isFromOutside()) {
    outForwardedFor()
    outText('\r\nx-forwarded-proto: ')
    outText(cameByTls(trustedProxies) ? 'https' : 'http')
    outText('\r\n')
  } else if (tellsPeer(identityLen)) {
    outText('x-forwarded-client-cert: ')
    outClientCert(identity)
    outText('\r\n')
  }
  if (isForwarded()) outAttemptCount()
  outText('x-request-id: ')
  outBytes(requestIdPtr(), REQUEST_ID_LEN)
  outText('\r\n')
}

/** Whether the function is told who calls. */
export function tellsPeer(identityLen: i32): bool {
  return direction() == DIRECTION_INBOUND && inU32(IN_PEER_LEN) != 0 && identityLen >= IDENTITY_HEADER
}

/** Writes the value of X-Forwarded-Client-Cert; `identity` is the own IDENTITY section. */
export function outClientCert(identity: i32): void {
  outText('By=spiffe://')
  outBytes(identity + load<i32>(identity + IDENTITY_PRINCIPAL), load<i32>(identity + IDENTITY_PRINCIPAL_LEN))
  if (inU32(IN_PEER_HASH_LEN) != 0) {
    outText(';Hash=')
    outBytes(inU32(IN_PEER_HASH_PTR), inU32(IN_PEER_HASH_LEN))
    outText(';Subject=""')
  }
  outText(';URI=spiffe://')
  outBytes(inU32(IN_PEER_PTR), inU32(IN_PEER_LEN))
}

/** Whether the client spoke TLS, as X-Forwarded-Proto tells it. */
export function cameByTls(trustedProxies: i32): bool {
  return trustedProxies > 0 ? trustedProto() : (inU32(IN_FLAGS) & IN_FLAG_TLS) != 0
}

// What came, then the peer's own address.
function outForwardedFor(): void {
  outText('x-forwarded-for: ')
  for (let field = findFieldById(FIELD_X_FORWARDED_FOR); field >= 0; field = nextField(field)) {
    if (fieldValueLen(field) == 0) continue
    outBytes(fieldValuePtr(field), fieldValueLen(field))
    outText(', ')
  }
  outIp(INPUT + IN_SOURCE_IP)
}

// A trusted proxy knows whether the client spoke TLS; what it says otherwise does not count.
function trustedProto(): bool {
  const field = findFieldById(FIELD_X_FORWARDED_PROTO)
  if (field >= 0 && nextField(field) < 0) {
    if (isText(fieldValuePtr(field), fieldValueLen(field), 'https')) return true
    if (isText(fieldValuePtr(field), fieldValueLen(field), 'http')) return false
  }
  return (inU32(IN_FLAGS) & IN_FLAG_TLS) != 0
}
