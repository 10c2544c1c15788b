// The host's side of a sidecar against a guest that writes any output at all: nothing of it is believed.

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { before, describe, test } from 'node:test'
import fc from 'fast-check'
import { compileGuest } from '../scripts/compile-guest.ts'
import { loadSidecars, type Sidecars } from '../src/dataplane/sidecar.ts'
import * as layout from '../src/sidecar/layout/record.ts'
import { factsOf, NOW, RANDOM } from './sidecar-phases.ts'

type Write = readonly [address: number, value: number]
type Output = Partial<Record<keyof typeof layout, number>>

/**
 * A guest that does what its input says. The input of `open`, `respond` and `trailers` is the head, that of `decide` the
 * policy: pairs of u32 address and u32 value that it stores one after the other. The result is what OUT_RESULT holds then.
 * An address of 1 loops for ever, one of 2 traps.
 */
const PUPPET = `
const LOOP: u32 = 1
const TRAP: u32 = 2

export function open(): i32 {
  return obey(load<u32>(80), load<u32>(84))
}

export function decide(): i32 {
  return obey(load<u32>(88), load<u32>(92))
}

export function respond(): i32 {
  return open()
}

export function trailers(): i32 {
  return open()
}

function obey(start: u32, length: u32): i32 {
  for (let p = start; p + 8 <= start + length; p += 8) {
    const address = load<u32>(p)
    if (address == LOOP) while (true) store<u32>(0x800, load<u32>(0x800) + 1)
    if (address == TRAP) unreachable()
    store<u32>(address, load<u32>(p, 4))
  }
  return load<i32>(0x200)
}
`

let sidecars: Sidecars
before(async () => {
  const folder = mkdtempSync(join(tmpdir(), 'mayfly-puppet-'))
  writeFileSync(join(folder, 'puppet.ts'), PUPPET)
  const compiled = await compileGuest(folder, 'puppet.ts')
  rmSync(folder, { recursive: true })
  if (!compiled.ok) throw new Error(compiled.message)
  sidecars = loadSidecars(Buffer.from(compiled.wasm))
})

/** The puppet's input that leads to this output record. */
function script(output: Output, writes: readonly Write[] = []): Buffer {
  const all = [
    ...Object.entries(output).map(
      ([name, value]): Write => [layout.OUTPUT + (layout as Record<string, number>)[name]!, value],
    ),
    ...writes,
  ]
  const bytes = Buffer.alloc(all.length * 8)
  for (const [i, [address, value]] of all.entries()) {
    bytes.writeUInt32LE(address >>> 0, i * 8)
    bytes.writeUInt32LE(value >>> 0, i * 8 + 4)
  }
  return bytes
}

function textAt(address: number, text: string): Write[] {
  const bytes = Buffer.alloc((text.length + 3) & ~3)
  bytes.write(text, 'latin1')
  return Array.from({ length: bytes.length / 4 }, (_, i) => [address + i * 4, bytes.readUInt32LE(i * 4)])
}

const AT = 0xa000
const HEAD = 'GET / HTTP/1.1\r\nhost: a\r\n\r\n'
const UUID = '191a1b1c-1d1e-4f20-a122-232425262728'

function open(bytes: Buffer) {
  return sidecars.open(bytes, 0, bytes.length, factsOf(layout.DIRECTION_INGRESS), NOW, RANDOM)
}

function decide(output: Output, writes: readonly Write[] = []) {
  const opened = open(script({ OUT_RESULT: layout.RESULT_OPENED, OUT_HEAD_LEN: 8 }))
  assert.equal(opened.kind, 'opened')
  return sidecars.decide(script(output, writes), 'a/b', 80)
}

function respond(output: Output, writes: readonly Write[] = []) {
  const bytes = script(output, writes)
  return sidecars.respond(Buffer.alloc(0), Buffer.alloc(0), bytes, 0, bytes.length, NOW, '', 0)
}

const FORWARD: Output = {
  OUT_RESULT: layout.RESULT_FORWARD,
  OUT_HEAD_LEN: 8,
  OUT_SEND_PTR: AT,
  OUT_SEND_LEN: HEAD.length,
}
const RESPONSE: Output = { ...FORWARD, OUT_STATUS: 200 }
const LOGGED: Output = { ...RESPONSE, OUT_LOG_PTR: AT, OUT_LOG_LEN: 8, OUT_LOG_HOLES: 1 }
const DENIAL: Output = {
  OUT_RESULT: layout.RESULT_DENY,
  OUT_STATUS: 403,
  OUT_REASON: layout.REASON_AUTHORIZATION,
}

