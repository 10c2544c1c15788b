// Path normalisation, as Istio's MeshConfig.pathNormalization says. What comes out is both judged and forwarded.
// BASE: percent-encoded unreserved characters decoded, "\" read as "/", dot segments removed (RFC 3986 6.2.2);
// MERGE_SLASHES: besides, runs of "/" become one; DECODE_AND_MERGE_SLASHES: first %2F and %5C are decoded.
// A bad or NUL escape, a path that climbs above the root and a dot segment with parameters ("..;x", which to some servers
// is "..") are refused rather than repaired.

import { BACKSLASH, DASH, DOT, hexValue, isDigit, PERCENT, SLASH, UNDERSCORE } from './bytes.ts'
import { NORMALIZE_DECODE_AND_MERGE_SLASHES, NORMALIZE_MERGE_SLASHES, NORMALIZE_NONE } from './layout/http.ts'
import { outPosition, outReserve, pathLen, pathPtr, setPath } from './message.ts'

const SEMICOLON: u32 = 0x3b
const TILDE: u32 = 0x7e

// The writer's end and the start of the segment being written: the address after the last "/".
let end: i32 = 0
let segment: i32 = 0
// Whether the segment that ended last was a dot segment.
let removed: bool = false

/** Normalises the request's path in the way of `form` (NORMALIZE_*); false where the path is refused. */
export function normalisePath(form: i32): bool {
  const start = pathPtr()
  const len = pathLen()
  if (form == NORMALIZE_NONE || load<u8>(start) != SLASH) return true
  const out = outPosition()
  // A path only becomes shorter. Without room the phase fails by the writer's overflow.
  if (!outReserve(len)) return true
  if (!rewrite(start, start + len, out, form == NORMALIZE_DECODE_AND_MERGE_SLASHES)) return false
  if (form >= NORMALIZE_MERGE_SLASHES) mergeSlashes(out)
  setPath(out, end - out)
  return true
}

function rewrite(start: i32, stop: i32, out: i32, decodesSlashes: bool): bool {
  store<u8>(out, SLASH as u8)
  end = out + 1
  segment = end
  let p = start + 1
  while (p < stop) {
    let byte: u32 = load<u8>(p++)
    if (byte == PERCENT) {
      const value = p + 2 <= stop ? escape(p) : BAD_ESCAPE
      if (value == 0 || value == BAD_ESCAPE) return false
      if (decodesSlashes && (value == SLASH || value == BACKSLASH)) byte = SLASH
      else if (isUnreserved(value)) byte = value
      else {
        store<u8>(end, PERCENT as u8)
        store<u16>(end + 1, load<u16>(p))
        end += 3
        p += 2
        continue
      }
      p += 2
    } else if (byte == BACKSLASH) byte = SLASH
    if (byte != SLASH) store<u8>(end++, byte as u8)
    else {
      if (!endSegment(out)) return false
      if (!removed) store<u8>(end++, SLASH as u8)
      segment = end
    }
  }
  return endSegment(out)
}

// Takes a dot segment away again, with the "/" that would follow it: the end is then just after a "/".
function endSegment(root: i32): bool {
  const len = end - segment
  removed = false
  if (len == 1 && load<u8>(segment) == DOT) {
    end = segment
    removed = true
  } else if (len == 2 && load<u8>(segment) == DOT && load<u8>(segment + 1) == DOT) {
    if (segment == root + 1) return false
    end = segment - 1
    while (load<u8>(end - 1) != SLASH) end--
    removed = true
  } else return !isDotWithParameters(len)
  return true
}

function isDotWithParameters(len: i32): bool {
  if (len < 2 || load<u8>(segment) != DOT) return false
  const second: u32 = load<u8>(segment + 1)
  return second == SEMICOLON || (second == DOT && len > 2 && load<u8>(segment + 2) == SEMICOLON)
}

function mergeSlashes(out: i32): void {
  let to = out + 1
  for (let from = out + 1; from < end; from++) {
    const byte: u32 = load<u8>(from)
    if (byte == SLASH && load<u8>(to - 1) == SLASH) continue
    store<u8>(to++, byte as u8)
  }
  end = to
}

const BAD_ESCAPE: u32 = 256

function escape(p: i32): u32 {
  const high = hexValue(load<u8>(p))
  const low = hexValue(load<u8>(p + 1))
  return high > 15 || low > 15 ? BAD_ESCAPE : (high << 4) | low
}

function isUnreserved(byte: u32): bool {
  return (
    (byte | 0x20) - 0x61 < 26 ||
    isDigit(byte) ||
    byte == DASH ||
    byte == DOT ||
    byte == UNDERSCORE ||
    byte == TILDE
  )
}
