/** Where a value was written: the file as given to the reader, and its 1-based line. */
export type Source = { file: string; line: number }

/** Stable names of what can be wrong with a manifest; tools may rely on them. */
export type ManifestErrorCode =
  | 'yaml-syntax'
  | 'too-large'
  | 'duplicate-key'
  | 'unknown-kind'
  | 'unknown-field'
  | 'missing-field'
  | 'wrong-type'
  | 'bad-value'
  | 'out-of-range'
  | 'unsupported'
  | 'conflict'
  | 'duplicate-resource'

/** One thing wrong with one place of a manifest. `line` and `column` are 1-based; `field` is "" for a whole document. */
export type ManifestError = {
  code: ManifestErrorCode
  file: string
  line: number
  column: number
  field: string
  message: string
}

/** One line for people: `FILE:LINE:COLUMN: FIELD: MESSAGE (CODE)`. */
export function formatManifestError(error: ManifestError): string {
  const field = error.field === '' ? '' : `${error.field}: `
  return visible(`${error.file}:${error.line}:${error.column}: ${field}${error.message} (${error.code})`)
}

/** Characters that would end the line, steer a terminal or turn the text around are written as escapes. */
function visible(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/gu, (character) => {
    return `\\u${character.codePointAt(0)!.toString(16).padStart(4, '0')}`
  })
}
