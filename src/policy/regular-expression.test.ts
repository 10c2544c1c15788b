// The sidecar's automata against the platform's regular expressions, on random patterns and texts.

import assert from 'node:assert/strict'
import { join } from 'node:path'
import { before, test } from 'node:test'
import fc from 'fast-check'
import { compileGuest } from '../../scripts/compile-guest.ts'
import { AUTOMATON_PROGRAM, AUTOMATON_TABLE } from '../sidecar/layout/automaton.ts'
import { IN_END, IN_MEMORY, INPUT, VARIABLE } from '../sidecar/layout/record.ts'
import { compileRegularExpression, compileSearch } from './regular-expression.ts'

interface Machine {
  memory: Buffer
  matches(automaton: number, ptr: number, len: number): number
  find(automaton: number, ptr: number, len: number, from: number): number
  begin(automaton: number, ptr: number, len: number): number
  findFrom(automaton: number, from: number): number
  start(group: number): number
  end(group: number): number
}

let machine: Machine

before(async () => {
  const compiled = await compileGuest(join(import.meta.dirname, '../..'), 'src/sidecar/automaton-testing.ts')
  if (!compiled.ok) throw new Error(compiled.message)
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1 })
  const module = new WebAssembly.Module(compiled.wasm as Uint8Array<ArrayBuffer>)
  const { exports } = new WebAssembly.Instance(module, { env: { memory } })
  machine = { ...(exports as unknown as Machine), memory: Buffer.from(memory.buffer) }
})

/** Puts an automaton and a text into the machine's memory. */
function load(automaton: Buffer, text: string): { at: number; ptr: number; len: number } {
  const { memory } = machine
  automaton.copy(memory, VARIABLE)
  const ptr = VARIABLE + automaton.length
  const len = memory.write(text, ptr)
  memory.writeUInt32LE(ptr + len, INPUT + IN_END)
  memory.writeUInt32LE(memory.length, INPUT + IN_MEMORY)
  return { at: VARIABLE, ptr, len }
}

function matches(automaton: Buffer, text: string): boolean {
  const { at, ptr, len } = load(automaton, text)
  return machine.matches(at, ptr, len) !== 0
}

/** The places of the match and its groups, as offsets in bytes; null where there is none. */
function find(automaton: Buffer, text: string, from = 0): (readonly [number, number] | null)[] | null {
  const { at, ptr, len } = load(automaton, text)
  if (machine.find(at, ptr, len, from) === 0) return null
  const groups = automaton.readUInt16LE(10) / 2
  return Array.from({ length: groups }, (_, group) => {
    const end = machine.end(group)
    return machine.start(group) < 0 || end < 0 ? null : ([machine.start(group) - ptr, end - ptr] as const)
  })
}

/** Replaces all matches one after the other, as the sidecar does; each search starts where the last match ended. */
function replaceAll(pattern: string, text: string, by: string): string {
  const automaton = searching(pattern)
  const bytes = Buffer.from(text)
  const { at, ptr } = load(automaton, text)
  let out = ''
  let from = 0
  if (machine.begin(at, ptr, bytes.length) === 0) throw new Error('no room')
  while (machine.findFrom(at, ptr + from) !== 0) {
    out += bytes.toString('utf8', from, machine.start(0) - ptr) + by
    from = machine.end(0) - ptr
  }
  return out + bytes.toString('utf8', from)
}

function compiled(pattern: string): Buffer {
  const result = compileRegularExpression(pattern)
  if (!result.ok) throw new Error(result.error)
  return result.bytes
}

function searching(pattern: string): Buffer {
  const result = compileSearch(pattern)
  if (!result.ok) throw new Error(result.error)
  return result.bytes
}

