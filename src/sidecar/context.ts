// What a request phase leaves for the response phases of the same request. Only this file knows the form:
//   u8 CONTEXT_MAGIC, u8 CONTEXT_* bits, u8 DIRECTION_*, u8 length of the Upgrade field,
//   36 bytes request id (where CONTEXT_REQUEST_ID is set), the Upgrade field, u16 length and the operations on the
//   response's fields (response-fields.ts), u16 length and what user policies carry (user-carry.ts),
//   u16 length and what was found out for telemetry (observation.ts), the access log's pieces

import { DIRECTION_INGRESS, IN_CONTEXT_LEN, IN_CONTEXT_PTR, IN_DIRECTION, INPUT } from './layout/record.ts'
import { SCRATCH_REQUEST_ID } from './layout/scratch.ts'
import { inU32, outByte, outBytes } from './message.ts'
import { outObserved, takeObserved } from './observation.ts'
import { REQUEST_ID_LEN } from './request-id.ts'
import { outResponseFields, takeResponseFields } from './response-fields.ts'
import { outCarry, takeCarry } from './user-carry.ts'

const CONTEXT_MAGIC: u32 = 0xc1
const HEADER: i32 = 4

/** The method is HEAD: the response has no body. */
export const CONTEXT_HEAD: i32 = 1
/** The client speaks HTTP/1.0. */
export const CONTEXT_HTTP_1_0: i32 = 2
/** The client wants to keep its connection. */
export const CONTEXT_KEEP_ALIVE: i32 = 4
/** The client waits for 100 (Continue). */
export const CONTEXT_EXPECTS: i32 = 8
/** The request has a body. */
export const CONTEXT_BODY: i32 = 16
export const CONTEXT_REQUEST_ID: i32 = 32
/** Another sidecar judged the request next, so that the response comes from that one. */
export const CONTEXT_JUDGED_AGAIN: i32 = 64

let bits: i32 = 0
let upgrade: i32 = 0
let upgradeSize: i32 = 0
let pieces: i32 = 0
let piecesSize: i32 = 0

/** Begins a context in the output; the access log's pieces follow. */
export function outContext(withBits: i32, direction: i32, upgradePtr: i32, upgradeLen: i32): void {
  outByte(CONTEXT_MAGIC)
  outByte(withBits)
  outByte(direction)
  outByte(upgradeLen)
  if ((withBits & CONTEXT_REQUEST_ID) != 0) outBytes(SCRATCH_REQUEST_ID, REQUEST_ID_LEN)
  outBytes(upgradePtr, upgradeLen)
  outResponseFields()
  outCarry()
  outObserved()
}

/**
 * Reads the context of the input and sets the phase's direction by it; an empty one is that of a client of which nothing
 * is known. False: it is none.
 */
export function readContext(): bool {
  const start: i32 = inU32(IN_CONTEXT_PTR)
  const end = start + (inU32(IN_CONTEXT_LEN) as i32)
  bits = 0
  store<i32>(INPUT + IN_DIRECTION, DIRECTION_INGRESS)
  upgradeSize = 0
  piecesSize = 0
  if (start == end) return true
  if (end - start < HEADER || load<u8>(start) != CONTEXT_MAGIC) return false
  bits = load<u8>(start + 1)
  store<i32>(INPUT + IN_DIRECTION, load<u8>(start + 2))
  upgradeSize = load<u8>(start + 3)
  let p = start + HEADER
  if ((bits & CONTEXT_REQUEST_ID) != 0) {
    if (end - p < REQUEST_ID_LEN) return false
    memory.copy(SCRATCH_REQUEST_ID, p, REQUEST_ID_LEN)
    p += REQUEST_ID_LEN
  }
  upgrade = p
  if (end - p < upgradeSize) return false
  p = takeResponseFields(p + upgradeSize, end)
  if (p == 0) return false
  p = takeCarry(p, end)
  if (p == 0) return false
  pieces = takeObserved(p, end)
  if (pieces == 0) return false
  piecesSize = end - pieces
  return true
}

export function contextHas(bit: i32): bool {
  return (bits & bit) != 0
}

/** The protocols to which the client would switch; length 0 where it asked for none. */
export function contextUpgradePtr(): i32 {
  return upgrade
}

export function contextUpgradeLen(): i32 {
  return upgradeSize
}

export function contextPiecesPtr(): i32 {
  return pieces
}

export function contextPiecesLen(): i32 {
  return piecesSize
}
