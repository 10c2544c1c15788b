// Path templates: literal text, `{*}` for one segment, `{**}` for the rest. Since an operator fills its whole segment
// and `{**}` comes last, one pass without a way back decides.

import { equalBytes, SLASH } from './bytes.ts'
import { SCRATCH_AUTHORIZATION } from './layout/scratch.ts'
import { TEMPLATE_END, TEMPLATE_LITERAL, TEMPLATE_REST, TEMPLATE_SEGMENT } from './layout/string-list.ts'

/** Where segments that were looked at end: SLOTS pairs of u32, the segment's address and the address after it. */
const SEGMENTS: i32 = SCRATCH_AUTHORIZATION + 0x300
const SLOTS: i32 = 32

let seen: bool = false

/** Forgets the path of an earlier call. */
export function forgetSegments(): void {
  if (seen) memory.fill(SEGMENTS, 0, SLOTS * 8)
  seen = false
}

/** Whether the path follows the program of steps. */
export function templateMatches(program: i32, ptr: i32, len: i32): bool {
  const end = ptr + len
  let at = ptr
  let step = program
  while (true) {
    const kind: i32 = load<u8>(step)
    if (kind == TEMPLATE_END) return at == end
    if (kind == TEMPLATE_SEGMENT) {
      const start = at
      at = segmentEnd(start, end)
      if (at == start) return false
      step += 1
      continue
    }
    const size: i32 = load<u16>(step + 1)
    const text = step + 3
    if (kind == TEMPLATE_LITERAL) {
      if (end - at < size || !equalBytes(at, size, text, size)) return false
      at += size
      step = text + size
      continue
    }
    if (kind != TEMPLATE_REST) return false
    return end - at >= size && equalBytes(end - size, size, text, size)
  }
}

/** The address after the segment; many templates ask it of the same few segments, which a client may make long. */
function segmentEnd(start: i32, end: i32): i32 {
  const slot = SEGMENTS + ((start & (SLOTS - 1)) << 3)
  if (load<i32>(slot) == start) return load<i32>(slot + 4)
  let at = start
  while (at < end && load<u8>(at) != SLASH) at++
  seen = true
  store<i32>(slot, start)
  store<i32>(slot + 4, at)
  return at
}
