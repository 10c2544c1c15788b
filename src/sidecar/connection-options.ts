// The Connection field (RFC 9110 7.6.1): what the neighbour asks of this one connection, and which fields it keeps from
// going further. Options that would take a field away which decides who asks or where a message ends are refused.

import { COMMA, HASH_PRIME, HASH_SEED, HTAB, isText, SP, tokenByte } from './bytes.ts'
import { mayBeConnectionOption } from './field-classes.ts'
import { idOfName } from './field-table.ts'
import { dropField } from './fields.ts'
import { FIELD_CONNECTION, FIELD_TE, FIELD_UPGRADE } from './layout/fields.ts'
import { REASON_CONNECTION } from './layout/record.ts'
import { fieldValueLen, fieldValuePtr, findField, findFieldById, httpMinor, nextField } from './message.ts'
import { refuse } from './refusal.ts'

const MAX_OPTIONS: i32 = 32

let close: bool = false
let keepAlive: bool = false
let upgrade: bool = false
let te: bool = false
let options: i32 = 0

/** Reads all Connection fields and drops the fields they name; false where they are refused. */
export function readConnection(): bool {
  close = false
  keepAlive = false
  upgrade = false
  te = false
  options = 0
  for (let field = findFieldById(FIELD_CONNECTION); field >= 0; field = nextField(field)) {
    if (!readOptions(fieldValuePtr(field), fieldValueLen(field))) {
      refuse(400, REASON_CONNECTION)
      return false
    }
  }
  return true
}

/** Whether the sender wants to keep the connection after this message (RFC 9112 9.3). */
export function keepsConnection(): bool {
  return !close && (httpMinor() == 1 || keepAlive)
}

export function namesUpgrade(): bool {
  return upgrade
}

export function namesTe(): bool {
  return te
}

function readOptions(start: i32, len: i32): bool {
  const end = start + len
  let p = start
  while (true) {
    while (p < end && isSeparator(load<u8>(p))) p++
    if (p == end) break
    const option = p
    let hash = HASH_SEED
    while (p < end) {
      const lower = tokenByte(load<u8>(p))
      if (lower == 0) break
      hash = (hash ^ lower) * HASH_PRIME
      p++
    }
    const optionLen = p - option
    while (p < end && (load<u8>(p) == SP || load<u8>(p) == HTAB)) p++
    if (optionLen == 0 || (p < end && load<u8>(p) != COMMA)) return false
    if (++options > MAX_OPTIONS || !takeOption(option, optionLen, hash)) return false
  }
  return true
}

function isSeparator(byte: u32): bool {
  return byte == COMMA || byte == SP || byte == HTAB
}

function takeOption(ptr: i32, len: i32, hash: u32): bool {
  if (isText(ptr, len, 'close')) {
    close = true
    return true
  }
  const id = idOfName(ptr, len, hash)
  if (!mayBeConnectionOption(id)) return false
  if (id == FIELD_UPGRADE) upgrade = true
  else if (id == FIELD_TE) te = true
  if (isText(ptr, len, 'keep-alive')) keepAlive = true
  for (let field = findField(ptr, len, hash); field >= 0; field = nextField(field)) dropField(field)
  return true
}
