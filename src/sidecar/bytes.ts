// Bytes in the sandbox's memory: their classes, equality and hashes. Addresses are i32.

/** A token's byte (RFC 9110 5.6.2) in lower case, 0 for a byte that no token holds; for bytes below 128. */
const TOKEN = memory.data<u8>([
  0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
  0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x21, 0x00, 0x23,
  0x24, 0x25, 0x26, 0x27, 0x00, 0x00, 0x2a, 0x2b, 0x00, 0x2d, 0x2e, 0x00, 0x30, 0x31, 0x32, 0x33, 0x34, 0x35,
  0x36, 0x37, 0x38, 0x39, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67,
  0x68, 0x69, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f, 0x70, 0x71, 0x72, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79,
  0x7a, 0x00, 0x00, 0x00, 0x5e, 0x5f, 0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0x6a, 0x6b,
  0x6c, 0x6d, 0x6e, 0x6f, 0x70, 0x71, 0x72, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x00, 0x7c, 0x00,
  0x7e, 0x00,
])

export const HASH_SEED: u32 = 2166136261
export const HASH_PRIME: u32 = 16777619

export const HTAB: u32 = 0x09
export const LF: u32 = 0x0a
export const CR: u32 = 0x0d
export const SP: u32 = 0x20
export const PERCENT: u32 = 0x25
export const COMMA: u32 = 0x2c
export const DASH: u32 = 0x2d
export const DOT: u32 = 0x2e
export const SLASH: u32 = 0x2f
export const COLON: u32 = 0x3a
export const BACKSLASH: u32 = 0x5c
export const UNDERSCORE: u32 = 0x5f

/** The byte in lower case where it may stand in a token, else 0. */
export function tokenByte(byte: u32): u32 {
  return byte < 0x80 ? load<u8>(TOKEN + byte) : 0
}

export function lowerCase(byte: u32): u32 {
  return byte - 0x41 < 26 ? byte | 0x20 : byte
}

export function isDigit(byte: u32): bool {
  return byte - 0x30 < 10
}

/** Value of a hexadecimal digit, 16 or more for any other byte. */
export function hexValue(byte: u32): u32 {
  if (byte - 0x30 < 10) return byte - 0x30
  const letter = (byte | 0x20) - 0x61
  return letter < 6 ? letter + 10 : 16
}

export function equalBytes(aPtr: i32, aLen: i32, bPtr: i32, bLen: i32): bool {
  if (aLen != bLen) return false
  let i = 0
  for (; i + 8 <= aLen; i += 8) if (load<u64>(aPtr + i) != load<u64>(bPtr + i)) return false
  for (; i < aLen; i++) if (load<u8>(aPtr + i) != load<u8>(bPtr + i)) return false
  return true
}

/** Equality of ASCII text without regard to case. */
export function equalIgnoreCase(aPtr: i32, aLen: i32, bPtr: i32, bLen: i32): bool {
  if (aLen != bLen) return false
  for (let i = 0; i < aLen; i++) {
    const a: u32 = load<u8>(aPtr + i)
    const b: u32 = load<u8>(bPtr + i)
    if (a != b && lowerCase(a) != lowerCase(b)) return false
  }
  return true
}

/** Whether the bytes are the literal's text, without regard to case; the literal is lower-case ASCII. */
export function isText(ptr: i32, len: i32, text: string): bool {
  if (len != text.length) return false
  const textPtr = changetype<i32>(text)
  for (let i = 0; i < len; i++)
    if (lowerCase(load<u8>(ptr + i)) != load<u16>(textPtr + (i << 1))) return false
  return true
}

/** Whether the bytes are the literal's text. */
export function isExactly(ptr: i32, len: i32, text: string): bool {
  if (len != text.length) return false
  const textPtr = changetype<i32>(text)
  for (let i = 0; i < len; i++) if (load<u8>(ptr + i) != load<u16>(textPtr + (i << 1))) return false
  return true
}

/** FNV-1a, 32 bits. */
export function hashBytes(ptr: i32, len: i32): u32 {
  let hash = HASH_SEED
  for (let i = 0; i < len; i++) hash = (hash ^ load<u8>(ptr + i)) * HASH_PRIME
  return hash
}

/** FNV-1a, 32 bits, of the text in lower case: how field names are hashed. */
export function hashBytesLower(ptr: i32, len: i32): u32 {
  let hash = HASH_SEED
  for (let i = 0; i < len; i++) hash = (hash ^ lowerCase(load<u8>(ptr + i))) * HASH_PRIME
  return hash
}
