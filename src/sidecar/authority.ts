// An authority `host [":" port]` (RFC 9110 7.2, RFC 3986 3.2): a name, an IPv4 address or an IPv6 address in brackets.
// No userinfo, no list, no percent-encoding, no empty port.

import { COLON, DASH, DOT, isDigit, isText, lowerCase, UNDERSCORE } from './bytes.ts'
import { readIp, readIpv4 } from './ip-address.ts'
import { SCRATCH_ADDRESS, SCRATCH_HOST } from './layout/scratch.ts'

/** Longest host in bytes: a DNS name's. */
const MAX_HOST: i32 = 253

let hostBytes: i32 = 0
let portNumber: i32 = 0
let local: bool = false

/** Reads an authority; its host goes to SCRATCH_HOST in lower case. False where it is not one. */
export function readAuthority(ptr: i32, len: i32): bool {
  const end = ptr + len
  let p = ptr
  portNumber = 0
  local = false
  if (p < end && load<u8>(p) == 0x5b) {
    while (p < end && load<u8>(p) != 0x5d) p++
    if (p >= end) return false
    if (!takeHost(ptr + 1, p - ptr - 1) || !readIp(SCRATCH_HOST, hostBytes, SCRATCH_ADDRESS)) return false
    if (!hasColon()) return false
    local = true
    p++
  } else {
    while (p < end && load<u8>(p) != COLON) p++
    if (!readHostName(ptr, p - ptr)) return false
    local = isText(SCRATCH_HOST, hostBytes, 'localhost') || readIpv4(SCRATCH_HOST, hostBytes, SCRATCH_ADDRESS)
  }
  return p == end || (load<u8>(p) == COLON && readPort(p + 1, end))
}

/** Reads a host name alone; it goes to SCRATCH_HOST in lower case, without a final dot. */
export function readHostName(ptr: i32, len: i32): bool {
  const length = len > 1 && load<u8>(ptr + len - 1) == DOT ? len - 1 : len
  let previous = DOT
  for (let i = 0; i < length; i++) {
    const byte = lowerCase(load<u8>(ptr + i))
    if (byte == DOT) {
      if (previous == DOT) return false
    } else if (!(byte - 0x61 < 26 || isDigit(byte) || byte == DASH || byte == UNDERSCORE)) {
      return false
    }
    previous = byte
  }
  return previous != DOT && takeHost(ptr, length)
}

/** The host of the authority that was read last. */
export function readHostLen(): i32 {
  return hostBytes
}

/** Its port, 0 where it has none. */
export function readPortNumber(): i32 {
  return portNumber
}

/** Whether it is an IP address or `localhost`, and so names no function. */
export function readIsAddress(): bool {
  return local
}

function takeHost(ptr: i32, len: i32): bool {
  if (len <= 0 || len > MAX_HOST) return false
  for (let i = 0; i < len; i++) store<u8>(SCRATCH_HOST + i, lowerCase(load<u8>(ptr + i)) as u8)
  hostBytes = len
  return true
}

function hasColon(): bool {
  for (let i = 0; i < hostBytes; i++) if (load<u8>(SCRATCH_HOST + i) == COLON) return true
  return false
}

function readPort(ptr: i32, end: i32): bool {
  const len = end - ptr
  if (len < 1 || len > 5) return false
  for (let p = ptr; p < end; p++) {
    const byte: u32 = load<u8>(p)
    if (!isDigit(byte)) return false
    portNumber = portNumber * 10 + byte - 0x30
  }
  return portNumber > 0 && portNumber < 65536
}
