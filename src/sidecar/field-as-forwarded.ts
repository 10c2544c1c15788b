// A field's whole value as the function will get it, which is what policies judge: repeated fields are one list
// (RFC 9110 5.3), joined by commas as Envoy does, cookies by "; "; what the sidecar drops is not there; what the mesh
// itself says of the request's way stands in place of what came. Trace fields are judged as received.

import { FRAMING, HOP_BY_HOP, isIn } from './field-classes.ts'
import { idOfName } from './field-table.ts'
import { fieldDropped } from './fields.ts'
import { cameByTls, outClientCert, replacedFields, tellsPeer } from './forwarded.ts'
import { statedBody, statedLength, statesLength } from './framing.ts'
import { isFromOutside } from './hop.ts'
import { outIp } from './ip-address.ts'
import {
  FIELD_CONNECTION,
  FIELD_COOKIE,
  FIELD_EXPECT,
  FIELD_TE,
  FIELD_TRANSFER_ENCODING,
  FIELD_UPGRADE,
  FIELD_X_FORWARDED_CLIENT_CERT,
  FIELD_X_FORWARDED_FOR,
  FIELD_X_FORWARDED_PROTO,
  FIELD_X_REQUEST_ID,
} from './layout/fields.ts'
import { HTTP_SIZE, HTTP_TRUSTED_PROXIES } from './layout/http.ts'
import { SECTION_HTTP, SECTION_IDENTITY } from './layout/policy.ts'
import { BODY_CHUNKED, IN_SOURCE_IP, INPUT } from './layout/record.ts'
import { SCRATCH_AUTHORIZATION } from './layout/scratch.ts'
import {
  fieldValueLen,
  fieldValuePtr,
  findField,
  nextField,
  outBytes,
  outDecimal,
  outOverflowed,
  outPosition,
  outReserve,
  outText,
  requestIdPtr,
} from './message.ts'
import { sectionLen, sectionPtr } from './policy.ts'
import { REQUEST_ID_LEN } from './request-id.ts'
import { expectsContinue, takesTrailers, upgradeValueLen, upgradeValuePtr } from './upgrade.ts'

/** For each field's index the address of its joined value, as u32 length and bytes; 0 where none was written yet. */
const JOINED: i32 = SCRATCH_AUTHORIZATION
const MOST_JOINED: i32 = 192

let value: i32 = 0
let valueSize: i32 = 0
/** The same for x-forwarded-for and x-forwarded-client-cert. */
let forwardedFor: i32 = 0
let clientCert: i32 = 0
let joined: bool = false

/** Forgets what was written in an earlier call, whose output is gone. */
export function forgetForwarded(): void {
  forwardedFor = 0
  clientCert = 0
  if (joined) memory.fill(JOINED, 0, MOST_JOINED * 4)
  joined = false
}

/** Finds the field; false where none goes on. Its value is then at forwardedPtr. */
export function findForwarded(namePtr: i32, nameLen: i32, hash: u32): bool {
  const id = idOfName(namePtr, nameLen, hash)
  if (id == FIELD_X_REQUEST_ID) return take(requestIdPtr(), REQUEST_ID_LEN)
  if (id == FIELD_X_FORWARDED_CLIENT_CERT) return writeClientCert()
  if (isIn(HOP_BY_HOP, id)) return findHopByHop(id)
  if (isIn(FRAMING, id)) return findFraming(id)
  const isIngress = isFromOutside()
  if (isIngress && id == FIELD_X_FORWARDED_PROTO) return writeProto()
  const first = notDropped(findField(namePtr, nameLen, hash))
  if (isIngress && id == FIELD_X_FORWARDED_FOR) return writeForwardedFor(first)
  if (first < 0 || isIn(replacedFields(trustedProxies()), id)) return false
  if (id == FIELD_EXPECT && !expectsContinue()) return false
  const second = notDropped(nextField(first))
  if (second < 0) return take(fieldValuePtr(first), fieldValueLen(first))
  return writeList(first, second, id == FIELD_COOKIE)
}

