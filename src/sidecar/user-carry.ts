// What user policies leave in the request phase for their response phase: bytes of the engine's own form, which travel in the
// context as u16 length and bytes. The stages' bytes are put one behind the other.

import { outBytes, outPosition, outReserve } from './writer.ts'

let before: i32 = 0
let beforeSize: i32 = 0
let after: i32 = 0
let afterSize: i32 = 0
let carried: i32 = 0
let carriedSize: i32 = 0

/** Forgets what an earlier run of this phase noted. */
export function forgetCarry(): void {
  beforeSize = 0
  afterSize = 0
}

/** The bytes must stay where they are. */
export function noteCarry(isAfter: bool, ptr: i32, len: i32): void {
  if (isAfter) {
    after = ptr
    afterSize = len
  } else {
    before = ptr
    beforeSize = len
  }
}

/** Appends the bytes to the context that is being written. */
export function outCarry(): void {
  const lengthAt = outPosition()
  if (!outReserve(2)) return
  if (beforeSize + afterSize > 0xffff) unreachable()
  store<u16>(lengthAt, (beforeSize + afterSize) as u16)
  outBytes(before, beforeSize)
  outBytes(after, afterSize)
}

/** Takes the bytes from the context; gives the address after them, or 0 where they are cut off. */
export function takeCarry(start: i32, end: i32): i32 {
  carriedSize = 0
  if (end - start < 2) return 0
  const size: i32 = load<u16>(start)
  if (end - start - 2 < size) return 0
  carried = start + 2
  carriedSize = size
  return carried + size
}

export function carryPtr(): i32 {
  return carried
}

export function carryLen(): i32 {
  return carriedSize
}
