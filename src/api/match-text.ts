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
  for (const [index, segment] of segments.entries()) {
    if (segment === '') return 'it has an empty segment'
    const operator = segment.startsWith('{**}') ? '{**}' : segment.startsWith('{*}') ? '{*}' : ''
    const rest = segment.slice(operator.length)
    if (operator !== '' && ended) return 'nothing but literals may follow {**}'
    if (operator === '{**}') ended = true
    const literalFollows = operator !== '' && rest !== ''
    if (literalFollows && (index < segments.length - 1 || value.endsWith('/'))) {
      return `text may follow ${operator} within a segment only in the last one`
    }
    if (!/^[-a-zA-Z0-9._~%!$&'()+,;:@]*$/.test(rest)) {
      return 'an operator stands at the beginning of a segment; besides {*} and {**} a segment has literal path characters only'
    }
  }
  return null
}

function checkPlainText(value: string): string | null {
  if (value === '') return 'is empty: write a value, or "*" for any'
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  return /[\x00-\x1f\x7f]/.test(value) ? 'has a control character, which no request can carry' : null
}
