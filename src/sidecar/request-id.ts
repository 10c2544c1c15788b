// The id under which a request is found in logs and traces: a UUID, new at the gateway, kept inside the mesh.

import { DASH, hexValue } from './bytes.ts'
import { isFromOutside } from './hop.ts'
import { FIELD_X_REQUEST_ID } from './layout/fields.ts'
import { IN_RANDOM, INPUT } from './layout/record.ts'
import { SCRATCH_REQUEST_ID } from './layout/scratch.ts'
import { fieldValueLen, fieldValuePtr, findFieldById, nextField } from './message.ts'

export const REQUEST_ID_LEN: i32 = 36
/** Where the 16 bytes for it lie in IN_RANDOM. */
const RANDOM_OFFSET: i32 = 24

/** Puts the request's id into SCRATCH_REQUEST_ID: that of the function which sends it, or a new one. */
export function chooseRequestId(): void {
  const field = isFromOutside() ? -1 : findFieldById(FIELD_X_REQUEST_ID)
  if (
    field >= 0 &&
    nextField(field) < 0 &&
    fieldValueLen(field) == REQUEST_ID_LEN &&
    isUuid(fieldValuePtr(field))
  ) {
    memory.copy(SCRATCH_REQUEST_ID, fieldValuePtr(field), REQUEST_ID_LEN)
  } else makeRequestId()
}

/** The number by which Envoy samples with a request id: its first eight digits. */
export function requestIdDraw(): u64 {
  let value: u64 = 0
  for (let i = 0; i < 8; i++) value = (value << 4) | hexValue(load<u8>(SCRATCH_REQUEST_ID + i))
  return value
}

/** Whether the 36 bytes are a UUID's text. */
export function isUuid(ptr: i32): bool {
  for (let i = 0; i < REQUEST_ID_LEN; i++) {
    const byte: u32 = load<u8>(ptr + i)
    if (isDash(i) ? byte != DASH : hexValue(byte) > 15) return false
  }
  return true
}

/** Puts a new id there: a UUID of version 4 (RFC 9562 5.4) from the injected random bytes. */
export function makeRequestId(): void {
  let to = SCRATCH_REQUEST_ID
  for (let i = 0; i < 16; i++) {
    let byte: u32 = load<u8>(INPUT + IN_RANDOM + RANDOM_OFFSET + i)
    if (i == 6) byte = (byte & 0x0f) | 0x40
    if (i == 8) byte = (byte & 0x3f) | 0x80
    if (isDash(to - SCRATCH_REQUEST_ID)) store<u8>(to++, DASH as u8)
    store<u8>(to++, hexDigit(byte >> 4))
    store<u8>(to++, hexDigit(byte & 15))
  }
}

function isDash(at: i32): bool {
  return at == 8 || at == 13 || at == 18 || at == 23
}

function hexDigit(value: u32): u8 {
  return (value < 10 ? 0x30 + value : 0x57 + value) as u8
}
