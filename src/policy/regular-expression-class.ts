// Sets of characters in regular expressions, as sorted and disjoint ranges of code points: [first, last, first, last ...].

/** Closed ranges of code points, as pairs. */
export type Ranges = readonly number[]

export const MOST_CODE_POINT = 0x10ffff

export const ANY: Ranges = [0, MOST_CODE_POINT]
export const ANY_BUT_NEWLINE: Ranges = [0, 9, 11, MOST_CODE_POINT]

/** Perl's classes, of ASCII only as in RE2. */
export const PERL_CLASSES: Readonly<Record<string, Ranges>> = {
  d: [0x30, 0x39],
  s: [9, 10, 12, 13, 0x20, 0x20],
  w: [0x30, 0x39, 0x41, 0x5a, 0x5f, 0x5f, 0x61, 0x7a],
}

/** The names in [[:name:]], as in RE2. */
export const POSIX_CLASSES: Readonly<Record<string, Ranges>> = {
  alnum: [0x30, 0x39, 0x41, 0x5a, 0x61, 0x7a],
  alpha: [0x41, 0x5a, 0x61, 0x7a],
  ascii: [0, 0x7f],
  blank: [9, 9, 0x20, 0x20],
  cntrl: [0, 0x1f, 0x7f, 0x7f],
  digit: [0x30, 0x39],
  graph: [0x21, 0x7e],
  lower: [0x61, 0x7a],
  print: [0x20, 0x7e],
  punct: [0x21, 0x2f, 0x3a, 0x40, 0x5b, 0x60, 0x7b, 0x7e],
  space: [9, 13, 0x20, 0x20],
  upper: [0x41, 0x5a],
  word: [0x30, 0x39, 0x41, 0x5a, 0x5f, 0x5f, 0x61, 0x7a],
  xdigit: [0x30, 0x39, 0x41, 0x46, 0x61, 0x66],
}

/** Sorts and joins ranges that may overlap. */
export function union(ranges: readonly number[]): Ranges {
  const pairs: [number, number][] = []
  for (let i = 0; i < ranges.length; i += 2) pairs.push([ranges[i]!, ranges[i + 1]!])
  pairs.sort((a, b) => a[0] - b[0])
  const joined: number[] = []
  for (const [first, last] of pairs) {
    const end = joined.length - 1
    if (end > 0 && first <= joined[end]! + 1) joined[end] = Math.max(joined[end]!, last)
    else joined.push(first, last)
  }
  return joined
}

/** All other code points. */
export function complement(ranges: Ranges): Ranges {
  const others: number[] = []
  let next = 0
  for (let i = 0; i < ranges.length; i += 2) {
    if (ranges[i]! > next) others.push(next, ranges[i]! - 1)
    next = ranges[i + 1]! + 1
  }
  if (next <= MOST_CODE_POINT) others.push(next, MOST_CODE_POINT)
  return others
}

/** With every character's other cases, by Unicode's simple case folding as in RE2: K is also k and the Kelvin sign. */
export function foldCase(ranges: Ranges): Ranges {
  const all = [...ranges]
  for (let i = 0; i < ranges.length; i += 2) {
    const first = ranges[i]!
    const last = ranges[i + 1]!
    if (last - first < MOST_FOLDED_ONE_BY_ONE) {
      for (let code = first; code <= last; code++)
        for (const other of orbits().get(code) ?? []) all.push(other, other)
    } else {
      for (const [code, others] of orbits()) {
        if (code >= first && code <= last) for (const other of others) all.push(other, other)
      }
    }
  }
  return union(all)
}

const MOST_FOLDED_ONE_BY_ONE = 256

let known: Map<number, readonly number[]> | null = null

/** For each character that has other cases all of them, itself among them. Made when an expression first asks for it. */
function orbits(): ReadonlyMap<number, readonly number[]> {
  if (known) return known
  known = new Map()
  for (let code = 0; code <= LAST_CASED; code++) {
    if (code >= 0xd800 && code <= 0xdfff) continue
    const character = String.fromCodePoint(code)
    for (const other of [character.toLowerCase(), character.toUpperCase()]) {
      if (other !== character && isOne(other) && foldsTo(character, other))
        join(known, code, other.codePointAt(0)!)
    }
  }
  return known
}

/** Behind it no script has cases. */
const LAST_CASED = 0x1e943

function isOne(text: string): boolean {
  return text.length === String.fromCodePoint(text.codePointAt(0)!).length
}

function foldsTo(a: string, b: string): boolean {
  const escaped = (text: string) => `\\u{${text.codePointAt(0)!.toString(16)}}`
  return new RegExp(`^${escaped(a)}$`, 'iu').test(b)
}

function join(map: Map<number, readonly number[]>, a: number, b: number): void {
  const orbit = [...new Set([...(map.get(a) ?? [a]), ...(map.get(b) ?? [b])])]
  for (const code of orbit) map.set(code, orbit)
}
