// Reads expressions of the Common Expression Language (CEL, github.com/google/cel-spec, doc/langdef.md) into a tree.
// What CEL has and Mayfly does not evaluate is read as far as is needed to say so.

import { CelProblem, celProblem, type Token, tokens } from './cel-token.ts'
import type { Reading } from './fields.ts'

/** An expression as it is written; `at` is the position of its first character, from 0. */
export type CelSyntax =
  | { readonly kind: 'text'; readonly value: string; readonly at: number }
  | { readonly kind: 'integer'; readonly value: number; readonly at: number }
  | { readonly kind: 'truth'; readonly value: boolean; readonly at: number }
  | { readonly kind: 'name'; readonly name: string; readonly at: number }
  | { readonly kind: 'member'; readonly of: CelSyntax; readonly name: string; readonly at: number }
  | { readonly kind: 'index'; readonly of: CelSyntax; readonly index: CelSyntax; readonly at: number }
  | {
      readonly kind: 'call'
      readonly target: CelSyntax | null
      readonly name: string
      readonly args: readonly CelSyntax[]
      readonly at: number
    }
  | { readonly kind: 'list'; readonly items: readonly CelSyntax[]; readonly at: number }
  | { readonly kind: 'not'; readonly of: CelSyntax; readonly at: number }
  | {
      readonly kind: 'binary'
      readonly operator: string
      readonly left: CelSyntax
      readonly right: CelSyntax
      readonly at: number
    }
  | {
      readonly kind: 'choice'
      readonly condition: CelSyntax
      readonly then: CelSyntax
      readonly otherwise: CelSyntax
      readonly at: number
    }

const MAX_LENGTH = 4_096
/** Deeper nesting is refused, so that whoever walks the tree needs a bounded stack. */
const MAX_DEPTH = 48

/** Reads a whole expression. */
export function readCel(text: string): Reading<CelSyntax> {
  if (text.length > MAX_LENGTH) return { ok: false, problem: `is longer than ${MAX_LENGTH} characters` }
  try {
    const parser = new Parser(tokens(text))
    return { ok: true, value: parser.whole() }
  } catch (error) {
    if (error instanceof CelProblem) return { ok: false, problem: error.message }
    throw error
  }
}

const RELATIONS = new Set(['==', '!=', '<', '<=', '>', '>=', 'in'])
const SUMS = new Set(['+', '-'])
const PRODUCTS = new Set(['*', '/', '%'])
/** Words that CEL keeps (langdef.md, RESERVED). */
const RESERVED = new Set(
  'as break const continue else for function if import let loop package namespace return var void while'.split(
    ' ',
  ),
)

class Parser {
  readonly #tokens: readonly Token[]
  #next = 0
  #depth = 0

  constructor(list: readonly Token[]) {
    this.#tokens = list
  }

  whole(): CelSyntax {
    if (this.#ended) celProblem(0, 'the expression is empty')
    const expression = this.#choice()
    if (!this.#ended) celProblem(this.#token.at, `expected an operator or the end, got ${this.#shown()}`)
    return expression
  }

  get #token(): Token {
    return this.#tokens[this.#next]!
  }

  get #ended(): boolean {
    return this.#token.kind === 'end'
  }

