// Whether a text is as a route says (text matches of layout/routes.ts).

import { automatonMatches } from './automaton.ts'
import { equalBytes, equalIgnoreCase } from './bytes.ts'
import {
  TEXT_AUTOMATON,
  TEXT_EXACT,
  TEXT_EXACT_ANY_CASE,
  TEXT_MATCH_FORM,
  TEXT_MATCH_SIZE,
  TEXT_MATCH_TEXT,
  TEXT_PREFIX,
  TEXT_PREFIX_ANY_CASE,
  TEXT_PRESENT,
} from './layout/routes.ts'

export function textMatches(match: i32, ptr: i32, len: i32): bool {
  const text = match + TEXT_MATCH_TEXT
  const size = load<i32>(match + TEXT_MATCH_SIZE)
  switch (load<i32>(match + TEXT_MATCH_FORM)) {
    case TEXT_PRESENT:
      return true
    case TEXT_EXACT:
      return equalBytes(text, size, ptr, len)
    case TEXT_PREFIX:
      return len >= size && equalBytes(text, size, ptr, size)
    case TEXT_EXACT_ANY_CASE:
      return equalIgnoreCase(text, size, ptr, len)
    case TEXT_PREFIX_ANY_CASE:
      return len >= size && equalIgnoreCase(text, size, ptr, size)
    case TEXT_AUTOMATON:
      return automatonMatches(text, ptr, len)
    default:
      return false
  }
}