test('forms of RE2 that the platform has too', () => {
  const rows: [pattern: string, yes: string[], no: string[]][] = [
    ['/api/v[0-9]+/.*', ['/api/v1/', '/api/v20/x/y'], ['/api/v/', '/api/v1', 'x/api/v1/', '/api/v1/\n']],
    ['(?i)straße|K', ['STRAßE', 'k', '\u212a'], ['l']],
    ['(?s).*', ['', 'a\nb'], []],
    ['.*', ['', 'äöü😀'], ['a\nb']],
    ['[^a]', ['b', '\n', '😀'], ['a', '', 'bb']],
    ['\\bfoo\\b.*', ['foo', 'foo bar'], ['foobar', 'food']],
    ['.*\\Bar', ['bar', 'foo bar'], ['ar', ' ar', 'bär']],
    ['(?m)a$\\n^b', ['a\nb'], ['ab', 'a\n\nb']],
    ['^\\Aab\\z$', ['ab'], ['a', 'ab\n']],
    ['a{2,3}', ['aa', 'aaa'], ['a', 'aaaa']],
    ['a{,3}|x{', ['a{,3}', 'x{'], ['aaa']],
    ['[]a]|[a-]|[[:digit:]_]', [']', 'a', '-', '7', '_'], ['b', '[']],
    ['\\Qa.b\\E+', ['a.b', 'a.bb'], ['axb']],
    ['\\x41\\x{1F600}\\101\\.', ['A😀A.'], ['A']],
    ['(a|ab)(c|bcd)(d*)', ['abcd', 'acd'], ['abcdx']],
    ['(?:a*)*|(b*)+', ['', 'aaa', 'bb'], ['ab']],
    ['(?U)a+?b*', ['aab', 'a'], ['b']],
    ['(?i:a)b', ['Ab', 'ab'], ['AB']],
    ['[\\x{e4}-\\x{20ac}]', ['ä', '€', 'Ω'], ['a', 'é'.normalize('NFD'), '😀']],
    ['(?P<name>a)(?<other>b)', ['ab'], ['a']],
    ['\\D\\S\\W', ['a.!', 'äß!'], ['1a!', 'a !']],
  ]
  for (const [pattern, yes, no] of rows) {
    for (const text of yes) assert.equal(matches(compiled(pattern), text), true, `${pattern} takes ${text}`)
    for (const text of no) assert.equal(matches(compiled(pattern), text), false, `${pattern} leaves ${text}`)
  }
})

test('bytes that are no UTF-8 match no character', () => {
  const automaton = compiled('a.b')
  const { at, ptr } = load(automaton, 'axb')
  assert.equal(machine.matches(at, ptr, 3), 1)
  machine.memory[ptr + 1] = 0xff
  assert.equal(machine.matches(at, ptr, 3), 0)
})

/** Patterns that RE2 and the platform read alike, with the flags u (characters) and s or not. */
const atoms = fc.constantFrom(
  'a',
  'b',
  'c',
  '.',
  '[ab]',
  '[^a]',
  '\\d',
  '\\w',
  'ä',
  '[ä-€]',
  '\\b',
  '\\B',
  '^',
  '$',
  'é',
  '1',
  '-',
  '\\W',
)
const TIMES = ['*', '+', '?', '{2}', '{1,3}', '{0,2}', '{2,}', '*?', '+?', '??']
/** `repeated` makes what is repeated of any pattern. */
const patterns = (repeated: (inner: string) => string) =>
  fc.letrec<{ any: string }>((tie) => ({
    any: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      atoms,
      fc.array(tie('any'), { minLength: 1, maxLength: 4 }).map((parts) => parts.join('')),
      fc.tuple(tie('any'), tie('any')).map(([a, b]) => `(?:${a}|${b})`),
      fc
        .tuple(tie('any'), fc.constantFrom(...TIMES))
        .map(([inner, times]) => `(?:${repeated(inner)})${times}`),
      tie('any').map((inner) => `(${inner})`),
    ),
  })).any
