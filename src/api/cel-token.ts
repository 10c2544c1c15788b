// The words of CEL expressions.

/** Thrown inside the reader and the checker of expressions; never leaves them. */
export class CelProblem extends Error {}

export function celProblem(at: number, problem: string): never {
  throw new CelProblem(`at character ${at + 1}: ${problem}`)
}

/** A word of an expression; `at` is the position of its first character, from 0. */
export type Token = {
  kind: 'name' | 'integer' | 'text' | 'sign' | 'end'
  value: string
  at: number
}

const SPACE = /[\t\n\f\r ]+|\/\/[^\n]*/y
const NAME = /[A-Za-z_][A-Za-z0-9_]*/y
const NUMBER = /0[xX][0-9a-fA-F]+|[0-9]+/y
const SIGN = /&&|\|\||[=!<>]=|[-+*/%<>!?:.,()[\]{}]/y
const FRACTION = /\.[0-9]|[eE][+-]?[0-9]|[uU]/y

/** Splits an expression into its words; the last one is the end. */
export function tokens(text: string): Token[] {
  const found: Token[] = []
  let at = 0
  const take = (pattern: RegExp): string | null => {
    pattern.lastIndex = at
    return pattern.exec(text)?.[0] ?? null
  }
  while (at < text.length) {
    const space = take(SPACE)
    if (space !== null) {
      at += space.length
      continue
    }
    const quoted = /^[rRbB]{0,2}["']/.exec(text.slice(at, at + 3))
    if (quoted !== null) {
      const { value, end } = readText(text, at)
      found.push({ kind: 'text', value, at })
      at = end
      continue
    }
    const number = take(NUMBER)
    if (number !== null) {
      const start = at
      at += number.length
      if (take(FRACTION) !== null)
        celProblem(
          start,
          'write whole numbers without a suffix: fractions and unsigned numbers are not available',
        )
      found.push({ kind: 'integer', value: number, at: start })
      continue
    }
    const name = take(NAME)
    const token = name ?? take(SIGN)
    if (token === null) celProblem(at, `${JSON.stringify(text[at])} has no meaning in an expression`)
    found.push({ kind: name === null ? 'sign' : 'name', value: token, at })
    at += token.length
  }
  found.push({ kind: 'end', value: '', at: text.length })
  return found
}

/** A string literal: 'x', "x", with three quotes each, and raw ones (r'x'). */
function readText(text: string, at: number): { value: string; end: number } {
  const [prefix] = /^[rRbB]*/.exec(text.slice(at))!
  if (/b/i.test(prefix)) celProblem(at, 'bytes are not available: write text')
  const raw = prefix !== ''
  let from = at + prefix.length
  const triple = text.slice(from, from + 3)
  const quote = triple === '"""' || triple === "'''" ? triple : text[from]!
  from += quote.length
  let value = ''
  while (from < text.length) {
    if (text.startsWith(quote, from)) return { value, end: from + quote.length }
    const character = text[from]!
    if (character === '\n' && quote.length === 1) break
    if (character !== '\\' || raw) {
      value += character
      from++
      continue
    }
    const sequence = ESCAPE.exec(text.slice(from, from + 10))?.[0]
    if (sequence === undefined) celProblem(from, 'this is no escape: write \\\\ for a backslash')
    value += characterOf(sequence, from)
    from += sequence.length
  }
  celProblem(at, `the text has no end: ${quote} is missing`)
}

const ESCAPE = /^\\(?:[abfnrtv\\?"'`]|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-3][0-7]{2})/
const ESCAPES: Readonly<Record<string, string>> = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
}

function characterOf(sequence: string, at: number): string {
  const letter = sequence[1]!
  if (/[xXuU]/.test(letter)) {
    const code = Number.parseInt(sequence.slice(2), 16)
    if (code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) celProblem(at, `${sequence} is no character`)
    return String.fromCodePoint(code)
  }
  if (/[0-7]/.test(letter)) return String.fromCodePoint(Number.parseInt(sequence.slice(1), 8))
  return ESCAPES[letter] ?? letter
}
