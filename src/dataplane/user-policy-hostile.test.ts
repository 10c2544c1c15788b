// Modules that mean harm: each fails alone, is counted, and leaves nothing behind for the next request.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { exampleGuest } from '../sandbox/example-guest.ts'
import { tester } from './user-policy-testing.ts'

const FLAGS = [
  ...['-O3', '--noAssert', '--runtime', 'stub', '--use', 'abort=', '--importMemory', '--noExportMemory'],
  ...['--initialMemory', '1', '--maximumMemory', '1'],
]
/** Where the output record lies in a memory of one page. */
const OUT = 0x8000 + 0x100
const SPEC = { reads: { headers: ['x-mode'] }, writes: { headers: ['x-out'], responseHeaders: ['x-reply'] } }

const guest = (source: string, pages = '1') =>
  exampleGuest(source, [...FLAGS.slice(0, -4), '--initialMemory', pages, '--maximumMemory', pages])

/** A policy whose `request` does what the text says where x-mode is there, and else allows. */
const moody = (body: string, before = '') =>
  guest(`${before}
export function request(): i32 {
  if (load<i32>(0x8000 + 100) == 0) return 1
  ${body}
}`)

interface Hostile {
  what: string
  body: string
  before?: string
  why: 'fuel' | 'trap' | 'output'
  message: RegExp
}

/** Writes an operation at 0x100 whose name and value are the bytes at 0x200 and 0x300, and says how many there are. */
const operation = (kind: string, nameText: string, value: string, count = '1') => `
  text(0x200, '${nameText}'); text(0x300, '${value}')
  store<i32>(0x100, ${kind}); store<i32>(0x104, 0x200); store<i32>(0x108, ${nameText.length})
  store<i32>(0x10c, 0x300); store<i32>(0x110, ${value.replaceAll(/\\u00../g, '.').length})
  store<i32>(${OUT} + 12, 0x100); store<i32>(${OUT} + 16, ${count})
  return 1`
const TEXT = `
function text(at: i32, literal: string): void {
  for (let i = 0; i < literal.length; i++) store<u8>(at + i, load<u16>(changetype<i32>(literal) + (i << 1)) as u8)
}`