describe('a forwarded request', () => {
  const bad: [string, Output, Write[]?][] = [
    ['the head lies outside the memory', { ...FORWARD, OUT_SEND_PTR: 0xfffffff0 }],
    ['the head ends outside the memory', { ...FORWARD, OUT_SEND_PTR: 65_536 - 8 }],
    ['the head is longer than the memory', { ...FORWARD, OUT_SEND_LEN: 0xffffffff }],
    ['the head is empty', { ...FORWARD, OUT_SEND_LEN: 0 }],
    ['the head has no empty line', { ...FORWARD, OUT_SEND_LEN: HEAD.length - 2 }],
    [
      'another message is behind the head',
      { ...FORWARD, OUT_SEND_LEN: HEAD.length * 2 },
      textAt(AT, HEAD + HEAD),
    ],
    ['more was read than there was', { ...FORWARD, OUT_HEAD_LEN: 1 << 20 }],
    ['unknown flags', { ...FORWARD, OUT_FLAGS: 64 }],
    ['a body until close', { ...FORWARD, OUT_BODY: layout.BODY_CLOSE, OUT_SEND_BODY: layout.BODY_CLOSE }],
    ['an unknown framing', { ...FORWARD, OUT_BODY: 4, OUT_SEND_BODY: 4 }],
    ['a length without a framing', { ...FORWARD, OUT_BODY_LENGTH: 5 }],
    [
      'a framing without a length',
      { ...FORWARD, OUT_BODY: layout.BODY_LENGTH, OUT_SEND_BODY: layout.BODY_LENGTH },
    ],
    ['a body received and none sent', { ...FORWARD, OUT_BODY: layout.BODY_CHUNKED }],
    ['too many verdicts', { ...FORWARD, OUT_VERDICTS: layout.MAX_VERDICTS + 1 }],
    ['a request id that is none', { ...FORWARD, OUT_REQUEST_ID_PTR: AT, OUT_REQUEST_ID_LEN: 36 }],
    ['a request id outside the memory', { ...FORWARD, OUT_REQUEST_ID_PTR: 65_530, OUT_REQUEST_ID_LEN: 36 }],
    ['trace ids that are none', { ...FORWARD, OUT_FLAGS: layout.OUT_FLAG_SAMPLED, OUT_TRACE_PTR: AT }],
    [
      'trace ids outside the memory',
      { ...FORWARD, OUT_FLAGS: layout.OUT_FLAG_SAMPLED, OUT_TRACE_PTR: 65_500 },
    ],
    ['a context outside the memory', { ...FORWARD, OUT_CONTEXT_PTR: 65_535, OUT_CONTEXT_LEN: 2 }],
    ['a result that is none', { ...FORWARD, OUT_RESULT: 9 }],
    ['a negative result', { ...FORWARD, OUT_RESULT: 0xffffffff }],
  ]
  for (const [what, output, writes] of bad) {
    test(`${what}: failed`, () => {
      const failures = sidecars.counters.failed
      assert.equal(decide(output, writes ?? textAt(AT, HEAD)).kind, 'failed')
      assert.equal(sidecars.counters.failed, failures + 1)
    })
  }

  test('without a fault passes', () => {
    const output = { ...FORWARD, OUT_REQUEST_ID_PTR: AT + 64, OUT_REQUEST_ID_LEN: 36 }
    const decision = decide(output, [...textAt(AT, HEAD), ...textAt(AT + 64, UUID)])
    assert.ok(decision.kind === 'forward')
    assert.equal(decision.head.toString('latin1'), HEAD)
    assert.equal(decision.requestId, UUID)
  })
})

describe('a denial', () => {
  const bad: [string, Output][] = [
    ['a status that ends nothing', { ...DENIAL, OUT_STATUS: 103 }],
    ['a status above all', { ...DENIAL, OUT_STATUS: 600 }],
    ['an unknown reason', { ...DENIAL, OUT_REASON: 99 }],
    ['a text outside the memory', { ...DENIAL, OUT_TEXT_PTR: 65_530, OUT_TEXT_LEN: 100 }],
    ['a text without bound', { ...DENIAL, OUT_TEXT_PTR: AT, OUT_TEXT_LEN: 33_000 }],
  ]
  for (const [what, output] of bad) test(`${what}: failed`, () => assert.equal(decide(output).kind, 'failed'))

  test("without a text gets its reason's", () => {
    const decision = decide(DENIAL)
    assert.ok(decision.kind === 'denied')
    assert.match(decision.denial.text, /AuthorizationPolicy/)
  })
})

