// How a message's body is framed (RFC 9112 6): one framing or none, never two.

import { isDigit, isText } from './bytes.ts'
import { FIELD_CONTENT_LENGTH, FIELD_TRANSFER_ENCODING } from './layout/fields.ts'
import {
  BODY_CHUNKED,
  BODY_LENGTH,
  BODY_NONE,
  REASON_CONTENT_LENGTH,
  REASON_FRAMING,
  REASON_TRANSFER_CODING,
} from './layout/record.ts'
import {
  fieldValueLen,
  fieldValuePtr,
  findFieldById,
  httpMinor,
  nextField,
  outDecimal,
  outText,
} from './message.ts'
import { refuse } from './refusal.ts'

/** The greatest length that an f64 holds exactly. */
const MAX_LENGTH: u64 = 0x1fffffffffffff

let body: i32 = 0
let length: u64 = 0

/** BODY_NONE, BODY_LENGTH with a length of at least 1, or BODY_CHUNKED: what the fields of the message say. */
export function statedBody(): i32 {
  return body
}

export function statedLength(): u64 {
  return length
}

/** Whether the message has a Content-Length, be it 0. */
export function statesLength(): bool {
  return findFieldById(FIELD_CONTENT_LENGTH) >= 0
}

/** Writes the framing's one field: `transfer-encoding`, or `content-length` where `withLength` asks for it. */
export function outFraming(sendBody: i32, withLength: bool): void {
  if (sendBody == BODY_CHUNKED) outText('transfer-encoding: chunked\r\n')
  else if (withLength) {
    outText('content-length: ')
    outDecimal(length)
    outText('\r\n')
  }
}

/** Reads Content-Length and Transfer-Encoding; false where they are refused. */
export function readFraming(): bool {
  body = BODY_NONE
  length = 0
  const lengthField = findFieldById(FIELD_CONTENT_LENGTH)
  const coding = findFieldById(FIELD_TRANSFER_ENCODING)
  if (coding >= 0) {
    if (lengthField >= 0) return fail(400, REASON_FRAMING)
    // HTTP/1.0 knows no transfer codings: whoever sends one means something else by it (RFC 9112 6.1).
    if (httpMinor() == 0 || nextField(coding) >= 0) return fail(400, REASON_TRANSFER_CODING)
    if (!isText(fieldValuePtr(coding), fieldValueLen(coding), 'chunked'))
      return fail(501, REASON_TRANSFER_CODING)
    body = BODY_CHUNKED
    return true
  }
  if (lengthField < 0) return true
  if (nextField(lengthField) >= 0 || !readLength(fieldValuePtr(lengthField), fieldValueLen(lengthField))) {
    return fail(400, REASON_CONTENT_LENGTH)
  }
  if (length != 0) body = BODY_LENGTH
  return true
}

function readLength(ptr: i32, len: i32): bool {
  if (len == 0) return false
  for (let i = 0; i < len; i++) {
    const byte: u32 = load<u8>(ptr + i)
    if (!isDigit(byte)) return false
    length = length * 10 + (byte - 0x30)
    if (length > MAX_LENGTH) return false
  }
  return true
}

function fail(status: i32, reason: i32): bool {
  refuse(status, reason)
  return false
}