const HOSTILE: Hostile[] = [
  {
    what: 'loops',
    body: 'while (load<i32>(4) == 0) store<i32>(0, load<i32>(0) + 1)\n  return 1',
    why: 'fuel',
    message: /used up its fuel/,
  },
  {
    what: 'recurses',
    before: 'function f(n: i32): i32 { return n == -1 ? 1 : f(n + 1) + load<i32>(n & 7) }',
    body: 'return f(0) & 1',
    why: 'fuel',
    message: /fuel|trapped/,
  },
  {
    what: 'copies much memory again and again',
    body: 'for (let i = 0; i < 100000; i++) memory.copy(0, 8, 0x8000)\n  return 1',
    why: 'fuel',
    message: /fuel/,
  },
  { what: 'traps', body: 'return unreachable()', why: 'trap', message: /unreachable/ },
  { what: 'reads beyond its memory', body: 'return load<i32>(0x10000)', why: 'trap', message: /bounds/ },
  { what: 'divides by zero', body: 'return 1 / load<i32>(0x9000)', why: 'trap', message: /zero/ },
  { what: 'returns 0', body: 'return 0', why: 'output', message: /returned 0/ },
  { what: 'returns a negative number', body: 'return -1', why: 'trap', message: /returned -1/ },
  { what: 'returns something unheard of', body: 'return 3', why: 'output', message: /returned 3/ },
  {
    what: 'denies with status 200',
    body: `store<i32>(${OUT}, 200)\n  return 2`,
    why: 'output',
    message: /status 200/,
  },
  {
    what: 'denies with status 600',
    body: `store<i32>(${OUT}, 600)\n  return 2`,
    why: 'output',
    message: /status 600/,
  },
  {
    what: 'denies with a text outside its memory',
    body: `store<i32>(${OUT}, 403); store<i32>(${OUT} + 4, 0xfff8); store<i32>(${OUT} + 8, 9)\n  return 2`,
    why: 'output',
    message: /outside the memory/,
  },
  {
    what: 'denies with a text at a negative address',
    body: `store<i32>(${OUT}, 403); store<i32>(${OUT} + 4, -1); store<i32>(${OUT} + 8, 2)\n  return 2`,
    why: 'output',
    message: /outside the memory/,
  },
  {
    what: 'denies with a text that is too long',
    body: `store<i32>(${OUT}, 403); store<i32>(${OUT} + 4, 0); store<i32>(${OUT} + 8, 1025)\n  return 2`,
    why: 'output',
    message: /at most 1024/,
  },
  {
    what: 'denies with a text of control bytes',
    body: `store<i32>(${OUT}, 403); store<u8>(0x50, 13); store<i32>(${OUT} + 4, 0x50); store<i32>(${OUT} + 8, 1)\n  return 2`,
    why: 'output',
    message: /visible ASCII/,
  },
  {
    what: 'has 33 operations',
    body: operation('1', 'x-out', 'v', '33'),
    before: TEXT,
    why: 'output',
    message: /33 operations/,
  },
  {
    what: 'has 4 billion operations',
    body: operation('1', 'x-out', 'v', '-1'),
    before: TEXT,
    why: 'output',
    message: /4294967295 operations/,
  },
  {
    what: 'has operations beyond its memory',
    body: `store<i32>(${OUT} + 12, 0xfff0); store<i32>(${OUT} + 16, 1)\n  return 1`,
    why: 'output',
    message: /outside the memory/,
  },
  {
    what: 'writes a field that is not declared',
    body: operation('1', 'x-other', 'v'),
    before: TEXT,
    why: 'output',
    message: /does not let it write/,
  },
  {
    what: 'writes Host',
    body: operation('1', 'host', 'evil'),
    before: TEXT,
    why: 'output',
    message: /does not let it write/,
  },
  {
    what: 'writes a declared name in capitals',
    body: operation('1', 'X-Out', 'v'),
    before: TEXT,
    why: 'output',
    message: /does not let it write/,
  },
  {
    what: 'writes a name with a line in it',
    body: operation('1', 'x-out\\r\\nx-y'.replaceAll('\\r\\n', '..'), 'v'),
    before: TEXT,
    why: 'output',
    message: /does not let it write/,
  },
  {
    what: 'writes a request field to the response',
    body: operation('257', 'x-out', 'v'),
    before: TEXT,
    why: 'output',
    message: /does not let it write/,
  },
  {
    what: 'injects a header line',
    body: operation('1', 'x-out', 'a\\u000d\\u000ax-evil: 1'),
    before: TEXT,
    why: 'output',
    message: /not one of a header field/,
  },
  {
    what: 'writes a NUL',
    body: operation('1', 'x-out', 'a\\u0000b'),
    before: TEXT,
    why: 'output',
    message: /not one of a header field/,
  },
  {
    what: 'writes a value that begins with a space',
    body: operation('1', 'x-out', ' v'),
    before: TEXT,
    why: 'output',
    message: /not one of a header field/,
  },
  {
    what: 'does an unknown operation',
    body: operation('7', 'x-out', 'v'),
    before: TEXT,
    why: 'output',
    message: /kind 7/,
  },
  {
    what: 'sets bits that mean nothing',
    body: operation('0x40000001', 'x-out', 'v'),
    before: TEXT,
    why: 'output',
    message: /is of kind/,
  },
  {
    what: 'writes a value that is too long',
    body: `store<i32>(0x100, 1); text(0x200, 'x-out'); store<i32>(0x104, 0x200); store<i32>(0x108, 5); store<i32>(0x10c, 0x400); store<i32>(0x110, 4097); store<i32>(${OUT} + 12, 0x100); store<i32>(${OUT} + 16, 1)\n  return 1`,
    before: TEXT,
    why: 'output',
    message: /at most 4096/,
  },
  {
    what: 'updates a state that is not declared',
    body: `store<i32>(${OUT} + 20, 0x100); store<i32>(${OUT} + 24, 1)\n  return 1`,
    why: 'output',
    message: /not declared/,
  },
  {
    what: 'carries too much',
    body: `store<i32>(${OUT} + 28, 0); store<i32>(${OUT} + 32, 513)\n  return 1`,
    why: 'output',
    message: /at most 512/,
  },
]

describe('a module that does harm is refused its request, and the next is judged as if it had not been', () => {
  for (const { what, body, before, why, message } of HOSTILE) {
    test(what, async () => {
      const policy = tester(await moody(body, before), SPEC)
      for (let round = 0; round < 3; round++) {
        const harmed = policy.judge({ headers: { 'x-mode': 'harm' } })
        assert.deepEqual(
          { denies: harmed.denies, status: harmed.status, operations: harmed.operations },
          { denies: true, status: 500, operations: [] },
        )
        assert.match(policy.counters.lastFailure['default/tested'] ?? '', message)
        const next = policy.judge()
        assert.deepEqual([next.denies, next.operations], [false, []])
      }
      assert.equal(policy.counters.failed[why] + (what === 'recurses' ? policy.counters.failed.trap : 0), 3)
      assert.equal(policy.counters.allowed, 3)
    })
  }

  test('where the manifest says so, a request on which it fails passes unchanged', async () => {
    const policy = tester(await moody('return unreachable()'), { ...SPEC, onFailure: 'allow' })
    assert.deepEqual(policy.judge({ headers: { 'x-mode': 'harm' } }).denies, false)
    assert.equal(policy.counters.failedOpen, 1)
    assert.equal(policy.counters.failed.trap, 1)
  })

  test('what does not fit its memory is refused even then', async () => {
    const policy = tester(await moody('return 1'), { ...SPEC, onFailure: 'allow' })
    const judged = policy.judge({ headers: { 'x-mode': 'x'.repeat(40_000) } })
    assert.deepEqual([judged.denies, judged.status], [true, 431])
    assert.equal(policy.counters.failed['too-large'], 1)
  })
})