export function forwardedPtr(): i32 {
  return value
}

export function forwardedLen(): i32 {
  return valueSize
}

/** The field itself or the next one of its name that is not dropped, -1 where there is none. */
function notDropped(field: i32): i32 {
  while (field >= 0 && fieldDropped(field)) field = nextField(field)
  return field
}

function trustedProxies(): i32 {
  return sectionLen(SECTION_HTTP) < HTTP_SIZE ? 0 : load<i32>(sectionPtr(SECTION_HTTP) + HTTP_TRUSTED_PROXIES)
}

function take(ptr: i32, len: i32): bool {
  value = ptr
  valueSize = len
  return true
}

function takeText(text: string): bool {
  const start = outPosition()
  outText(text)
  return take(start, outPosition() - start)
}

/** A record of u32 length and bytes. */
function takeRecord(record: i32): bool {
  return record == 0 ? take(0, 0) : take(record + 4, load<i32>(record))
}

/** Begins a record with room for its length. */
function beginRecord(): i32 {
  const record = outPosition()
  outReserve(4)
  return record
}

/** Ends it; 0 where it did not fit: then the phase fails by the writer's overflow, whatever is judged. */
function endRecord(record: i32): i32 {
  if (outOverflowed()) return 0
  store<i32>(record, outPosition() - record - 4)
  return record
}

function writeProto(): bool {
  return takeText(cameByTls(trustedProxies()) ? 'https' : 'http')
}

/** What outFraming of framing.ts writes. */
function findFraming(id: i32): bool {
  const chunked = statedBody() == BODY_CHUNKED
  if (id == FIELD_TRANSFER_ENCODING) return chunked && takeText('chunked')
  if (chunked || !statesLength()) return false
  const start = outPosition()
  outDecimal(statedLength())
  return take(start, outPosition() - start)
}

/** What outHopByHop of forward-head.ts writes. */
function findHopByHop(id: i32): bool {
  const upgrades = upgradeValueLen() > 0
  if (id == FIELD_UPGRADE) return upgrades && take(upgradeValuePtr(), upgradeValueLen())
  if (id == FIELD_TE) return takesTrailers() && takeText('trailers')
  if (id != FIELD_CONNECTION) return false
  if (!takesTrailers()) return upgrades && takeText('upgrade')
  return takeText(upgrades ? 'upgrade, te' : 'te')
}

function writeClientCert(): bool {
  if (!tellsPeer(sectionLen(SECTION_IDENTITY))) return false
  if (clientCert != 0) return takeRecord(clientCert)
  const record = beginRecord()
  outClientCert(sectionPtr(SECTION_IDENTITY))
  clientCert = endRecord(record)
  return takeRecord(clientCert)
}

/** What came, then the peer's own address. */
function writeForwardedFor(first: i32): bool {
  if (forwardedFor != 0) return takeRecord(forwardedFor)
  const record = beginRecord()
  for (let field = first; field >= 0; field = notDropped(nextField(field))) {
    if (fieldValueLen(field) == 0) continue
    outBytes(fieldValuePtr(field), fieldValueLen(field))
    outText(',')
  }
  outIp(INPUT + IN_SOURCE_IP)
  forwardedFor = endRecord(record)
  return takeRecord(forwardedFor)
}

function writeList(first: i32, second: i32, cookie: bool): bool {
  const known = first < MOST_JOINED ? load<i32>(JOINED + (first << 2)) : 0
  if (known != 0) return takeRecord(known)
  const record = beginRecord()
  outBytes(fieldValuePtr(first), fieldValueLen(first))
  for (let field = second; field >= 0; field = notDropped(nextField(field))) {
    outText(cookie ? '; ' : ',')
    outBytes(fieldValuePtr(field), fieldValueLen(field))
  }
  const ended = endRecord(record)
  if (first < MOST_JOINED) store<i32>(JOINED + (first << 2), ended)
  joined = true
  return takeRecord(ended)
}
