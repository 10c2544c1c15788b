// Where a request carries its token: in a header field behind a prefix, as a parameter of the query, as a cookie. A request with two
// is refused whatever they are: what a function takes for the caller's must be the one that was judged.

import { equalBytes, HTAB, hexValue, PERCENT, SP } from './bytes.ts'
import { fieldDropped } from './fields.ts'
import {
  AUTHN_FIRST_LOCATION,
  AUTHN_LOCATIONS,
  LOCATION_HASH,
  LOCATION_IN_HEADER,
  LOCATION_IN_PARAM,
  LOCATION_KIND,
  LOCATION_LENGTH,
  LOCATION_NAME,
  LOCATION_NAME_LENGTH,
  LOCATION_PREFIX_LENGTH,
  LOCATION_RULES,
} from './layout/authentication.ts'
import { FIELD_COOKIE } from './layout/fields.ts'
import {
  addField,
  fieldNameLen,
  fieldNamePtr,
  fieldValueLen,
  fieldValuePtr,
  findField,
  findFieldById,
  nextField,
  outByte,
  outBytes,
  outPosition,
  queryLen,
  queryPtr,
  removeField,
  removeFields,
  setQuery,
} from './message.ts'
import { BAD_PREFIX, NO_FAILURE, SEVERAL_TOKENS } from './token-failure.ts'

const AMPERSAND: u32 = 0x26
const SEMICOLON: u32 = 0x3b
const EQUALS: u32 = 0x3d
const QUOTE: u32 = 0x22

let count: i32 = 0
let token: i32 = 0
let tokenSize: i32 = 0
let location: i32 = 0
/** The header field in which it stands; -1: in none. */
let field: i32 = -1

/** Looks through the section's locations: NO_FAILURE, or why what is there cannot be a token. */
export function findToken(section: i32): i32 {
  count = 0
  field = -1
  let at = section + load<i32>(section + AUTHN_FIRST_LOCATION)
  for (let left = load<i32>(section + AUTHN_LOCATIONS); left > 0; left--) {
    const kind = load<i32>(at + LOCATION_KIND)
    if (kind == LOCATION_IN_HEADER) {
      if (!lookInHeader(at)) return BAD_PREFIX
    } else if (kind == LOCATION_IN_PARAM) lookInQuery(at)
    else lookInCookies(at)
    at += load<i32>(at + LOCATION_LENGTH)
  }
  return count > 1 ? SEVERAL_TOKENS : NO_FAILURE
}

export function hasToken(): bool {
  return count == 1
}

export function tokenPtr(): i32 {
  return token
}

export function tokenLen(): i32 {
  return tokenSize
}

/** The rules that read tokens where this one is, as a set of their numbers. */
export function rulesOfLocation(): u64 {
  return load<u64>(location + LOCATION_RULES)
}

/** Takes the token away from what goes on; false where that needs more fields than there may be. */
export function removeToken(): bool {
  const kind = load<i32>(location + LOCATION_KIND)
  if (kind == LOCATION_IN_HEADER)
    removeFields(location + LOCATION_NAME, load<u16>(location + LOCATION_NAME_LENGTH))
  else if (kind == LOCATION_IN_PARAM) removeParam()
  else return removeCookie()
  return true
}

function note(at: i32, ptr: i32, len: i32): void {
  count++
  location = at
  token = ptr
  tokenSize = len
}

function lookInHeader(at: i32): bool {
  const nameLen: i32 = load<u16>(at + LOCATION_NAME_LENGTH)
  const prefix = at + LOCATION_NAME + nameLen
  const prefixLen: i32 = load<u16>(at + LOCATION_PREFIX_LENGTH)
  for (
    let i = findField(at + LOCATION_NAME, nameLen, load<u32>(at + LOCATION_HASH));
    i >= 0;
    i = nextField(i)
  ) {
    // A longer prefix of the same field has taken it.
    if (fieldDropped(i) || i == field) continue
    const value = fieldValuePtr(i)
    const len = fieldValueLen(i)
    if (len >= prefixLen && equalBytes(value, prefixLen, prefix, prefixLen)) {
      field = i
      note(at, value + prefixLen, len - prefixLen)
    } else if (contains(value, len, prefix, prefixLen)) return false
  }
  return true
}

/** Envoy would read a token behind a prefix that stands anywhere: such a field is not passed on as one without a token. */
function contains(ptr: i32, len: i32, part: i32, partLen: i32): bool {
  for (let i = 1; i + partLen <= len; i++) if (equalBytes(ptr + i, partLen, part, partLen)) return true
  return false
}

function lookInQuery(at: i32): void {
  const end = queryPtr() + queryLen()
  for (let param = queryPtr(); param < end; param = endOf(param, end, AMPERSAND) + 1) {
    const paramEnd = endOf(param, end, AMPERSAND)
    if (!isParam(param, paramEnd, at)) continue
    const value = min(endOf(param, paramEnd, EQUALS) + 1, paramEnd)
    noteDecoded(at, value, paramEnd - value)
  }
}

