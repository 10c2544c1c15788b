// What two values of a policy have to do with each other, without any request: whether one text can match both, and whether
// every text that matches the one matches the other. "No" and "yes" are certain; what is hard to tell is "can" and "not all".

import { isPathTemplate } from './path-template.ts'
import { parseStringMatch } from './string-match.ts'

/** Whether some text matches both values. */
export function canMatchBoth(a: string, b: string): boolean {
  if (isPathTemplate(a) || isPathTemplate(b)) return true
  const [one, other] = [parseStringMatch(a), parseStringMatch(b)]
  if (one.form === 'exact') return matchesText(b, one.text)
  if (other.form === 'exact') return matchesText(a, other.text)
  if (one.form === 'prefix' && other.form === 'prefix') {
    return one.text.startsWith(other.text) || other.text.startsWith(one.text)
  }
  if (one.form === 'suffix' && other.form === 'suffix') {
    return one.text.endsWith(other.text) || other.text.endsWith(one.text)
  }
  return true
}

/** Whether every text that matches `narrow` matches `wide`. */
export function coversAll(wide: string, narrow: string): boolean {
  if (wide === narrow || wide === '*') return true
  if (isPathTemplate(wide) || isPathTemplate(narrow)) return false
  const [outer, inner] = [parseStringMatch(wide), parseStringMatch(narrow)]
  if (inner.form === 'exact') return matchesText(wide, inner.text)
  if (outer.form === 'prefix') return inner.form === 'prefix' && inner.text.startsWith(outer.text)
  if (outer.form === 'suffix') return inner.form === 'suffix' && inner.text.endsWith(outer.text)
  return false
}

/** Whether a value matches a text, as the sidecar compares them; path templates do not come here. */
export function matchesText(value: string, text: string): boolean {
  const match = parseStringMatch(value)
  switch (match.form) {
    case 'present':
      return text !== ''
    case 'exact':
      return text === match.text
    case 'prefix':
      return text.startsWith(match.text)
    case 'suffix':
      return text.endsWith(match.text)
    default:
      return false
  }
}
