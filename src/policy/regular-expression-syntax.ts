import { CharacterReader, NOT_LINEAR, SyntaxProblem } from './regular-expression-characters.ts'
import { ANY, ANY_BUT_NEWLINE, type Ranges } from './regular-expression-class.ts'

/** What a regular expression consists of. */
export type Expression =
  | { readonly kind: 'empty' }
  /** Any byte, also of what is no UTF-8; no pattern says that. */
  | { readonly kind: 'byte' }
  | { readonly kind: 'class'; readonly ranges: Ranges }
  | { readonly kind: 'assertion'; readonly of: Assertion }
  | { readonly kind: 'group'; readonly number: number; readonly inner: Expression }
  | { readonly kind: 'sequence' | 'choice'; readonly parts: readonly Expression[] }
  /** `most` null: any number. */
  | {
      readonly kind: 'repeat'
      readonly inner: Expression
      readonly least: number
      readonly most: number | null
      readonly greedy: boolean
    }

export type Assertion =
  | 'begin-text'
  | 'end-text'
  | 'begin-line'
  | 'end-line'
  | 'word-boundary'
  | 'no-word-boundary'

export type SyntaxReading =
  | { readonly ok: true; readonly expression: Expression; readonly groups: number }
  | { readonly ok: false; readonly problem: string }

/** Reads RE2's syntax (https://github.com/google/re2/wiki/Syntax), as Envoy uses it. */
export function readExpression(pattern: string): SyntaxReading {
  const reader = new Reader(pattern)
  try {
    const expression = reader.whole()
    return { ok: true, expression, groups: reader.groups }
  } catch (error) {
    if (error instanceof SyntaxProblem) return { ok: false, problem: error.message }
    throw error
  }
}

/** Largest number of repetitions, alone and multiplied where they nest: RE2's bound. */
const MOST_REPETITIONS = 1000
const MOST_NESTED = 500

class Reader extends CharacterReader {
  groups = 0
  readonly #names = new Set<string>()
  #depth = 0

  whole(): Expression {
    const expression = this.#choice()
    if (this.peek() !== undefined) this.fail('")" closes nothing')
    checkRepetitions(expression, MOST_REPETITIONS, (text) => this.fail(text, 0))
    return expression
  }

  #choice(): Expression {
    if (++this.#depth > MOST_NESTED) this.fail(`groups are nested deeper than ${MOST_NESTED}`)
    const parts = [this.#sequence()]
    while (this.takes('|')) parts.push(this.#sequence())
    this.#depth--
    return parts.length === 1 ? parts[0]! : { kind: 'choice', parts }
  }

  #sequence(): Expression {
    const parts: Expression[] = []
    let repeated = false
    while (this.peek() !== undefined && this.peek() !== '|' && this.peek() !== ')') {
      const at = this.at
      const repetition = this.#repetition()
      if (repetition) {
        if (parts.length === 0) this.fail('nothing stands before the repetition', at)
        if (repeated) this.fail('a repetition cannot be repeated: put it into a group', at)
        parts.push({ kind: 'repeat', inner: parts.pop()!, ...repetition })
        repeated = true
        continue
      }
      const quoted = this.takes('\\Q')
      if (quoted) parts.push(...this.#quoted())
      else {
        const one = this.#one()
        // Flags alone are nothing that could be repeated.
        if (one !== null) parts.push(one)
      }
      repeated = false
    }
    return parts.length === 1
      ? parts[0]!
      : parts.length === 0
        ? { kind: 'empty' }
        : { kind: 'sequence', parts }
  }

  #repetition(): { least: number; most: number | null; greedy: boolean } | null {
    let bounds: { least: number; most: number | null } | null = null
    const start = this.at
    if (this.takes('*')) bounds = { least: 0, most: null }
    else if (this.takes('+')) bounds = { least: 1, most: null }
    else if (this.takes('?')) bounds = { least: 0, most: 1 }
    else if (this.peek() === '{') bounds = this.#counted()
    if (!bounds) return null
    const { least, most } = bounds
    if (least > MOST_REPETITIONS || (most ?? 0) > MOST_REPETITIONS || (most !== null && least > most))
      this.fail(`repetitions are counted from 0 to ${MOST_REPETITIONS}, the smaller number first`, start)
    return { ...bounds, greedy: this.takes('?') === this.flags.U }
  }

  /** `{n}`, `{n,}` or `{n,m}`; anything else behind a brace is text. */
  #counted(): { least: number; most: number | null } | null {
    const text = this.text(24)
    const match = /^\{(\d{1,9})(,(\d{1,9})?)?\}/.exec(text)
    if (!match) return null
    this.at += match[0].length
    const least = Number(match[1])
    return { least, most: match[2] === undefined ? least : match[3] === undefined ? null : Number(match[3]) }
  }

