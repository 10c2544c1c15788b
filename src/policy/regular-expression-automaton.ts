// From a program to a deterministic automaton: the table of layout/automaton.ts.

import {
  ASSERT_BEGIN_LINE,
  ASSERT_BEGIN_TEXT,
  ASSERT_END_LINE,
  ASSERT_END_TEXT,
  ASSERT_WORD_BOUNDARY,
  STEP_ASSERT,
  STEP_BYTE,
  STEP_FORK,
  STEP_MATCH,
} from '../sidecar/layout/automaton.ts'
import type { Program } from './regular-expression-program.ts'

/** State 0 is dead: nothing leads out of it, and no text may end there. */
export interface Automaton {
  /** The class of each byte value; bytes of a class are never told apart. */
  readonly classOf: Uint8Array
  readonly classes: number
  readonly first: number
  /** For each state the next state by class. */
  readonly next: readonly (readonly number[])[]
  readonly accepts: readonly boolean[]
}

/** Makes the smallest automaton that takes the same texts, or null where more than `mostStates` come up on the way. */
export function makeAutomaton(program: Program, mostStates: number): Automaton | null {
  const { classOf, samples } = byteClasses(program)
  const builder = new Builder(program)
  const numbers = new Map<string, number>([['', 0]])
  const states: State[] = [{ steps: [], before: EDGE }]
  const numberOf = (state: State) => {
    const key = builder.keyOf(state)
    const known = numbers.get(key)
    if (known !== undefined) return known
    numbers.set(key, states.length)
    states.push(state)
    return states.length - 1
  }
  const first = numberOf({ steps: builder.spread([program.first]), before: EDGE })
  const next: number[][] = []
  const accepts: boolean[] = []
  for (let i = 0; i < states.length; i++) {
    if (states.length > mostStates) return null
    const state = states[i]!
    next.push(samples.map((byte) => numberOf(builder.after(state, byte))))
    accepts.push(builder.accepts(state))
  }
  return smallest({ classOf, classes: samples.length, first, next, accepts })
}

/** What stands before or behind a place: the text's edge, a newline, a character of a word, another. */
type Neighbour = number
const EDGE: Neighbour = 0
const NEWLINE: Neighbour = 1
const WORD: Neighbour = 2
const OTHER: Neighbour = 3

function neighbour(byte: number): Neighbour {
  if (byte === 10) return NEWLINE
  return /\w/.test(String.fromCharCode(byte)) ? WORD : OTHER
}

/** Where a program may be, before the assertions at this place are judged: they depend on the next byte. */
interface State {
  readonly steps: readonly number[]
  readonly before: Neighbour
}

class Builder {
  readonly #program: Program
  readonly #asserts: boolean

  constructor(program: Program) {
    this.#program = program
    this.#asserts = program.steps.some(({ kind }) => kind === STEP_ASSERT)
  }

  keyOf({ steps, before }: State): string {
    return steps.length === 0 ? '' : `${this.#asserts ? before : 0}:${steps.join()}`
  }

  after(state: State, byte: number): State {
    const reached: number[] = []
    for (const step of this.#judged(state, neighbour(byte))) {
      const { kind, low, high, next } = this.#program.steps[step]!
      if (kind === STEP_BYTE && byte >= low && byte <= high) reached.push(next)
    }
    return { steps: this.spread(reached), before: neighbour(byte) }
  }

  accepts(state: State): boolean {
    return this.#judged(state, EDGE).some((step) => this.#program.steps[step]!.kind === STEP_MATCH)
  }

  #judged(state: State, behind: Neighbour): readonly number[] {
    return this.#asserts ? this.spread(state.steps, { before: state.before, behind }) : state.steps
  }

  /** All steps that are reached without a byte, in ascending order; assertions stand until `place` is known. */
  spread(from: readonly number[], place?: { before: Neighbour; behind: Neighbour }): number[] {
    const found = new Set<number>()
    const seen = new Set<number>()
    const stack = [...from]
    for (let step = stack.pop(); step !== undefined; step = stack.pop()) {
      if (seen.has(step)) continue
      seen.add(step)
      const { kind, next, other } = this.#program.steps[step]!
      if (kind === STEP_FORK) stack.push(next, other)
      else if (kind === STEP_ASSERT && place) {
        if (holds(other, place.before, place.behind)) stack.push(next)
      } else if (kind === STEP_BYTE || kind === STEP_MATCH || kind === STEP_ASSERT) found.add(step)
    }
    return [...found].sort((a, b) => a - b)
  }
}

function holds(assertion: number, before: Neighbour, behind: Neighbour): boolean {
  switch (assertion) {
    case ASSERT_BEGIN_TEXT:
      return before === EDGE
    case ASSERT_END_TEXT:
      return behind === EDGE
    case ASSERT_BEGIN_LINE:
      return before === EDGE || before === NEWLINE
    case ASSERT_END_LINE:
      return behind === EDGE || behind === NEWLINE
    default:
      return ((before === WORD) !== (behind === WORD)) === (assertion === ASSERT_WORD_BOUNDARY)
  }
}

function byteClasses({ steps }: Program): { classOf: Uint8Array; samples: number[] } {
  const starts = new Set([0])
  const cut = (low: number, high: number) => starts.add(low).add(high + 1)
  for (const { kind, low, high } of steps) if (kind === STEP_BYTE) cut(low, high)
  if (steps.some(({ kind }) => kind === STEP_ASSERT)) {
    for (const [low, high] of [
      [10, 10],
      [0x30, 0x39],
      [0x41, 0x5a],
      [0x5f, 0x5f],
      [0x61, 0x7a],
    ] as const)
      cut(low, high)
  }
  starts.delete(256)
  const sorted = [...starts].sort((a, b) => a - b)
  const classOf = new Uint8Array(256)
  for (const [number, start] of sorted.entries()) classOf.fill(number, start)
  return { classOf, samples: sorted }
}

/** Joins states that no text tells apart (Moore), and classes of bytes that no state tells apart. */
function smallest(automaton: Automaton): Automaton {
  let groups = automaton.accepts.map(Number)
  for (let before = 0; ; ) {
    const { groups: finer, count } = numbered(
      automaton.next.map((row, state) => `${groups[state]}:${row.map((to) => groups[to]).join()}`),
    )
    groups = finer
    if (count === before) break
    before = count
  }
  const representatives: number[] = []
  groups.forEach((group, state) => {
    representatives[group] ??= state
  })
  const rows = representatives.map((state) => automaton.next[state]!.map((to) => groups[to]!))
  const columns = numbered(automaton.next[0]!.map((_, column) => rows.map((row) => row[column]).join()))
  const firstOf = Array.from({ length: columns.count }, (_, group) => columns.groups.indexOf(group))
  return {
    classOf: automaton.classOf.map((one) => columns.groups[one]!),
    classes: columns.count,
    first: groups[automaton.first]!,
    next: rows.map((row) => firstOf.map((column) => row[column]!)),
    accepts: representatives.map((state) => automaton.accepts[state]!),
  }
}

/** Equal keys get equal numbers, in the order in which they appear; the dead state, which comes first, stays 0. */
function numbered(keys: readonly string[]): { groups: number[]; count: number } {
  const numbers = new Map<string, number>()
  const groups = keys.map((key) => {
    const number = numbers.get(key) ?? numbers.size
    numbers.set(key, number)
    return number
  })
  return { groups, count: numbers.size }
}
