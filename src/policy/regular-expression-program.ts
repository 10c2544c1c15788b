// From a regular expression to a program over bytes: the steps of layout/automaton.ts.

import {
  ASSERT_BEGIN_LINE,
  ASSERT_BEGIN_TEXT,
  ASSERT_END_LINE,
  ASSERT_END_TEXT,
  ASSERT_NO_WORD_BOUNDARY,
  ASSERT_WORD_BOUNDARY,
  STEP_ASSERT,
  STEP_BYTE,
  STEP_FAIL,
  STEP_FORK,
  STEP_MATCH,
  STEP_NOTE,
} from '../sidecar/layout/automaton.ts'
import { MOST_CODE_POINT, type Ranges } from './regular-expression-class.ts'
import type { Assertion, Expression } from './regular-expression-syntax.ts'

/** One step; what `low`, `high` and `other` are depends on the kind (layout/automaton.ts). */
export interface Step {
  kind: number
  low: number
  high: number
  next: number
  other: number
}

export interface Program {
  readonly steps: readonly Step[]
  readonly first: number
}

/** Writes the program, or null where it would have more than `most` steps. `notes`: with the places of groups. */
export function writeProgram(expression: Expression, notes: boolean, most: number): Program | null {
  const writer = new Writer(notes, most)
  try {
    const match = writer.add(STEP_MATCH, 0)
    const end = notes ? writer.add(STEP_NOTE, match, 1) : match
    const inner = writer.write(expression, end)
    const first = notes ? writer.add(STEP_NOTE, inner, 0) : inner
    return { steps: writer.steps, first }
  } catch (error) {
    if (error instanceof TooLong) return null
    throw error
  }
}

class TooLong extends Error {}

class Writer {
  readonly steps: Step[] = []
  readonly #notes: boolean
  readonly #most: number
  /** Byte steps that are there already, so that characters share their last bytes. */
  readonly #shared = new Map<string, number>()

  constructor(notes: boolean, most: number) {
    this.#notes = notes
    this.#most = most
  }

  add(kind: number, next: number, other = 0, low = 0, high = 0): number {
    if (this.steps.length >= this.#most) throw new TooLong()
    this.steps.push({ kind, low, high, next, other })
    return this.steps.length - 1
  }

  /** Writes the steps for the expression so that they lead to `next`; gives the first of them. */
  write(expression: Expression, next: number): number {
    switch (expression.kind) {
      case 'empty':
        return next
      case 'byte':
        return this.#byte(0, 0xff, next)
      case 'class':
        return this.#class(expression.ranges, next)
      case 'assertion':
        return this.add(STEP_ASSERT, next, ASSERTIONS[expression.of])
      case 'group': {
        if (!this.#notes) return this.write(expression.inner, next)
        const end = this.add(STEP_NOTE, next, 2 * expression.number + 1)
        return this.add(STEP_NOTE, this.write(expression.inner, end), 2 * expression.number)
      }
      case 'sequence':
        return expression.parts.reduceRight((to, part) => this.write(part, to), next)
      case 'choice':
        return expression.parts
          .slice(0, -1)
          .reduceRight(
            (other, part) => this.add(STEP_FORK, this.write(part, next), other),
            this.write(expression.parts.at(-1)!, next),
          )
      case 'repeat':
        return this.#repeat(expression, next)
    }
  }

  #repeat({ inner, least, most, greedy }: Extract<Expression, { kind: 'repeat' }>, next: number): number {
    let first = next
    if (most === null) first = least === 0 ? this.#any(inner, greedy, next) : this.#many(inner, greedy, next)
    else for (let i = least; i < most; i++) first = this.#fork(this.write(inner, first), next, greedy)
    for (let i = most === null ? 1 : 0; i < least; i++) first = this.write(inner, first)
    return first
  }

  /** `inner+` */
  #many(inner: Expression, greedy: boolean, next: number): number {
    const loop = this.#fork(next, next, greedy)
    const first = this.write(inner, loop)
    if (greedy) this.steps[loop]!.next = first
    else this.steps[loop]!.other = first
    return first
  }

