// Who asked, and where it went, as log lines show it.

import { SLASH } from './bytes.ts'
import { cameByTls } from './forwarded.ts'
import { isFromOutside } from './hop.ts'
import { isIpv4, outIp } from './ip-address.ts'
import { ADDRESS_PORT, ADDRESS_WITHOUT_PORT } from './layout/access-log.ts'
import { FIELD_X_FORWARDED_FOR, FIELD_X_FORWARDED_PROTO } from './layout/fields.ts'
import { HTTP_SIZE, HTTP_TRUSTED_PROXIES } from './layout/http.ts'
import { SECTION_HTTP } from './layout/policy.ts'
import {
  DIRECTION_INBOUND,
  IN_PEER_LEN,
  IN_PEER_PTR,
  IN_SOURCE_IP,
  IN_SOURCE_PORT,
  IN_TARGET_LEN,
  IN_TARGET_PORT,
  IN_TARGET_PTR,
  INPUT,
} from './layout/record.ts'
import { beginValue, endValue, outEscaped, outNumber, outOwn, outValue } from './log-value.ts'
import {
  direction,
  equalBytes,
  fieldValueLen,
  fieldValuePtr,
  findFieldById,
  inU32,
  nextField,
  outByte,
  outDecimal,
  outText,
  remoteIpPtr,
} from './message.ts'
import { sectionLen, sectionPtr } from './policy.ts'

/** The port is known of the peer only: what a proxy tells of the client has none, for which Envoy writes 0. */
export function remotePort(): u32 {
  return equalBytes(remoteIpPtr(), 16, INPUT + IN_SOURCE_IP, 16) ? inU32(IN_SOURCE_PORT) : 0
}

export function outAddress(form: i32, ip: i32, port: u32, part: i32): bool {
  if (part == ADDRESS_PORT) {
    outNumber(port)
    return true
  }
  beginValue(form, 64)
  const bracketed = part != ADDRESS_WITHOUT_PORT && !isIpv4(ip)
  if (bracketed) outByte(0x5b)
  outIp(ip)
  if (bracketed) outByte(0x5d)
  if (part != ADDRESS_WITHOUT_PORT) {
    outByte(0x3a)
    outDecimal(port)
  }
  endValue(form)
  return true
}

export function outPeerUri(form: i32, limit: i32): bool {
  if (inU32(IN_PEER_LEN) == 0) return false
  beginValue(form, limit)
  outOwn('spiffe://')
  outEscaped(form, inU32(IN_PEER_PTR), inU32(IN_PEER_LEN))
  endValue(form)
  return true
}

/** Istio's names: `inbound|PORT||`, or `outbound|PORT||NAME.NAMESPACE.svc.cluster.local`. */
export function outCluster(form: i32, limit: i32, suffix: i32, suffixLen: i32): bool {
  const target = inU32(IN_TARGET_PTR)
  const targetLen = inU32(IN_TARGET_LEN)
  if (targetLen == 0) return false
  beginValue(form, limit)
  const inbound = direction() == DIRECTION_INBOUND
  outText(inbound ? 'inbound|' : 'outbound|')
  outDecimal(inU32(IN_TARGET_PORT))
  outText('||')
  if (!inbound) {
    let slash: u32 = 0
    while (slash < targetLen && load<u8>(target + slash) != SLASH) slash++
    if (slash < targetLen) outEscaped(form, target + slash + 1, targetLen - slash - 1)
    outOwn('.')
    outEscaped(form, target, slash)
    outEscaped(form, suffix, suffixLen)
  }
  endValue(form)
  return true
}

/** As the field is forwarded: at the gateway with the peer's own address behind what came. */
export function outForwardedFor(form: i32, limit: i32): bool {
  const atGateway = isFromOutside()
  let field = findFieldById(FIELD_X_FORWARDED_FOR)
  if (field < 0 && !atGateway) return false
  beginValue(form, limit)
  let first = true
  for (; field >= 0; field = nextField(field)) {
    if (fieldValueLen(field) == 0) continue
    if (!first) outOwn(', ')
    outEscaped(form, fieldValuePtr(field), fieldValueLen(field))
    first = false
  }
  if (atGateway) {
    if (!first) outOwn(', ')
    outIp(INPUT + IN_SOURCE_IP)
  }
  endValue(form)
  return true
}

export function outForwardedProto(form: i32, limit: i32): bool {
  if (isFromOutside()) {
    const http = sectionPtr(SECTION_HTTP)
    return outScheme(
      form,
      limit,
      sectionLen(SECTION_HTTP) >= HTTP_SIZE && cameByTls(load<i32>(http + HTTP_TRUSTED_PROXIES)),
    )
  }
  const field = findFieldById(FIELD_X_FORWARDED_PROTO)
  if (field < 0) return false
  outValue(form, limit, fieldValuePtr(field), fieldValueLen(field))
  return true
}

export function outScheme(form: i32, limit: i32, isHttps: bool): bool {
  beginValue(form, limit)
  outOwn(isHttps ? 'https' : 'http')
  endValue(form)
  return true
}
