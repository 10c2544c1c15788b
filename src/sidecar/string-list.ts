// String lists (layout/string-list.ts): whether a text is exactly, begins, ends or is shaped as one of a list says.

import {
  LIST_EXACTS,
  LIST_FIRST_PATTERN,
  LIST_FORM_PREFIX,
  LIST_FORM_PRESENT,
  LIST_FORM_SUFFIX,
  LIST_FORM_TEMPLATE,
  LIST_HEADER,
  LIST_PATTERNS,
  RECORD_FORM,
  RECORD_LENGTH,
  RECORD_TEXT,
} from './layout/string-list.ts'
import { templateMatches } from './path-template.ts'

/** Whether the list has a match for the text. */
export function listMatches(list: i32, ptr: i32, len: i32): bool {
  let low = 0
  let high: i32 = load<u16>(list + LIST_EXACTS)
  while (low < high) {
    const middle = (low + high) >>> 1
    const record = list + load<i32>(list + LIST_HEADER + (middle << 2))
    const order = compareText(ptr, len, record + RECORD_TEXT, load<u16>(record + RECORD_LENGTH))
    if (order == 0) return true
    if (order < 0) high = middle
    else low = middle + 1
  }
  let patterns: i32 = load<u16>(list + LIST_PATTERNS)
  if (patterns == 0) return false
  let record = list + load<i32>(list + LIST_FIRST_PATTERN)
  while (patterns > 0) {
    const length: i32 = load<u16>(record + RECORD_LENGTH)
    if (patternMatches(load<u16>(record + RECORD_FORM), record + RECORD_TEXT, length, ptr, len)) return true
    record += RECORD_TEXT + length
    patterns--
  }
  return false
}

function patternMatches(form: i32, pattern: i32, length: i32, ptr: i32, len: i32): bool {
  if (form == LIST_FORM_PREFIX) return len >= length && compareText(ptr, length, pattern, length) == 0
  if (form == LIST_FORM_SUFFIX) {
    return len >= length && compareText(ptr + len - length, length, pattern, length) == 0
  }
  if (form == LIST_FORM_PRESENT) return len > 0
  if (form == LIST_FORM_TEMPLATE) return templateMatches(pattern, ptr, len)
  return false
}

/** The order of a list's exact texts: by length, then by bytes from the last to the first. */
function compareText(aPtr: i32, aLen: i32, bPtr: i32, bLen: i32): i32 {
  if (aLen != bLen) return aLen - bLen
  let left = aLen
  // The last byte of a little-endian word is its most significant one, so words are in the same order as their bytes.
  for (; left >= 8; left -= 8) {
    const a = load<u64>(aPtr + left - 8)
    const b = load<u64>(bPtr + left - 8)
    if (a != b) return a < b ? -1 : 1
  }
  while (left > 0) {
    left--
    const a: i32 = load<u8>(aPtr + left)
    const b: i32 = load<u8>(bPtr + left)
    if (a != b) return a - b
  }
  return 0
}
