// IP addresses: text to 16 bytes and back. IPv4 is held as ::ffff:a.b.c.d.

import { COLON, DOT, hexValue, isDigit } from './bytes.ts'
import { outByte, outDecimal } from './writer.ts'

const NO_GAP: i32 = -1

/** Reads `a.b.c.d` or an IPv6 address (RFC 4291 2.2, no zone) into the 16 bytes at `out`; false where it is neither. */
export function readIp(ptr: i32, len: i32, out: i32): bool {
  for (let i = 0; i < len; i++) if (load<u8>(ptr + i) == COLON) return readIpv6(ptr, len, out)
  store<u64>(out, 0)
  store<u32>(out + 8, 0xffff0000)
  return readIpv4(ptr, len, out + 12)
}

/** Four decimal numbers from 0 to 255 without leading zeros; fills 4 bytes at `out`. */
export function readIpv4(ptr: i32, len: i32, out: i32): bool {
  const end = ptr + len
  let p = ptr
  for (let part = 0; part < 4; part++) {
    if (part > 0) {
      if (p >= end || load<u8>(p) != DOT) return false
      p++
    }
    const start = p
    let value: u32 = 0
    while (p < end && p - start < 3 && isDigit(load<u8>(p))) {
      value = value * 10 + load<u8>(p) - 0x30
      p++
    }
    if (p == start || value > 255 || (p - start > 1 && load<u8>(start) == 0x30)) return false
    store<u8>(out + part, value as u8)
  }
  return p == end
}

function readIpv6(ptr: i32, len: i32, out: i32): bool {
  const end = ptr + len
  let p = ptr
  let bytes = 0
  let gap = NO_GAP
  store<u64>(out, 0)
  store<u64>(out + 8, 0)
  if (len >= 2 && load<u8>(p) == COLON) {
    if (load<u8>(p + 1) != COLON) return false
    gap = 0
    p += 2
  }
  while (p < end) {
    if (bytes == 16) return false
    const start = p
    let value: u32 = 0
    while (p < end && p - start < 4 && hexValue(load<u8>(p)) < 16) {
      value = (value << 4) | hexValue(load<u8>(p))
      p++
    }
    if (p < end && load<u8>(p) == DOT) {
      if (bytes > 12 || !readIpv4(start, end - start, out + bytes)) return false
      bytes += 4
      p = end
      break
    }
    if (p == start) return false
    store<u8>(out + bytes, (value >> 8) as u8)
    store<u8>(out + bytes + 1, value as u8)
    bytes += 2
    if (p == end) break
    if (load<u8>(p) != COLON) return false
    p++
    if (p == end) return false
    if (load<u8>(p) == COLON) {
      if (gap != NO_GAP) return false
      gap = bytes
      p++
    }
  }
  if (gap == NO_GAP) return bytes == 16
  if (bytes > 14) return false
  const tail = bytes - gap
  memory.copy(out + 16 - tail, out + gap, tail)
  memory.fill(out + gap, 0, 16 - bytes)
  return true
}

export function isIpv4(ip: i32): bool {
  return load<u64>(ip) == 0 && load<u32>(ip + 8) == 0xffff0000
}

/** Writes the address in its shortest form (RFC 5952 for IPv6). */
export function outIp(ip: i32): void {
  if (isIpv4(ip)) {
    for (let i = 12; i < 16; i++) {
      if (i > 12) outByte(DOT)
      outDecimal(load<u8>(ip + i))
    }
    return
  }
  // The longest run of at least two zero groups, the first of several, becomes "::".
  let runStart = -1
  let runLength = 1
  for (let i = 0; i < 8; i++) {
    let length = 0
    while (i + length < 8 && load<u16>(ip + ((i + length) << 1)) == 0) length++
    if (length > runLength) {
      runStart = i
      runLength = length
    }
  }
  for (let i = 0; i < 8; i++) {
    if (i == runStart) {
      outByte(COLON)
      outByte(COLON)
      i += runLength - 1
      continue
    }
    if (i > 0 && i != runStart + runLength) outByte(COLON)
    outHexGroup(bswap<u16>(load<u16>(ip + (i << 1))))
  }
}

function outHexGroup(group: u32): void {
  let shift = 12
  while (shift > 0 && group >> shift == 0) shift -= 4
  for (; shift >= 0; shift -= 4) {
    const digit = (group >> shift) & 15
    outByte(digit < 10 ? 0x30 + digit : 0x57 + digit)
  }
}
