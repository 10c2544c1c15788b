import { quote } from './kubernetes-name.ts'

// Texts that a policy matches: exact `abc`, prefix `abc*`, suffix `*abc`, presence `*`; and, for paths, templates.
// Each check answers with what is wrong, or null.

/** A text with at most one wildcard, at its beginning or end. */
export function checkMatchText(value: string): string | null {
  const wrong = checkPlainText(value)
  if (wrong) return wrong
  const inner =
    value === '*'
      ? ''
      : value.startsWith('*')
        ? value.slice(1)
        : value.endsWith('*')
          ? value.slice(0, -1)
          : value
  if (!inner.includes('*')) return null
  return `${quote(value)}: one "*" may stand at the beginning (suffix match), at the end (prefix match) or alone (presence)`
}

/** A path: a match text, or a template with `{*}` (one segment) and `{**}` (any number of segments, the last operator). */
export function checkPath(value: string): string | null {
  if (!value.includes('{*}') && !value.includes('{**}')) return checkMatchText(value)
  const wrong = checkPlainText(value)
  if (wrong) return wrong
  const problem = templateProblem(value)
  return problem && `${quote(value)} is not a path template: ${problem}`
}

/** A path template's rules as in Envoy's URI templates, of which Istio allows `{*}` and `{**}` only. */
function templateProblem(value: string): string | null {
  if (!value.startsWith('/')) return 'it must begin with "/"'
  const segments = value.slice(1).split('/')
  if (segments.at(-1) === '') segments.pop()
  let ended = false
  for (const segment of segments) {
    if (segment === '') return 'it has an empty segment'
    const isOperator = segment === '{*}' || segment === '{**}'
    if (isOperator && ended) return 'nothing but literals may follow {**}'
    if (segment === '{**}') ended = true
    if (!isOperator && !/^[-a-zA-Z0-9._~%!$&'()+,;:@=]*$/.test(segment)) {
      return 'an operator {*} or {**} fills its whole segment; other segments have literal path characters only'
    }
  }
  return null
}

function checkPlainText(value: string): string | null {
  if (value === '') return 'is empty: write a value, or "*" for any'
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  return /[\x00-\x1f\x7f]/.test(value) ? 'has a control character, which no request can carry' : null
}
