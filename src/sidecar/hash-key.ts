// What of a request says which instance it goes to (consistent hash, layout/breaker.ts).

import { equalBytes, HASH_PRIME, HASH_SEED, hashBytes, hashBytesLower, SP } from './bytes.ts'
import {
  HASH_COOKIE,
  HASH_HEADER,
  HASH_KEY_COOKIE,
  HASH_KEY_COOKIE_LEN,
  HASH_KEY_KIND,
  HASH_KEY_NAME,
  HASH_KEY_NAME_LEN,
  HASH_QUERY,
} from './layout/breaker.ts'
import { FIELD_COOKIE } from './layout/fields.ts'
import { IN_RANDOM, INPUT } from './layout/record.ts'
import {
  fieldValueLen,
  fieldValuePtr,
  findField,
  findFieldById,
  nextField,
  outByte,
  outBytes,
  outPosition,
  outText,
  queryLen,
  queryPtr,
  remoteIpPtr,
} from './message.ts'
import { respondWithAdd } from './response-fields.ts'

const AMPERSAND: u32 = 0x26
const SEMICOLON: u32 = 0x3b
const EQUALS: u32 = 0x3d
const QUOTE: u32 = 0x22

/** The request's hash by the key at `key`, 0 where it has nothing of the kind; a cookie that the mesh sets is noted then. */
export function hashRequest(section: i32, key: i32): u32 {
  const name = section + load<i32>(key + HASH_KEY_NAME)
  const nameLen = load<i32>(key + HASH_KEY_NAME_LEN)
  switch (load<i32>(key + HASH_KEY_KIND)) {
    case HASH_HEADER:
      return hashField(name, nameLen)
    case HASH_COOKIE:
      return hashCookie(section, key, name, nameLen)
    case HASH_QUERY:
      return hashParameter(name, nameLen)
    default:
      return something(hashBytes(remoteIpPtr(), 16))
  }
}

function hashField(name: i32, nameLen: i32): u32 {
  let field = findField(name, nameLen, hashBytesLower(name, nameLen))
  if (field < 0) return 0
  let hash = HASH_SEED
  for (; field >= 0; field = nextField(field))
    hash = (hash ^ hashBytes(fieldValuePtr(field), fieldValueLen(field))) * HASH_PRIME
  return something(hash)
}

function hashCookie(section: i32, key: i32, name: i32, nameLen: i32): u32 {
  for (let field = findFieldById(FIELD_COOKIE); field >= 0; field = nextField(field)) {
    const hash = hashPair(fieldValuePtr(field), fieldValueLen(field), SEMICOLON, name, nameLen)
    if (hash != 0) return hash
  }
  const attributesLen = load<i32>(key + HASH_KEY_COOKIE_LEN)
  return attributesLen == 0
    ? 0
    : setCookie(name, nameLen, section + load<i32>(key + HASH_KEY_COOKIE), attributesLen)
}

function hashParameter(name: i32, nameLen: i32): u32 {
  return hashPair(queryPtr(), queryLen(), AMPERSAND, name, nameLen)
}

/** Hash of the value of the first `name=value` among the pairs that `separator` stands between, 0 where there is none. */
function hashPair(start: i32, len: i32, separator: u32, name: i32, nameLen: i32): u32 {
  const end = start + len
  let p = start
  while (p < end) {
    let stop = p
    while (stop < end && load<u8>(stop) != separator) stop++
    if (separator == SEMICOLON) while (p < stop && load<u8>(p) == SP) p++
    if (stop - p > nameLen && load<u8>(p + nameLen) == EQUALS && equalBytes(p, nameLen, name, nameLen))
      return hashValue(p + nameLen + 1, stop)
    p = stop + 1
  }
  return 0
}

/** A cookie's quotes are not part of its value, and it comes back with them or without. */
function hashValue(start: i32, end: i32): u32 {
  let from = start
  let to = end
  while (to > from && load<u8>(to - 1) == SP) to--
  if (to - from >= 2 && load<u8>(from) == QUOTE && load<u8>(to - 1) == QUOTE) {
    from++
    to--
  }
  return something(hashBytes(from, to - from))
}

/** Gives the client a cookie with a value of chance, by which this request is sent as well. */
function setCookie(name: i32, nameLen: i32, attributes: i32, attributesLen: i32): u32 {
  const start = outPosition()
  outBytes(name, nameLen)
  outText('="')
  const value = outPosition()
  outHex(hashBytes(INPUT + IN_RANDOM, 24))
  outHex(hashBytes(INPUT + IN_RANDOM + 24, 24))
  const valueLen = outPosition() - value
  outByte(QUOTE)
  outBytes(attributes, attributesLen)
  const cookieLen = outPosition() - start
  const field = outPosition()
  outText('set-cookie')
  respondWithAdd(field, outPosition() - field, start, cookieLen)
  return something(hashBytes(value, valueLen))
}

function outHex(value: u32): void {
  for (let shift = 28; shift >= 0; shift -= 4) {
    const digit = (value >> shift) & 15
    outByte(digit < 10 ? 0x30 + digit : 0x57 + digit)
  }
}

/** 0 says that there is no hash. */
function something(hash: u32): u32 {
  return hash == 0 ? 1 : hash
}