const anyPattern = patterns((inner) => inner)
/** JavaScript refuses a repetition that takes nothing, RE2 does not: which match is preferred then differs. */
const progressing = patterns((inner) => `[abä]${inner}`)
const text = fc
  .array(fc.constantFrom('a', 'b', 'c', 'ä', '€', '1', '-', '\n', 'é', '😀', '_', ' '), { maxLength: 12 })
  .map((parts) => parts.join(''))

const RUNS = Number(process.env.AUTOMATON_RUNS ?? 2_000)

test('random patterns take the same texts as the platform', () => {
  const forms = new Set<number>()
  let taken = 0
  fc.assert(
    fc.property(anyPattern, fc.array(text, { minLength: 4, maxLength: 4 }), (source, texts) => {
      const result = compileRegularExpression(source)
      assert.ok(result.ok, source)
      forms.add(result.bytes.readUInt16LE(4))
      const reference = new RegExp(`^(?:${source})$`, 'v')
      const program = compileSearch(`^(?:${source})$`)
      for (const one of texts) {
        const expected = reference.test(one)
        if (expected) taken++
        assert.equal(matches(result.bytes, one), expected, `${source} on ${JSON.stringify(one)}`)
        if (program.ok)
          assert.equal(
            find(program.bytes, one) !== null,
            expected,
            `${source} searches ${JSON.stringify(one)}`,
          )
      }
    }),
    { numRuns: RUNS },
  )
  assert.ok(taken > RUNS / 4, `only ${taken} texts were taken`)
  assert.ok(forms.has(AUTOMATON_TABLE))
})

test('random searches find the same first match as the platform', () => {
  let found = 0
  fc.assert(
    // The platform also finds nothing between the halves of a surrogate pair.
    fc.property(
      progressing,
      text.map((one) => one.replaceAll('😀', '€')),
      (source, one) => {
        const result = compileSearch(source)
        if (!result.ok) return
        const expected = new RegExp(source, 'v').exec(one)
        const places = find(result.bytes, one)
        assert.equal(places !== null, expected !== null, `${source} in ${JSON.stringify(one)}`)
        if (!expected || !places) return
        found++
        const start = Buffer.byteLength(one.slice(0, expected.index))
        assert.deepEqual(
          places[0],
          [start, start + Buffer.byteLength(expected[0])],
          `${source} in ${JSON.stringify(one)}`,
        )
      },
    ),
    { numRuns: RUNS },
  )
  assert.ok(found > RUNS / 4, `only ${found} were found`)
})

test('groups', () => {
  assert.deepEqual(find(searching('/users/([^/]+)(/posts/(\\d+))?'), '/v1/users/ann/posts/7/x'), [
    [3, 21],
    [10, 13],
    [13, 21],
    [20, 21],
  ])
  assert.deepEqual(find(searching('(a)|(b)'), 'xb'), [[1, 2], null, [1, 2]])
  assert.deepEqual(find(searching('(a*)(a*?)(a)'), 'aaa'), [
    [0, 3],
    [0, 2],
    [2, 2],
    [2, 3],
  ])
  assert.deepEqual(find(searching('^a'), 'aa', 1), null)
  assert.deepEqual(find(searching('\\ba'), 'aa a', 1), [[3, 4]])
})

test('searches one after the other in one text', () => {
  assert.equal(replaceAll('a|b|ä', 'xaxbxäxaaaa', '-'), 'x-x-x-x----')
  assert.equal(replaceAll('(a+)|(b+)', 'aabbccaab', '<>'), '<><>cc<><>')
})

test('the time is linear: what takes others forever', () => {
  const automaton = compiled('(?:a?){40}a{40}')
  assert.equal(matches(automaton, 'a'.repeat(40)), true)
  assert.equal(matches(compiled('(?:a+)+b'), 'a'.repeat(5_000)), false)
  const program = compiled('.*a[a-z]{200}')
  assert.equal(program.readUInt16LE(4), AUTOMATON_PROGRAM)
  assert.equal(matches(program, `xa${'b'.repeat(200)}`), true)
  assert.equal(matches(program, `xa${'b'.repeat(199)}`), false)
})
