import {
  LIST_FORM_EXACT,
  LIST_FORM_PREFIX,
  LIST_FORM_PRESENT,
  LIST_FORM_SUFFIX,
  LIST_FORM_TEMPLATE,
  LIST_MAXIMUM,
} from '../sidecar/layout/string-list.ts'
import { ByteWriter } from './byte-writer.ts'

/** How one value of a policy matches a text. */
export type StringMatch =
  | { readonly form: 'exact' | 'prefix' | 'suffix'; readonly text: string }
  | { readonly form: 'present' }
  | { readonly form: 'template'; readonly program: Uint8Array }

/**
 * Istio's forms: `abc`, `abc*`, `*abc`, `*`. Only one asterisk counts: `*a*` is the suffix "a*", as in Istio.
 */
export function parseStringMatch(value: string): StringMatch {
  if (value === '*') return { form: 'present' }
  if (value.startsWith('*')) return { form: 'suffix', text: value.slice(1) }
  if (value.endsWith('*')) return { form: 'prefix', text: value.slice(0, -1) }
  return { form: 'exact', text: value }
}

/** Why these cannot be one list, or null. */
export function listProblem(matches: readonly StringMatch[]): string | null {
  if (matches.length > LIST_MAXIMUM) return `has ${matches.length} values, at most ${LIST_MAXIMUM} fit`
  const long = matches.map(recordText).find((text) => text.length > LIST_MAXIMUM)
  return long ? `has a value of ${long.length} bytes, at most ${LIST_MAXIMUM} fit` : null
}

/** The string list of sidecar/layout/string-list.ts; `listProblem` must have found nothing. */
export function encodeStringList(matches: readonly StringMatch[]): Buffer {
  const exacts = distinct(matches.filter((match) => match.form === 'exact').map(recordText))
  const patterns = matches.filter((match) => match.form !== 'exact')
  const out = new ByteWriter()
  out.u16(exacts.length).u16(patterns.length)
  const firstPattern = out.reserve()
  const offsets = exacts.map(() => out.reserve())
  for (const [index, text] of exacts.entries()) {
    out.patch(offsets[index]!, out.length)
    record(out, LIST_FORM_EXACT, text)
  }
  out.patch(firstPattern, out.length)
  for (const match of patterns) record(out, FORMS[match.form], recordText(match))
  return out.finish()
}

/** The order of a list's exact texts: by length, then by bytes from the last to the first. */
export function compareTexts(a: Uint8Array, b: Uint8Array): number {
  if (a.length !== b.length) return a.length - b.length
  for (let i = a.length - 1; i >= 0; i--) {
    if (a[i] !== b[i]) return a[i]! - b[i]!
  }
  return 0
}

const FORMS = {
  exact: LIST_FORM_EXACT,
  prefix: LIST_FORM_PREFIX,
  suffix: LIST_FORM_SUFFIX,
  present: LIST_FORM_PRESENT,
  template: LIST_FORM_TEMPLATE,
} as const

function recordText(match: StringMatch): Uint8Array {
  switch (match.form) {
    case 'present':
      return NO_BYTES
    case 'template':
      return match.program
    default:
      return Buffer.from(match.text, 'utf8')
  }
}

function record(out: ByteWriter, form: number, text: Uint8Array): void {
  out.u16(form).u16(text.length).bytes(text)
}

function distinct(texts: Uint8Array[]): Uint8Array[] {
  const sorted = texts.toSorted(compareTexts)
  return sorted.filter((text, index) => index === 0 || compareTexts(sorted[index - 1]!, text) !== 0)
}

const NO_BYTES = new Uint8Array()