function noteDecoded(at: i32, ptr: i32, len: i32): void {
  const end = ptr + len
  if (endOf(ptr, end, PERCENT) == end) return note(at, ptr, len)
  const start = outPosition()
  for (let p = ptr; p < end; p += characterLen(p, end)) outByte(characterAt(p, end))
  note(at, start, outPosition() - start)
}

/** Whether the parameter's name, without its escapes, is the location's. */
function isParam(param: i32, end: i32, at: i32): bool {
  const nameEnd = endOf(param, end, EQUALS)
  const nameLen: i32 = load<u16>(at + LOCATION_NAME_LENGTH)
  let p = param
  for (let i = 0; i < nameLen; i++) {
    if (p >= nameEnd || characterAt(p, nameEnd) != load<u8>(at + LOCATION_NAME + i)) return false
    p += characterLen(p, nameEnd)
  }
  return p == nameEnd
}

function characterLen(p: i32, end: i32): i32 {
  return isEscape(p, end) ? 3 : 1
}

function characterAt(p: i32, end: i32): u32 {
  return isEscape(p, end) ? (hexValue(load<u8>(p + 1)) << 4) | hexValue(load<u8>(p + 2)) : load<u8>(p)
}

function isEscape(p: i32, end: i32): bool {
  return (
    load<u8>(p) == PERCENT && end - p > 2 && hexValue(load<u8>(p + 1)) < 16 && hexValue(load<u8>(p + 2)) < 16
  )
}

function removeParam(): void {
  const end = queryPtr() + queryLen()
  const start = outPosition()
  for (let param = queryPtr(); param < end; param = endOf(param, end, AMPERSAND) + 1) {
    const paramEnd = endOf(param, end, AMPERSAND)
    if (isParam(param, paramEnd, location)) continue
    if (outPosition() != start) outByte(AMPERSAND)
    outBytes(param, paramEnd - param)
  }
  const len = outPosition() - start
  setQuery(len == 0 ? 0 : start, len)
}

function lookInCookies(at: i32): void {
  for (let i = findFieldById(FIELD_COOKIE); i >= 0; i = nextField(i)) {
    const end = fieldValuePtr(i) + fieldValueLen(i)
    for (let pair = fieldValuePtr(i); pair < end; pair = endOf(pair, end, SEMICOLON) + 1) {
      const pairEnd = trimmedEnd(pair, endOf(pair, end, SEMICOLON))
      if (!isCookie(pair, pairEnd, at)) continue
      const value = min(endOf(pair, pairEnd, EQUALS) + 1, pairEnd)
      const isQuoted = pairEnd - value > 1 && load<u8>(value) == QUOTE && load<u8>(pairEnd - 1) == QUOTE
      if (isQuoted) note(at, value + 1, pairEnd - value - 2)
      else note(at, value, pairEnd - value)
    }
  }
}

function isCookie(pair: i32, end: i32, at: i32): bool {
  const name = trimmedStart(pair, end)
  const nameEnd = trimmedEnd(name, endOf(name, end, EQUALS))
  return equalBytes(name, nameEnd - name, at + LOCATION_NAME, load<u16>(at + LOCATION_NAME_LENGTH))
}

function removeCookie(): bool {
  for (let i = findFieldById(FIELD_COOKIE); i >= 0; i = nextField(i)) {
    const end = fieldValuePtr(i) + fieldValueLen(i)
    const start = outPosition()
    let removed = false
    for (let pair = fieldValuePtr(i); pair < end; pair = endOf(pair, end, SEMICOLON) + 1) {
      const pairEnd = endOf(pair, end, SEMICOLON)
      if (isCookie(pair, trimmedEnd(pair, pairEnd), location)) {
        removed = true
        continue
      }
      if (outPosition() != start) {
        outByte(SEMICOLON)
        outByte(SP)
      }
      const from = trimmedStart(pair, pairEnd)
      outBytes(from, pairEnd - from)
    }
    const len = outPosition() - start
    if (!removed) continue
    removeField(i)
    // The field that is added stands behind all others, and has the cookie no more.
    if (len > 0 && !addField(fieldNamePtr(i), fieldNameLen(i), start, len)) return false
  }
  return true
}

/** Address of the byte, `end` where there is none. */
function endOf(start: i32, end: i32, byte: u32): i32 {
  let p = start
  while (p < end && load<u8>(p) != byte) p++
  return p
}

function trimmedStart(start: i32, end: i32): i32 {
  let p = start
  while (p < end && isBlank(load<u8>(p))) p++
  return p
}

function trimmedEnd(start: i32, end: i32): i32 {
  let p = end
  while (p > start && isBlank(load<u8>(p - 1))) p--
  return p
}

function isBlank(byte: u32): bool {
  return byte == SP || byte == HTAB
}
