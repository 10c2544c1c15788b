// Lower-case hexadecimal, eight characters at a time.

const HIGH_BITS: u64 = 0x8080808080808080
const ONES: u64 = 0x0101010101010101
const ZEROS: u64 = 0x3030303030303030

/** Whether `len` bytes, a multiple of 8, are all lower-case hexadecimal digits. */
export function isLowerHex(ptr: i32, len: i32): bool {
  for (let i = 0; i < len; i += 8) {
    const word = load<u64>(ptr + i)
    if ((word & HIGH_BITS) != 0) return false
    const digit = atLeast(word, 0x30) & ~atLeast(word, 0x3a)
    const letter = atLeast(word, 0x61) & ~atLeast(word, 0x67)
    if (((digit | letter) & HIGH_BITS) != HIGH_BITS) return false
  }
  return true
}

/** Whether `len` bytes, a multiple of 8, are all "0". */
export function isZeroHex(ptr: i32, len: i32): bool {
  for (let i = 0; i < len; i += 8) if (load<u64>(ptr + i) != ZEROS) return false
  return true
}

/** Value of two lower-case digits, negative where they are none. */
export function hexByte(ptr: i32): i32 {
  const high = digitValue(load<u8>(ptr))
  const low = digitValue(load<u8>(ptr, 1))
  return high < 0 || low < 0 ? -1 : (high << 4) | low
}

/** Writes `len` bytes, a multiple of 4, as twice as many digits. */
export function writeHex(to: i32, from: i32, len: i32): void {
  for (let i = 0; i < len; i += 4) {
    let lanes: u64 = load<u32>(from + i)
    lanes = (lanes | (lanes << 16)) & 0x0000ffff0000ffff
    lanes = (lanes | (lanes << 8)) & 0x00ff00ff00ff00ff
    const digits = ((lanes >> 4) & 0x000f000f000f000f) | ((lanes & 0x000f000f000f000f) << 8)
    const letters = ((digits + 0x0606060606060606) >> 4) & ONES
    store<u64>(to + (i << 1), digits + ZEROS + letters * 39)
  }
}

export function writeZeroHex(to: i32, len: i32): void {
  for (let i = 0; i < len; i += 8) store<u64>(to + i, ZEROS)
}

/** Sets the high bit of each byte (below 128) that is at least `least`. */
function atLeast(word: u64, least: u64): u64 {
  return (word + (0x80 - least) * ONES) & HIGH_BITS
}

function digitValue(byte: i32): i32 {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30
  return byte >= 0x61 && byte <= 0x66 ? byte - 0x57 : -1
}