  #quoted(): Expression[] {
    const parts: Expression[] = []
    while (this.peek() !== undefined && !this.takes('\\E'))
      parts.push(this.#character(this.take().codePointAt(0)!))
    return parts
  }

  #one(): Expression | null {
    const character = this.peek()!
    switch (character) {
      case '(':
        return this.#group()
      case '[':
        return { kind: 'class', ranges: this.readClass() }
      case '.':
        this.at++
        return { kind: 'class', ranges: this.flags.s ? ANY : ANY_BUT_NEWLINE }
      case '^':
        this.at++
        return { kind: 'assertion', of: this.flags.m ? 'begin-line' : 'begin-text' }
      case '$':
        this.at++
        return { kind: 'assertion', of: this.flags.m ? 'end-line' : 'end-text' }
      case '\\':
        return this.#escape()
      default:
        return this.#character(this.take().codePointAt(0)!)
    }
  }

  #character(code: number): Expression {
    return { kind: 'class', ranges: this.folded([code, code]) }
  }

  #group(): Expression | null {
    const start = this.at++
    const before = this.flags
    let number = 0
    if (!this.takes('?')) number = ++this.groups
    else {
      const name = /^P?<([^>]*)>/.exec(this.text(80))
      if (name && !/^[=!]/.test(name[1]!)) {
        if (!/^\w+$/.test(name[1]!)) this.fail(`${JSON.stringify(name[1])} is no name of a group`)
        if (this.#names.has(name[1]!)) this.fail(`two groups are called ${name[1]}`)
        this.#names.add(name[1]!)
        this.at += name[0].length
        number = ++this.groups
      } else if (!this.#readFlags()) return null
    }
    const inner = this.#choice()
    if (!this.takes(')')) this.fail('the group is not closed: ")" is missing', start)
    this.flags = before
    return number === 0 ? inner : { kind: 'group', number, inner }
  }

  /** `i-s:` and the like; true where a group follows, false where the flags are for the rest of the group around. */
  #readFlags(): boolean {
    const flags = { ...this.flags }
    let value = true
    let some = false
    for (;;) {
      const character = this.peek()
      this.at++
      if (character === 'i' || character === 'm' || character === 's' || character === 'U') {
        flags[character] = value
        some = true
      } else if (character === '-' && value) {
        value = false
        some = false
      } else if ((character === ':' || character === ')') && (value || some)) {
        this.flags = flags
        return character === ':'
      } else if (character !== undefined && '=!<P'.includes(character)) {
        this.fail(NOT_LINEAR, this.at - 1)
      } else
        this.fail('after "(?" expected flags (i, m, s, U), ":" or a name as in (?P<name>...)', this.at - 1)
    }
  }

  #escape(): Expression {
    const perl = this.readPerlClass()
    if (perl) return { kind: 'class', ranges: perl }
    const assertion = ASSERTIONS[this.peek(1) ?? '']
    if (!assertion) return this.#character(this.readEscape())
    this.at += 2
    return { kind: 'assertion', of: assertion }
  }
}

const ASSERTIONS: Readonly<Record<string, Assertion>> = {
  A: 'begin-text',
  z: 'end-text',
  b: 'word-boundary',
  B: 'no-word-boundary',
}

/** Repetitions inside repetitions multiply. */
function checkRepetitions(expression: Expression, most: number, fail: (text: string) => never): void {
  switch (expression.kind) {
    case 'repeat': {
      const times = Math.max(1, expression.most ?? expression.least)
      if (times > most) fail(`nested repetitions make more than ${MOST_REPETITIONS}`)
      return checkRepetitions(expression.inner, Math.floor(most / times), fail)
    }
    case 'group':
      return checkRepetitions(expression.inner, most, fail)
    case 'sequence':
    case 'choice':
      for (const part of expression.parts) checkRepetitions(part, most, fail)
  }
}
