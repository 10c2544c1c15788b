// Path templates: literal text, `{*}` for one segment, `{**}` for the rest. Since an operator fills its whole segment
// and `{**}` comes last, one pass without a way back decides.

import { equalBytes, SLASH } from './bytes.ts'
import { TEMPLATE_END, TEMPLATE_LITERAL, TEMPLATE_REST, TEMPLATE_SEGMENT } from './layout/string-list.ts'

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
      while (at < end && load<u8>(at) != SLASH) at++
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
