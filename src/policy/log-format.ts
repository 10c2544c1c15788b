// Reads Envoy's access-log formats: a text with command operators, `%NAME(ARGUMENT):LENGTH%`, or a JSON object of such texts.

/** A piece of a format text: literal, or a command operator. */
export type LogPart =
  | { readonly kind: 'text'; readonly text: string }
  | {
      readonly kind: 'operator'
      readonly name: string
      readonly argument: string | null
      /** The most bytes of the value that are wanted. */
      readonly limit: number | null
    }

/** A JSON format: operators stand in its strings; everything else is written as it is. */
export type JsonFormat =
  | { readonly kind: 'parts'; readonly parts: readonly LogPart[] }
  | { readonly kind: 'constant'; readonly json: string }
  | { readonly kind: 'object'; readonly entries: readonly (readonly [string, JsonFormat])[] }
  | { readonly kind: 'list'; readonly items: readonly JsonFormat[] }

/** The outcome of reading a format; `problem` says what is wrong and what to do. */
export type Parsed<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly problem: string }

/** Reads a text format of one line; a newline at its end is the line's own and left out. */
export function parseTextFormat(format: string): Parsed<LogPart[]> {
  const line = format.replace(/\r?\n$/, '')
  if (line === '') return problem('is empty: remove the field to log in the default format')
  const control = line.search(CONTROL)
  if (control >= 0) {
    return problem(
      `has a control character at position ${control + 1}: a log line is one line; use tabs or spaces between its parts`,
    )
  }
  return parseParts(line)
}

/** Reads a JSON format that was written as text: it must be an object. */
export function parseJsonText(text: string): Parsed<JsonFormat> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    return problem(
      `is not JSON (${(error as Error).message}): with accessLogEncoding JSON the format is a JSON object such as {"method":"%REQ(:METHOD)%"}`,
    )
  }
  return parseJsonFormat(value)
}

/** Reads a JSON format, an object that may hold objects and lists. */
export function parseJsonFormat(value: unknown): Parsed<JsonFormat> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return problem('is not a JSON object: write one such as {"method":"%REQ(:METHOD)%"}')
  }
  if (Object.keys(value).length === 0)
    return problem('has no keys: remove the field to log in the default format')
  return parseJson(value, '', 1)
}

/** Splits a text into literals and operators; `%%` is a literal percent sign. */
export function parseParts(format: string): Parsed<LogPart[]> {
  const parts: LogPart[] = []
  let text = ''
  let at = 0
  while (at < format.length) {
    if (format[at] !== '%') {
      const end = format.indexOf('%', at)
      text += format.slice(at, end < 0 ? format.length : end)
      at = end < 0 ? format.length : end
      continue
    }
    if (format[at + 1] === '%') {
      text += '%'
      at += 2
      continue
    }
    OPERATOR.lastIndex = at
    const match = OPERATOR.exec(format)
    if (match === null) {
      return problem(
        `has no command operator after the "%" at position ${at + 1} (${JSON.stringify(format.slice(at, at + 24))}): write %NAME%, %NAME(ARGUMENT)% or %NAME(ARGUMENT):LENGTH%, or %% for a percent sign`,
      )
    }
    if (text !== '') parts.push({ kind: 'text', text })
    text = ''
    const [whole, name, argument, limit] = match
    parts.push({
      kind: 'operator',
      name: name!,
      argument: argument ?? null,
      limit: limit === undefined ? null : Number(limit),
    })
    at += whole.length
  }
  if (text !== '') parts.push({ kind: 'text', text })
  return { ok: true, value: parts }
}

function parseJson(value: unknown, path: string, depth: number): Parsed<JsonFormat> {
  if (depth > MAX_DEPTH) return problem(`is nested deeper than ${MAX_DEPTH} levels at ${path}: flatten it`)
  if (typeof value === 'string') {
    const parts = parseParts(value)
    return parts.ok
      ? { ok: true, value: { kind: 'parts', parts: parts.value } }
      : problem(`${path} ${parts.problem}`)
  }
  if (Array.isArray(value)) {
    const items: JsonFormat[] = []
    for (const [i, item] of value.entries()) {
      const parsed = parseJson(item, `${path}[${i}]`, depth + 1)
      if (!parsed.ok) return parsed
      items.push(parsed.value)
    }
    return { ok: true, value: { kind: 'list', items } }
  }
  if (typeof value === 'object' && value !== null) {
    const entries: [string, JsonFormat][] = []
    for (const [key, item] of Object.entries(value)) {
      const parsed = parseJson(item, path === '' ? key : `${path}.${key}`, depth + 1)
      if (!parsed.ok) return parsed
      entries.push([key, parsed.value])
    }
    return { ok: true, value: { kind: 'object', entries } }
  }
  return { ok: true, value: { kind: 'constant', json: JSON.stringify(value) } }
}

function problem(text: string): { ok: false; problem: string } {
  return { ok: false, problem: text }
}

/** Envoy's own grammar of an operator: an argument cannot hold a closing parenthesis. */
const OPERATOR = /%([A-Z0-9_]+)(?:\(([^)]*)\))?(?::([0-9]{1,9}))?%/y
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
const CONTROL = /[\x00-\x08\x0a-\x1f\x7f]/
const MAX_DEPTH = 8