  #shown(): string {
    return this.#ended ? 'the end' : JSON.stringify(this.#token.value)
  }

  #is(sign: string): boolean {
    return this.#token.kind === 'sign' && this.#token.value === sign
  }

  #accept(sign: string): boolean {
    if (!this.#is(sign)) return false
    this.#next++
    return true
  }

  #expect(sign: string): void {
    if (!this.#accept(sign))
      celProblem(this.#token.at, `expected ${JSON.stringify(sign)}, got ${this.#shown()}`)
  }

  #choice(): CelSyntax {
    if (++this.#depth > MAX_DEPTH) celProblem(this.#token.at, `is nested deeper than ${MAX_DEPTH} levels`)
    const condition = this.#chain(0)
    let result = condition
    if (this.#accept('?')) {
      const then = this.#chain(0)
      this.#expect(':')
      result = { kind: 'choice', condition, then, otherwise: this.#choice(), at: condition.at }
    }
    this.#depth--
    return result
  }

  /** Binary operators, which all bind to the left; a higher level binds closer. */
  #chain(level: number): CelSyntax {
    if (level === LEVELS.length) return this.#unary()
    let left = this.#chain(level + 1)
    let links = 0
    while (
      LEVELS[level]!.has(this.#token.value) &&
      (this.#token.kind === 'sign' || this.#token.value === 'in')
    ) {
      const operator = this.#token.value
      if (++links > MAX_DEPTH)
        celProblem(
          this.#token.at,
          `has more than ${MAX_DEPTH} operators in a row: use parentheses or a list with "in"`,
        )
      this.#next++
      left = { kind: 'binary', operator, left, right: this.#chain(level + 1), at: left.at }
    }
    return left
  }

  #unary(): CelSyntax {
    const { at } = this.#token
    if (this.#is('!')) {
      this.#next++
      if (++this.#depth > MAX_DEPTH) celProblem(at, `is nested deeper than ${MAX_DEPTH} levels`)
      const of = this.#unary()
      this.#depth--
      return { kind: 'not', of, at }
    }
    if (this.#accept('-')) {
      if (this.#token.kind !== 'integer')
        celProblem(at, 'expected a number after "-": arithmetic is not available')
      const value = this.#integer()
      return { kind: 'integer', value: -value, at }
    }
    return this.#member()
  }

  #member(): CelSyntax {
    let value = this.#primary()
    for (let links = 0; ; links++) {
      if (links > MAX_DEPTH) celProblem(this.#token.at, `is nested deeper than ${MAX_DEPTH} levels`)
      if (this.#accept('.')) {
        const { at } = this.#token
        const name = this.#name()
        if (this.#accept('(')) value = { kind: 'call', target: value, name, args: this.#items(')'), at }
        else value = { kind: 'member', of: value, name, at: value.at }
      } else if (this.#accept('[')) {
        const index = this.#choice()
        this.#expect(']')
        value = { kind: 'index', of: value, index, at: value.at }
      } else return value
    }
  }

  #primary(): CelSyntax {
    const { kind, value, at } = this.#token
    if (kind === 'text') {
      this.#next++
      return { kind: 'text', value, at }
    }
    if (kind === 'integer') return { kind: 'integer', value: this.#integer(), at }
    if (kind === 'name') return this.#named(at)
    if (this.#accept('(')) {
      const inside = this.#choice()
      this.#expect(')')
      return inside
    }
    if (this.#accept('[')) return { kind: 'list', items: this.#items(']'), at }
    if (this.#is('{')) celProblem(at, 'maps cannot be written here: use a list with "in"')
    celProblem(at, `expected a value, got ${this.#shown()}`)
  }

  #named(at: number): CelSyntax {
    const name = this.#name()
    if (name === 'true' || name === 'false') return { kind: 'truth', value: name === 'true', at }
    if (name === 'null') celProblem(at, 'null is not available: ask with has(...) whether a value is there')
    if (this.#accept('(')) return { kind: 'call', target: null, name, args: this.#items(')'), at }
    return { kind: 'name', name, at }
  }

  #name(): string {
    const { kind, value, at } = this.#token
    if (kind !== 'name' || value === 'in') celProblem(at, `expected a name, got ${this.#shown()}`)
    if (RESERVED.has(value)) celProblem(at, `${JSON.stringify(value)} is a reserved word`)
    this.#next++
    return value
  }

  #integer(): number {
    const { value, at } = this.#token
    this.#next++
    const number = Number(value)
    if (!Number.isSafeInteger(number))
      celProblem(at, `${value} is too large: numbers go up to ${Number.MAX_SAFE_INTEGER}`)
    return number
  }

  #items(close: string): CelSyntax[] {
    const items: CelSyntax[] = []
    while (!this.#accept(close)) {
      if (items.length > 0) {
        this.#expect(',')
        if (close === ']' && this.#accept(close)) break
      }
      items.push(this.#choice())
    }
    return items
  }
}

const LEVELS: readonly ReadonlySet<string>[] = [new Set(['||']), new Set(['&&']), RELATIONS, SUMS, PRODUCTS]
