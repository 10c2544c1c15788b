// Expect, TE and Upgrade of a request (RFC 9110 10.1.1, 10.1.4, 7.8): which of them go on to the function.

import { COMMA, equalIgnoreCase, HTAB, isText, SLASH, SP, tokenByte } from './bytes.ts'
import { namesTe, namesUpgrade } from './connection-options.ts'
import { statedBody } from './framing.ts'
import { FIELD_EXPECT, FIELD_TE, FIELD_UPGRADE } from './layout/fields.ts'
import { BODY_NONE, REASON_EXPECT, REASON_UPGRADE } from './layout/record.ts'
import { fieldValueLen, fieldValuePtr, findFieldById, httpMinor, nextField } from './message.ts'
import { refuse } from './refusal.ts'

/** Longest Upgrade field that is passed on. */
const MAX_UPGRADE: i32 = 255

let continues: bool = false
let upgradePtr: i32 = 0
let upgradeLen: i32 = 0
let trailers: bool = false

/** The client waits for 100 (Continue). */
export function expectsContinue(): bool {
  return continues
}

/** The protocols that the client would switch to, as it named them; length 0 where it asks for none. */
export function upgradeValuePtr(): i32 {
  return upgradePtr
}

export function upgradeValueLen(): i32 {
  return upgradeLen
}

/** The client takes trailers. */
export function takesTrailers(): bool {
  return trailers
}

/** Reads the three fields, after Connection and the framing; false where they are refused. */
export function readExpectations(): bool {
  return readExpect() && readUpgrade() && readTe()
}

function readExpect(): bool {
  continues = false
  for (let field = findFieldById(FIELD_EXPECT); field >= 0; field = nextField(field)) {
    if (!isText(fieldValuePtr(field), fieldValueLen(field), '100-continue')) {
      refuse(417, REASON_EXPECT)
      return false
    }
    // HTTP/1.0 does not know it, and without a body there is nothing to wait for.
    continues = httpMinor() == 1 && statedBody() != BODY_NONE
  }
  return true
}

function readUpgrade(): bool {
  upgradeLen = 0
  const field = findFieldById(FIELD_UPGRADE)
  if (field < 0 || !namesUpgrade() || httpMinor() == 0) return true
  const ptr = fieldValuePtr(field)
  const len = fieldValueLen(field)
  const protocols = readProtocols(ptr, len)
  if (protocols == PROTOCOLS_H2C) return true
  if (protocols == PROTOCOLS_BAD || nextField(field) >= 0 || statedBody() != BODY_NONE) {
    refuse(400, REASON_UPGRADE)
    return false
  }
  upgradePtr = ptr
  upgradeLen = len
  return true
}

const PROTOCOLS_BAD: i32 = 0
const PROTOCOLS_GOOD: i32 = 1
/** HTTP/2 is among them: behind a switch to it no policy would see the requests. */
const PROTOCOLS_H2C: i32 = 2

function readProtocols(start: i32, len: i32): i32 {
  if (len == 0 || len > MAX_UPGRADE) return PROTOCOLS_BAD
  const end = start + len
  let result = PROTOCOLS_GOOD
  let p = start
  while (true) {
    const protocol = p
    while (p < end && (tokenByte(load<u8>(p)) != 0 || load<u8>(p) == SLASH)) p++
    if (p == protocol) return PROTOCOLS_BAD
    if (isHttp(protocol, p - protocol)) result = PROTOCOLS_H2C
    while (p < end && isBlank(load<u8>(p))) p++
    if (p == end) return result
    if (load<u8>(p) != COMMA) return PROTOCOLS_BAD
    p++
    while (p < end && isBlank(load<u8>(p))) p++
  }
}

function isHttp(ptr: i32, len: i32): bool {
  return isText(ptr, len, 'h2c') || isText(ptr, len, 'h2') || (len >= 5 && isText(ptr, 5, 'http/'))
}

/** Whether `protocol` is one of a list of protocols. */
export function listsProtocol(listPtr: i32, listLen: i32, protocol: i32, protocolLen: i32): bool {
  const end = listPtr + listLen
  let p = listPtr
  while (p < end) {
    const start = p
    while (p < end && load<u8>(p) != COMMA && !isBlank(load<u8>(p))) p++
    if (p > start && equalIgnoreCase(start, p - start, protocol, protocolLen)) return true
    p++
  }
  return false
}

function readTe(): bool {
  trailers = false
  if (!namesTe() || httpMinor() == 0) return true
  for (let field = findFieldById(FIELD_TE); field >= 0; field = nextField(field)) {
    if (listsText(fieldValuePtr(field), fieldValueLen(field))) trailers = true
  }
  return true
}

function listsText(start: i32, len: i32): bool {
  const end = start + len
  let p = start
  while (p < end) {
    while (p < end && (load<u8>(p) == COMMA || isBlank(load<u8>(p)))) p++
    const word = p
    while (p < end && load<u8>(p) != COMMA && !isBlank(load<u8>(p))) p++
    if (isText(word, p - word, 'trailers')) return true
  }
  return false
}

function isBlank(byte: u32): bool {
  return byte == SP || byte == HTAB
}
