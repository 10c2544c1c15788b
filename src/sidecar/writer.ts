// Output: one bump pointer from the end of the variable input to the memory's end. What does not fit is not written
// but remembered, and the phase then fails (outOverflowed).

import { IN_END, IN_MEMORY, INPUT } from './layout/record.ts'

/** So few bytes are copied one by one: memory.copy is a call, and dear in fuel. */
const SHORT: i32 = 64

let position: i32 = 0
let limit: i32 = 0
let overflowed: bool = false
/** Bytes at the memory's end that are taken out of the output. */
let kept: i32 = 0

/** Starts the output behind the variable input that is now in memory. */
export function outBegin(): void {
  position = (load<i32>(INPUT + IN_END) + 7) & ~7
  limit = load<i32>(INPUT + IN_MEMORY) - kept
  overflowed = position < 0 || position > limit
  if (overflowed) position = limit
}

/**
 * Takes bytes at the memory's end out of the output: what is written there stays through all further runs of this phase. Gives
 * their address; 0 (and overflow) where they do not fit.
 */
export function outKeep(len: i32): i32 {
  if (len < 0 || len > limit - position) {
    overflowed = true
    return 0
  }
  kept += len
  limit -= len
  return limit
}

export function outPosition(): i32 {
  return position
}

/** Whether something did not fit: nothing written in this phase may be used then. */
export function outOverflowed(): bool {
  return overflowed
}

/** Bytes that can still be written. */
export function outRoom(): i32 {
  return limit - position
}

/** Takes the next `len` bytes to be filled by the caller; false (and overflow) where they do not fit. */
export function outReserve(len: i32): bool {
  if (len < 0 || len > limit - position) {
    overflowed = true
    return false
  }
  position += len
  return true
}

/** Gives back what was taken since the output was at `to`. */
export function outRewind(to: i32): void {
  position = to
}

export function outByte(byte: u32): void {
  if (position >= limit) {
    overflowed = true
    return
  }
  store<u8>(position, byte as u8)
  position++
}

export function outBytes(ptr: i32, len: i32): void {
  const start = position
  if (!outReserve(len)) return
  if (len > SHORT) {
    memory.copy(start, ptr, len)
    return
  }
  let i = 0
  for (; i + 8 <= len; i += 8) store<u64>(start + i, load<u64>(ptr + i))
  for (; i < len; i++) store<u8>(start + i, load<u8>(ptr + i))
}

/** Writes a literal of ASCII text. */
export function outText(text: string): void {
  const len = text.length
  const start = position
  if (!outReserve(len)) return
  const textPtr = changetype<i32>(text)
  for (let i = 0; i < len; i++) store<u8>(start + i, load<u16>(textPtr + (i << 1)) as u8)
}

export function outDecimal(value: u64): void {
  // Division by a constant is cheap in 32 bits only.
  if (value <= u32.MAX_VALUE) {
    outDecimal32(value as u32)
    return
  }
  let digits = 1
  for (let rest = value / 10; rest != 0; rest /= 10) digits++
  const start = position
  if (!outReserve(digits)) return
  for (let i = start + digits - 1; i >= start; i--) {
    store<u8>(i, (0x30 + (value % 10)) as u8)
    value /= 10
  }
}

function outDecimal32(value: u32): void {
  let digits = 1
  for (let rest = value / 10; rest != 0; rest /= 10) digits++
  const start = position
  if (!outReserve(digits)) return
  for (let i = start + digits - 1; i >= start; i--) {
    const rest = value / 10
    store<u8>(i, (0x30 + value - rest * 10) as u8)
    value = rest
  }
}
