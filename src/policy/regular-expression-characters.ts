// The characters of a regular expression and what single ones stand for: escapes and classes.

import {
  complement,
  foldCase,
  MOST_CODE_POINT,
  PERL_CLASSES,
  POSIX_CLASSES,
  type Ranges,
  union,
} from './regular-expression-class.ts'

/** Why an expression cannot be read; thrown by readers and caught where reading begins. */
export class SyntaxProblem extends Error {}

/** RE2's flags: no case, lines, "." takes newlines, lazy by default. */
export interface Flags {
  readonly i: boolean
  readonly m: boolean
  readonly s: boolean
  readonly U: boolean
}

/** A place in an expression, and the reading of what stands for one character. */
export class CharacterReader {
  flags: Flags = { i: false, m: false, s: false, U: false }
  protected at = 0
  readonly #characters: readonly string[]

  constructor(pattern: string) {
    this.#characters = Array.from(pattern)
  }

  /** The character at hand, or the one `ahead` of it; undefined behind the end. */
  protected peek(ahead = 0): string | undefined {
    return this.#characters[this.at + ahead]
  }

  protected take(): string {
    return this.#characters[this.at++]!
  }

  protected sees(text: string): boolean {
    return this.text(text.length) === text
  }

  protected takes(text: string): boolean {
    if (!this.sees(text)) return false
    this.at += text.length
    return true
  }

  /** The next characters, at most so many. */
  protected text(length: number): string {
    return this.#characters.slice(this.at, this.at + length).join('')
  }

  protected fail(text: string, at = this.at): never {
    throw new SyntaxProblem(`at character ${at + 1}: ${text}`)
  }

  /** The characters that the flags make of these. */
  protected folded(ranges: Ranges): Ranges {
    return this.flags.i ? foldCase(ranges) : ranges
  }

  /** `[...]` */
  protected readClass(): Ranges {
    const start = this.at++
    const negated = this.takes('^')
    const ranges: number[] = []
    for (let first = true; first || this.peek() !== ']'; first = false) {
      if (this.peek() === undefined) this.fail('the class is not closed: "]" is missing', start)
      ranges.push(...this.#classItem())
    }
    this.at++
    const all = this.folded(union(ranges))
    return negated ? complement(all) : all
  }

  #classItem(): Ranges {
    if (this.sees('[:')) {
      const name = /^\[:(\^?)([a-z]*):\]/.exec(this.text(16))
      const ranges = name && POSIX_CLASSES[name[2]!]
      if (!ranges) this.fail('"[:" begins the name of a class, and there is none of that name')
      this.at += name[0].length
      return name[1] === '^' ? complement(this.folded(ranges)) : ranges
    }
    const perl = this.readPerlClass()
    if (perl) return perl
    const start = this.at
    const low = this.#classCharacter()
    if (this.peek() !== '-' || this.peek(1) === ']' || this.peek(1) === undefined) return [low, low]
    this.at++
    const high = this.#classCharacter()
    if (high < low) this.fail('the range ends before it begins', start)
    return [low, high]
  }

  #classCharacter(): number {
    if (this.peek() === undefined) this.fail('the class is not closed: "]" is missing')
    return this.peek() === '\\' ? this.readEscape() : this.take().codePointAt(0)!
  }

  /** `\d` and the like; null where none is at hand. */
  protected readPerlClass(): Ranges | null {
    const letter = this.peek() === '\\' ? this.peek(1) : undefined
    if (letter === undefined || !/[dswDSWpP]/.test(letter)) return null
    if (/[pP]/.test(letter))
      this.fail('Unicode classes are not available: write the ranges, as in [\\x{370}-\\x{3FF}]')
    this.at += 2
    const ranges = this.folded(PERL_CLASSES[letter.toLowerCase()]!)
    return letter === letter.toLowerCase() ? ranges : complement(ranges)
  }

  /** An escape that stands for one character: its code point. */
  protected readEscape(): number {
    const start = this.at++
    const letter = this.peek()
    if (letter === undefined) this.fail('the expression ends in "\\"', start)
    this.at++
    if (Object.hasOwn(ESCAPES, letter)) return ESCAPES[letter]!
    if (letter === 'x') {
      const hex = /^(?:([0-9a-fA-F]{2})|\{([0-9a-fA-F]{1,8})\})/.exec(this.text(10))
      const code = hex ? Number.parseInt(hex[1] ?? hex[2]!, 16) : Number.POSITIVE_INFINITY
      if (code > MOST_CODE_POINT)
        this.fail('\\x needs two hexadecimal digits, or up to 10FFFF in braces', start)
      this.at += hex![0].length
      return code
    }
    const octal = /^[0-7]{0,2}/.exec(this.text(2))![0]
    if (letter === '0' || (/[1-7]/.test(letter) && octal.length > 0)) {
      this.at += octal.length
      return Number.parseInt(letter + octal, 8)
    }
    if (/[1-9]/.test(letter)) this.fail(NOT_LINEAR, start)
    if (letter.codePointAt(0)! < 0x80 && !/[0-9A-Za-z]/.test(letter)) return letter.codePointAt(0)!
    this.fail(`"\\${letter}" is no escape of RE2`, start)
  }
}

export const NOT_LINEAR =
  'look-around and references to groups are not part of RE2: they take more than linear time'

const ESCAPES: Readonly<Record<string, number>> = { a: 7, f: 12, t: 9, n: 10, r: 13, v: 11 }
