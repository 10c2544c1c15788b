import {
  AUTOMATON_PROGRAM,
  AUTOMATON_TABLE,
  MOST_MATCH_STEPS,
  MOST_PLACES,
  MOST_SEARCH_STEPS,
} from '../sidecar/layout/automaton.ts'
import { ByteWriter } from './byte-writer.ts'
import { type Automaton, makeAutomaton } from './regular-expression-automaton.ts'
import { type Program, writeProgram } from './regular-expression-program.ts'
import { readExpression } from './regular-expression-syntax.ts'

/** `bytes` are in the form of layout/automaton.ts. The error names the expression and the place in it. */
export type CompiledExpression =
  | { readonly ok: true; readonly bytes: Buffer }
  | { readonly ok: false; readonly error: string }

/**
 * Compiles an expression in RE2's syntax for `automatonMatches` of the sidecar, which takes texts (bytes, UTF-8) as a whole,
 * as Envoy does, in time that is linear in their length.
 */
export function compileRegularExpression(pattern: string): CompiledExpression {
  const reading = readExpression(pattern)
  if (!reading.ok) return refused(pattern, reading.problem)
  const program = writeProgram(reading.expression, false, MOST_STEPS)
  if (!program) return refused(pattern, `it takes more than ${MOST_STEPS} steps: shorten its repetitions`)
  const automaton = program.steps.length <= MOST_TABLE_STEPS ? makeAutomaton(program, MOST_STATES) : null
  if (automaton && tableSize(automaton) <= MOST_TABLE_BYTES)
    return { ok: true, bytes: encodeTable(automaton) }
  if (program.steps.length <= MOST_MATCH_STEPS) return { ok: true, bytes: encodeProgram(program, 0) }
  return refused(
    pattern,
    `it takes ${program.steps.length} steps and more than ${MOST_STATES} states, at most ${MOST_MATCH_STEPS} steps can be run: shorten its repetitions`,
  )
}

/** The same for an expression that is searched for, with the places of its groups; `groups` is their number. */
export function compileSearch(
  pattern: string,
):
  | { readonly ok: true; readonly bytes: Buffer; readonly groups: number }
  | Extract<CompiledExpression, { ok: false }> {
  const reading = readExpression(pattern)
  if (!reading.ok) return refused(pattern, reading.problem)
  const { groups } = reading
  // Envoy's substitutions name nine groups; more are allowed there, and have no use.
  if (2 * groups + 2 > MOST_PLACES)
    return refused(
      pattern,
      `it has ${groups} groups, at most 9 are allowed: write (?:...) for those that are not used`,
    )
  const program = writeProgram(reading.expression, true, MOST_SEARCH_STEPS)
  if (!program)
    return refused(pattern, `it takes more than ${MOST_SEARCH_STEPS} steps: shorten its repetitions`)
  return { ok: true, bytes: encodeProgram(program, 2 * groups + 2), groups }
}

/**
 * Compiles an expression for `automatonMatches` that takes texts in which a part matches, as RE2's PartialMatch: whatever
 * stands before and behind it, be it UTF-8 or not. It must fit a table, so that no text is dear.
 */
export function compileContained(pattern: string): CompiledExpression {
  const reading = readExpression(pattern)
  if (!reading.ok) return refused(pattern, reading.problem)
  const anything = { kind: 'repeat', inner: { kind: 'byte' }, least: 0, most: null, greedy: true } as const
  const parts = [anything, reading.expression, anything]
  const program = writeProgram({ kind: 'sequence', parts }, false, MOST_TABLE_STEPS)
  const automaton = program && makeAutomaton(program, MOST_STATES)
  if (automaton && tableSize(automaton) <= MOST_TABLE_BYTES)
    return { ok: true, bytes: encodeTable(automaton) }
  return refused(pattern, `its table is larger than ${MOST_TABLE_BYTES} bytes: shorten its repetitions`)
}

/** Steps that are tried at all, and those of which a table is tried. */
const MOST_STEPS = 10_000
const MOST_TABLE_STEPS = 4_000
const MOST_STATES = 2_500
/** Rows are told apart by u16 offsets. Even a table that has to be copied for each request is faster than a program. */
const MOST_TABLE_BYTES = 60_000

function refused(pattern: string, problem: string): { ok: false; error: string } {
  const shown = pattern.length > 80 ? `${pattern.slice(0, 77)}...` : pattern
  return {
    ok: false,
    error: `${JSON.stringify(shown)} is no regular expression of RE2 that can be run: ${problem}`,
  }
}

function tableSize({ classes, next }: Automaton): number {
  return next.length * (classes + 1) * 2
}

function encodeTable({ classOf, classes, first, next, accepts }: Automaton): Buffer {
  const rowSize = (classes + 1) * 2
  const out = new ByteWriter()
  out.block(() => {
    out.u16(AUTOMATON_TABLE).u16(classes)
    out.u32(first * rowSize).u32(0)
    out.bytes(classOf)
    for (const [state, row] of next.entries()) {
      for (const to of row) out.u16(to * rowSize)
      out.u16(accepts[state] ? 1 : 0)
    }
  })
  return out.finish()
}

function encodeProgram({ steps, first }: Program, places: number): Buffer {
  const out = new ByteWriter()
  out.block(() => {
    out.u16(AUTOMATON_PROGRAM).u16(steps.length).u16(first).u16(places).u32(0)
    for (const { kind, low, high, next, other } of steps)
      out.u8(kind).u8(low).u8(high).u8(0).u16(next).u16(other)
  })
  return out.finish()
}