describe('a response', () => {
  const holes = (offset: number, kind: number): Write[] => [
    ...textAt(AT, HEAD),
    [layout.LOG_HOLES, offset],
    [layout.LOG_HOLES + 4, kind],
  ]
  const bad: [string, Output, Write[]?][] = [
    ['a status of two digits', { ...RESPONSE, OUT_STATUS: 99 }],
    ['a log line outside the memory', { ...RESPONSE, OUT_LOG_PTR: 65_535, OUT_LOG_LEN: 8 }],
    ['too many holes', { ...LOGGED, OUT_LOG_HOLES: layout.MAX_HOLES + 1 }],
    ['a hole behind the line', LOGGED, holes(9, 0)],
    ['a hole of unknown kind', LOGGED, holes(0, layout.HOLE_KINDS)],
    ['a hole with unknown bits', LOGGED, holes(0, 1 << 16)],
  ]
  for (const [what, output, writes] of bad) {
    test(`${what}: failed`, () => assert.equal(respond(output, writes ?? textAt(AT, HEAD)).kind, 'failed'))
  }
  test('without a fault passes', () => {
    const decision = respond(LOGGED, holes(8, layout.HOLE_DURATION | layout.HOLE_QUOTED))
    assert.ok(decision.kind === 'head')
    assert.equal(decision.log?.text.toString(), 'GET / HT')
  })
})

test('a host outside the memory, too long, or a port above all: failed', () => {
  for (const output of [
    { OUT_HOST_PTR: 65_530, OUT_HOST_LEN: 100 },
    { OUT_HOST_PTR: AT, OUT_HOST_LEN: 256 },
    { OUT_PORT: 65_536 },
  ]) {
    assert.equal(open(script({ OUT_RESULT: layout.RESULT_OPENED, ...output })).kind, 'failed')
  }
})

test('an endless loop and a trap: failed, and the next phase is none the wiser', () => {
  assert.deepEqual(open(script({}, [[1, 0]])), { kind: 'failed', reason: 'open ran out of fuel' })
  assert.match((open(script({}, [[2, 0]])) as { reason: string }).reason, /^open trapped: /)
  assert.equal(open(script({ OUT_RESULT: layout.RESULT_OPENED })).kind, 'opened')
})

test('decide without open: failed; so is a second decide', () => {
  sidecars.trailers(Buffer.from('a: b\r\n\r\n'), 0)
  assert.equal(sidecars.decide(Buffer.alloc(0), '', 0).kind, 'failed')
  decide(DENIAL)
  assert.equal(sidecars.decide(Buffer.alloc(0), '', 0).kind, 'failed')
})

test('any output at all leads to a value', () => {
  const word = fc.oneof(
    fc.nat({ max: 8 }),
    fc.nat({ max: 70_000 }),
    fc.integer({ min: 0, max: 0xffffffff }),
    fc.constantFrom(AT, HEAD.length, 200, 403),
  )
  const writes = fc.array(
    fc.tuple(
      fc.nat({ max: 25 }).map((i) => layout.OUTPUT + 4 * i),
      word,
    ),
    { maxLength: 20 },
  )
  const results = fc.constantFrom(1, 2, 3, 4, 5, 6, 7)
  const property = fc.property(results, writes, (result, changes) => {
    const all = [...textAt(AT, HEAD), ...changes, [layout.OUTPUT, result] as const]
    const opened = open(script({ OUT_RESULT: layout.RESULT_OPENED, OUT_HEAD_LEN: 8 }, changes))
    assert.match(opened.kind, /^(opened|denied|incomplete|failed)$/)
    assert.match(decide({}, all).kind, /^(forward|denied|failed)$/)
    assert.match(respond({}, all).kind, /^(head|interim|incomplete|bad|failed)$/)
    const section = script({}, all)
    const lines = sidecars.trailers(section, 0)
    assert.ok(lines === null || lines.includes('\r\n'))
  })
  fc.assert(property, { numRuns: 1000, seed: 7 })
})

test('a guest that lacks an entry is not loaded', async () => {
  const empty = Buffer.from([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0])
  assert.throws(() => loadSidecars(empty), /the sidecar guest is refused at byte \d+/)
})
