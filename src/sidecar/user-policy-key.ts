// What the sidecar tells the engine about a message for users' policies (layout/user-policies.ts): only what the stage's policies
// declare that they read.

import { claimCount, claimLen, claimPtr } from './claims.ts'
import { findForwarded, forwardedLen, forwardedPtr } from './field-as-forwarded.ts'
import { outIp } from './ip-address.ts'
import { IN_PEER_LEN, IN_PEER_PTR, IN_TIME, INPUT } from './layout/record.ts'
import {
  CLAIM_PATH,
  CLAIM_PATH_LEN,
  FIELD_NAME,
  FIELD_NAME_HASH,
  FIELD_NAME_LEN,
  KEY_DIRECTION,
  KEY_HEADER,
  KEY_SLOTS,
  KEY_STAGE,
  KEY_STATUS,
  KEY_TIME,
  NAMED_LENGTH,
  SLOT_ABSENT,
  SLOT_AUTHORITY,
  SLOT_CARRY,
  SLOT_CLIENT_ADDRESS,
  SLOT_FIRST_FIELD,
  SLOT_METHOD,
  SLOT_PATH,
  SLOT_PRINCIPAL,
  SLOT_QUERY,
  SLOT_SIZE,
  STAGE_ATTRIBUTES,
  STAGE_CLAIMS,
  STAGE_FIELDS,
  STAGE_HEADER,
  STAGE_RESPONSE,
} from './layout/user-policies.ts'
import {
  authorityLen,
  authorityPtr,
  direction,
  fieldValueLen,
  fieldValuePtr,
  findField,
  inU32,
  methodLen,
  methodPtr,
  nextField,
  outBytes,
  outPosition,
  outReserve,
  outText,
  pathLen,
  pathPtr,
  queryLen,
  queryPtr,
  remoteIpPtr,
} from './message.ts'
import { carryLen, carryPtr } from './user-carry.ts'

let key: i32 = 0
let slot: i32 = 0

/** Writes the key for a stage and gives its address, 0 where it does not fit; it ends where the output then ends. */
export function outStageKey(stage: i32, block: i32, status: i32): i32 {
  outReserve(-outPosition() & 7)
  key = outPosition()
  const fields = load<i32>(block + STAGE_FIELDS)
  const claims = load<i32>(block + STAGE_CLAIMS)
  const slots = SLOT_FIRST_FIELD + fields + claims
  if (!outReserve(KEY_HEADER + slots * SLOT_SIZE)) return 0
  store<i32>(key + KEY_STAGE, stage)
  store<i32>(key + KEY_STATUS, status)
  store<i32>(key + KEY_DIRECTION, direction())
  store<i32>(key + KEY_SLOTS, slots)
  store<u64>(key + KEY_TIME, load<u64>(INPUT + IN_TIME))
  slot = key + KEY_HEADER
  outAttributes(stage, load<i32>(block + STAGE_ATTRIBUTES))
  let at = block + STAGE_HEADER
  for (let left = fields; left > 0; left--) {
    if (stage == STAGE_RESPONSE) outResponseField(at)
    else outRequestField(at)
    at += load<i32>(at + NAMED_LENGTH)
  }
  for (let left = claims; left > 0; left--) {
    outClaim(at + CLAIM_PATH, load<i32>(at + CLAIM_PATH_LEN))
    at += load<i32>(at + NAMED_LENGTH)
  }
  return key
}

function outAttributes(stage: i32, attributes: i32): void {
  const isResponse = stage == STAGE_RESPONSE
  const peerLen: i32 = inU32(IN_PEER_LEN)
  outAttribute(wants(attributes, SLOT_METHOD), methodPtr(), methodLen())
  outAttribute(wants(attributes, SLOT_PATH), pathPtr(), pathLen())
  outAttribute(wants(attributes, SLOT_QUERY) && queryPtr() != 0, queryPtr(), queryLen())
  outAttribute(wants(attributes, SLOT_AUTHORITY), authorityPtr(), authorityLen())
  outAttribute(wants(attributes, SLOT_PRINCIPAL) && peerLen > 0, inU32(IN_PEER_PTR), peerLen)
  if (wants(attributes, SLOT_CLIENT_ADDRESS)) {
    const start = outPosition()
    outIp(remoteIpPtr())
    note(start, outPosition() - start)
  } else absent()
  outAttribute(isResponse && carryLen() > 0 && wants(attributes, SLOT_CARRY), carryPtr(), carryLen())
}

function wants(attributes: i32, which: i32): bool {
  return ((attributes >> which) & 1) != 0
}

function outAttribute(isThere: bool, ptr: i32, len: i32): void {
  if (isThere) outValue(ptr, len)
  else absent()
}

function outRequestField(named: i32): void {
  const length = load<i32>(named + FIELD_NAME_LEN)
  if (!findForwarded(named + FIELD_NAME, length, load<u32>(named + FIELD_NAME_HASH))) return absent()
  const ptr = forwardedPtr()
  // A value that was put together just now lies behind the key already.
  if (ptr > key) note(ptr, forwardedLen())
  else outValue(ptr, forwardedLen())
}

/** Fields of one name are one list (RFC 9110 5.3). */
function outResponseField(named: i32): void {
  let field = findField(
    named + FIELD_NAME,
    load<i32>(named + FIELD_NAME_LEN),
    load<u32>(named + FIELD_NAME_HASH),
  )
  if (field < 0) return absent()
  const start = outPosition()
  outBytes(fieldValuePtr(field), fieldValueLen(field))
  for (field = nextField(field); field >= 0; field = nextField(field)) {
    outText(',')
    outBytes(fieldValuePtr(field), fieldValueLen(field))
  }
  note(start, outPosition() - start)
}

function outClaim(path: i32, pathSize: i32): void {
  const count = claimCount(path, pathSize)
  if (count == 0) return absent()
  const start = outPosition()
  for (let i = 0; i < count; i++) {
    const length = claimLen(path, pathSize, i)
    const value = claimPtr(path, pathSize, i)
    const at = outPosition()
    if (!outReserve(4)) return
    store<i32>(at, length)
    outBytes(value, length)
  }
  note(start, outPosition() - start)
}

function outValue(ptr: i32, len: i32): void {
  const start = outPosition()
  outBytes(ptr, len)
  note(start, len)
}

function note(start: i32, len: i32): void {
  store<i32>(slot, start - key)
  store<i32>(slot + 4, len)
  slot += SLOT_SIZE
}

function absent(): void {
  store<u32>(slot + 4, SLOT_ABSENT)
  slot += SLOT_SIZE
}
