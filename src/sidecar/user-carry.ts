// What user policies leave in the request phase for their response phase: bytes of the engine's own form, which travel in the
// context as u16 length (with HEARD where the policies were heard) and bytes. The stages' bytes are put one behind the other.

import { outBytes, outPosition, outReserve } from './writer.ts'

/** A sidecar that judges the client's side of a call only hears no user policies, in neither phase. */
const HEARD: i32 = 0x8000

let heard: bool = false
let before: i32 = 0
let beforeSize: i32 = 0
let after: i32 = 0
let afterSize: i32 = 0
let carried: i32 = 0
let carriedSize: i32 = 0
let wereHeard: bool = false

/** Forgets what an earlier run of this phase noted. */
export function forgetCarry(): void {
  heard = false
  beforeSize = 0
  afterSize = 0
}

/** Notes that this sidecar hears the user policies. */
export function noteHeard(): void {
  heard = true
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
  if (beforeSize + afterSize >= HEARD) unreachable()
  store<u16>(lengthAt, ((heard ? HEARD : 0) | (beforeSize + afterSize)) as u16)
  outBytes(before, beforeSize)
  outBytes(after, afterSize)
}

/** Takes the bytes from the context; gives the address after them, or 0 where they are cut off. */
export function takeCarry(start: i32, end: i32): i32 {
  carriedSize = 0
  wereHeard = false
  if (end - start < 2) return 0
  const word: i32 = load<u16>(start)
  const size = word & ~HEARD
  if (end - start - 2 < size) return 0
  carried = start + 2
  carriedSize = size
  wereHeard = word != size
  return carried + size
}

export function carryPtr(): i32 {
  return carried
}

export function carryLen(): i32 {
  return carriedSize
}

/** Whether the user policies were heard in the request phase. */
export function userPoliciesWereHeard(): bool {
  return wereHeard
}
