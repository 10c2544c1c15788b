// A field section by RFC 9112 5: lines `name ":" OWS value OWS CRLF` up to the empty line, read strictly. No obs-fold, no
// white space before the colon, no bare CR or LF, no control byte but HTAB in a value; bytes from 0x80 on (obs-text) are let
// through in values only.

import {
  COLON,
  CR,
  DASH,
  HASH_PRIME,
  HASH_SEED,
  HTAB,
  hashBytesLower,
  LF,
  SP,
  tokenByte,
  UNDERSCORE,
} from './bytes.ts'
import { isProtected } from './field-classes.ts'
import { idOfName } from './field-table.ts'
import { clearFields, fieldCount, takeField } from './fields.ts'
import {
  ADDED_FIELDS,
  MAX_FIELDS,
  REASON_BARE_CR_LF,
  REASON_FIELD,
  REASON_FIELD_NAME,
  REASON_FIELD_VALUE,
  REASON_OBS_FOLD,
  REASON_TOO_MANY_FIELDS,
} from './layout/record.ts'
import { SCRATCH_ADDRESS } from './layout/scratch.ts'
import { INCOMPLETE, refuse } from './refusal.ts'

/**
 * Fills the field table; returns the address after the empty line, INCOMPLETE or REFUSED. From another sidecar come some
 * fields more than from elsewhere.
 */
export function readFieldSection(start: i32, end: i32, fromSidecar: bool): i32 {
  const most = fromSidecar ? MAX_FIELDS + ADDED_FIELDS : MAX_FIELDS
  clearFields()
  let p = start
  while (p < end) {
    let byte: u32 = load<u8>(p)
    if (byte == CR) {
      if (p + 1 >= end) return INCOMPLETE
      return load<u8>(p + 1) == LF ? p + 2 : refuse(400, REASON_BARE_CR_LF)
    }

    const name = p
    let hash = HASH_SEED
    let underscored = false
    for (let lower = tokenByte(byte); lower != 0; lower = tokenByte(byte)) {
      hash = (hash ^ lower) * HASH_PRIME
      underscored = underscored || byte == UNDERSCORE
      if (++p >= end) return INCOMPLETE
      byte = load<u8>(p)
    }
    const nameLen = p - name
    if (byte != COLON || nameLen == 0) return refuseName(byte, nameLen)

    p++
    while (p < end && isBlank(load<u8>(p))) p++
    const value = p
    p = findControl(p, end)
    if (p >= end) return INCOMPLETE
    byte = load<u8>(p)
    if (byte != CR) return refuse(400, byte == LF ? REASON_BARE_CR_LF : REASON_FIELD_VALUE)
    if (p + 1 >= end) return INCOMPLETE
    if (load<u8>(p + 1) != LF) return refuse(400, REASON_BARE_CR_LF)
    let valueEnd = p
    while (valueEnd > value && isBlank(load<u8>(valueEnd - 1))) valueEnd--
    p += 2

    const id = idOfName(name, nameLen, hash)
    const dropped = underscored && isDisguised(name, nameLen)
    if (fieldCount() == most) return refuse(431, REASON_TOO_MANY_FIELDS)
    takeField(name, nameLen, value, valueEnd - value, p, hash, id, dropped)
  }
  return INCOMPLETE
}

function isBlank(byte: u32): bool {
  return byte == SP || byte == HTAB
}

/** Address of the first control byte other than HTAB at or after `p`; `end` or later where there is none. */
export function findControl(p: i32, end: i32): i32 {
  // Sixteen bytes at a time; what lies after `end` is memory of the sandbox as well, so reading it does no harm.
  while (p < end) {
    const bytes = v128.load(p)
    const control = v128.andnot(
      v128.or(i8x16.lt_u(bytes, i8x16.splat(0x20)), i8x16.eq(bytes, i8x16.splat(0x7f))),
      i8x16.eq(bytes, i8x16.splat(0x09)),
    )
    const mask = i8x16.bitmask(control)
    if (mask != 0) return p + ctz(mask)
    p += 16
  }
  return p
}

function refuseName(byte: u32, nameLen: i32): i32 {
  if (byte == LF || byte == CR)
    return refuse(400, nameLen == 0 || byte == LF ? REASON_BARE_CR_LF : REASON_FIELD)
  if (nameLen == 0 && isBlank(byte)) return refuse(400, REASON_OBS_FOLD)
  return refuse(400, REASON_FIELD_NAME)
}

/**
 * Whether a name with "_" is one that the mesh or a server acts on once "_" is read as "-", as CGI and its heirs do:
 * such a field is never passed on.
 */
function isDisguised(name: i32, nameLen: i32): bool {
  const length = min(nameLen, 64)
  for (let i = 0; i < length; i++) {
    const byte: u32 = load<u8>(name + i)
    store<u8>(SCRATCH_ADDRESS + i, (byte == UNDERSCORE ? DASH : byte) as u8)
  }
  return isProtected(idOfName(SCRATCH_ADDRESS, length, hashBytesLower(SCRATCH_ADDRESS, length)))
}