  /** `inner*`. Where the inner part may be empty, one fork cannot keep the preferences in order: (inner+)? does. */
  #any(inner: Expression, greedy: boolean, next: number): number {
    if (mayBeEmpty(inner)) return this.#fork(this.#many(inner, greedy, next), next, greedy)
    const loop = this.#fork(next, next, greedy)
    const first = this.write(inner, loop)
    if (greedy) this.steps[loop]!.next = first
    else this.steps[loop]!.other = first
    return loop
  }

  #fork(inner: number, next: number, greedy: boolean): number {
    return greedy ? this.add(STEP_FORK, inner, next) : this.add(STEP_FORK, next, inner)
  }

  #class(ranges: Ranges, next: number): number {
    const ways = byteSequences(ranges).map((sequence) =>
      sequence.reduceRight((to, [low, high]) => this.#byte(low, high, to), next),
    )
    if (ways.length === 0) return this.add(STEP_FAIL, next)
    // Characters that begin with the same bytes' ranges and go on the same way are one.
    return [...new Set(ways)].reduceRight((other, way) => this.add(STEP_FORK, way, other))
  }

  #byte(low: number, high: number, next: number): number {
    const key = `${low} ${high} ${next}`
    const known = this.#shared.get(key)
    if (known !== undefined) return known
    const step = this.add(STEP_BYTE, next, 0, low, high)
    this.#shared.set(key, step)
    return step
  }
}

const ASSERTIONS: Readonly<Record<Assertion, number>> = {
  'begin-text': ASSERT_BEGIN_TEXT,
  'end-text': ASSERT_END_TEXT,
  'begin-line': ASSERT_BEGIN_LINE,
  'end-line': ASSERT_END_LINE,
  'word-boundary': ASSERT_WORD_BOUNDARY,
  'no-word-boundary': ASSERT_NO_WORD_BOUNDARY,
}

function mayBeEmpty(expression: Expression): boolean {
  switch (expression.kind) {
    case 'byte':
    case 'class':
      return false
    case 'group':
      return mayBeEmpty(expression.inner)
    case 'sequence':
      return expression.parts.every(mayBeEmpty)
    case 'choice':
      return expression.parts.some(mayBeEmpty)
    case 'repeat':
      return expression.least === 0 || mayBeEmpty(expression.inner)
    default:
      return true
  }
}

type ByteRange = readonly [low: number, high: number]

const CONTINUATION: ByteRange = [0x80, 0xbf]
/** All characters that are not ASCII, as RE2 writes them: it does not look for overlong forms. */
const NOT_ASCII: readonly (readonly ByteRange[])[] = [
  [[0xc2, 0xdf], CONTINUATION],
  [[0xe0, 0xef], CONTINUATION, CONTINUATION],
  [[0xf0, 0xf4], CONTINUATION, CONTINUATION, CONTINUATION],
]

/** The UTF-8 forms of the characters: sequences of ranges of bytes. */
function byteSequences(ranges: Ranges): (readonly ByteRange[])[] {
  const sequences: (readonly ByteRange[])[] = []
  for (let i = 0; i < ranges.length; i += 2) {
    const first = ranges[i]!
    const last = ranges[i + 1]!
    if (first <= 0x80 && last === MOST_CODE_POINT) {
      if (first < 0x80) sequences.push([[first, 0x7f]])
      sequences.push(...NOT_ASCII)
    } else split(first, last, sequences)
  }
  return sequences
}

/** Splits a range until its characters are those between two forms of one length, byte by byte. */
function split(first: number, last: number, into: (readonly ByteRange[])[]): void {
  for (const end of [0x7f, 0x7ff, 0xffff]) {
    if (first <= end && last > end) {
      split(first, end, into)
      return split(end + 1, last, into)
    }
  }
  for (let bytes = 1; bytes < 4 && last > 0x7f; bytes++) {
    const mask = (1 << (6 * bytes)) - 1
    if ((first & ~mask) === (last & ~mask)) continue
    if ((first & mask) !== 0) {
      split(first, first | mask, into)
      return split((first | mask) + 1, last, into)
    }
    if ((last & mask) !== mask) {
      split(first, (last & ~mask) - 1, into)
      return split(last & ~mask, last, into)
    }
  }
  const low = utf8(first)
  const high = utf8(last)
  into.push(low.map((byte, i): ByteRange => [byte, high[i]!]))
}

/** UTF-8 of any code point, also of halves of surrogate pairs. */
function utf8(code: number): number[] {
  if (code < 0x80) return [code]
  if (code < 0x800) return [0xc0 | (code >> 6), 0x80 | (code & 63)]
  if (code < 0x10000) return [0xe0 | (code >> 12), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63)]
  return [0xf0 | (code >> 18), 0x80 | ((code >> 12) & 63), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63)]
}
