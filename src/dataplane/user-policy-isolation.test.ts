// What modules cannot keep, cannot know, and what is not loaded at all.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { exampleGuest } from '../sandbox/example-guest.ts'
import { exampleModule, name } from '../sandbox/example-module.ts'
import { loadUserModule } from './user-policy-module.ts'
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

describe('nothing of a run is left for the next', () => {
  test('memory and globals are as they were', async () => {
    const source = `
let seen: i32 = 7
let far: i64 = 9
export function request(): i32 {
  for (let at: i32 = 0; at < 0x8000; at += 4) if (load<i32>(at) != 0 && load<i32>(at) != 0x11223344) unreachable()
  for (let at: i32 = ${OUT}; at < ${OUT} + 0x80; at += 4) if (load<i32>(at) != 0) unreachable()
  if (seen != 7 || far != 9) unreachable()
  seen = 8
  far = -1
  memory.fill(0, 0xff, 0x8000)
  memory.fill(${OUT} + 0x80, 0xee, 0x4000)
  return 1
}`
    const policy = tester(await guest(source), { ...SPEC, limits: { fuel: 2_000_000 } })
    for (let i = 0; i < 50; i++)
      assert.equal(policy.judge({ headers: { 'x-mode': `secret ${i}` } }).denies, false)
    assert.equal(policy.counters.allowed, 50)
  })

  test('a module that is run in a new instance each time keeps nothing either', async () => {
    // Its start function and floats leave no proof of a reset.
    const source = `
let count: f64 = 1.5
count = count * 2
export function request(): i32 {
  if (count != 3) unreachable()
  count += 1
  store<i32>(0x20, load<i32>(0x20) + 1)
  return load<i32>(0x20) == 1 ? 1 : 0
}`
    const module = await guest(source)
    assert.throws(() => tester(module, SPEC), /byte \d+: /)
    const policy = tester(module, { ...SPEC, freshness: 'newInstance' })
    for (let i = 0; i < 20; i++) assert.equal(policy.judge().denies, false)
  })

  test('memory.grow gives no more memory', async () => {
    const source =
      'export function request(): i32 { return memory.grow(1) == -1 && memory.size() == 1 ? 1 : 0 }'
    const policy = tester(await guest(source), { ...SPEC, freshness: 'newInstance' })
    assert.equal(policy.judge().denies, false)
  })

  test('a start function that loops is bounded too', async () => {
    const source = 'while (load<i32>(4) == 0) store<i32>(0, 1)\nexport function request(): i32 { return 1 }'
    const policy = tester(await guest(source), { ...SPEC, freshness: 'newInstance' })
    for (let i = 0; i < 3; i++) assert.deepEqual(policy.judge().status, 500)
    assert.equal(policy.counters.allowed, 0)
  })
})

describe('what a module is not told', () => {
  test('undeclared fields, attributes and the time are nowhere in its memory', async () => {
    const policy = tester(await guest('export function request(): i32 { return load<i32>(0) + 1 }'), {
      reads: { attributes: ['method'], headers: ['x-mode'] },
      state: [{ name: 'by-caller', type: 'counter', key: { from: 'principal' }, window: '1m' }],
    })
    policy.judge({
      method: 'PATCH',
      path: '/secret-path',
      principal: 'cluster.local/ns/secret/sa/caller',
      time: 0x1122334455,
      headers: { 'x-mode': 'told', authorization: 'secret-token' },
    })
    const { memory } = policy.sandbox
    assert.ok(memory.includes('PATCH') && memory.includes('told'))
    for (const hidden of ['secret-path', 'ns/secret', 'secret-token', 'authorization']) {
      assert.ok(!memory.includes(hidden), hidden)
    }
    assert.ok(!memory.includes(Buffer.from([0x55, 0x44, 0x33, 0x22, 0x11])))
  })
})

describe('what may not be loaded', () => {
  const terms = {
    phases: ['request' as const],
    computesKeys: false,
    memoryPages: 0,
    fuel: 1000,
    newInstance: true,
  }
  const body = [0, 0x41, 1, 0x0b]
  const refusals: [string, Uint8Array, RegExp][] = [
    ['a module without the entry', exampleModule(), /does not export the entry request/],
    [
      'an entry with a parameter',
      exampleModule({
        type: [1, 0x60, 1, 0x7f, 1, 0x7f],
        export: [1, ...name('request'), 0, 0],
        code: [body],
      }),
      /another signature/,
    ],
    [
      'an imported function',
      exampleModule({ import: [1, ...name('env'), ...name('f'), 0, 0] }),
      /imports nothing but its memory/,
    ],
    ['a memory of its own', exampleModule({ import: null }), /imports nothing/],
    [
      'static data in the exchange area',
      exampleModule({
        export: [1, ...name('request'), 0, 0],
        code: [body],
        data: [1, 0, 0x41, 0xff, 0xff, 1, 0x0b, 2, 1, 2],
      }),
      /byte \d+: static data ends at address 32769: expected it below 32768/,
    ],
    [
      'a table without end',
      exampleModule({
        export: [1, ...name('request'), 0, 0],
        code: [body],
        table: [1, 0x70, 0, 0xff, 0xff, 0xff, 0xff, 0x0f],
      }),
      /byte \d+: .*table/,
    ],
    ['no WebAssembly', Buffer.from('#!/bin/sh'), /byte 0: no WebAssembly/],
    ['more than 2 MiB', Buffer.alloc((2 << 20) + 1), /at most 2097152/],
  ]
  for (const [what, module, message] of refusals) {
    test(what, () => {
      const loaded = loadUserModule(module, terms)
      assert.ok(!loaded.ok)
      assert.match(loaded.refusal.message, message)
    })
  }

  test('what a custom section says is dropped', async () => {
    const plain = exampleModule({ export: [1, ...name('request'), 0, 0], code: [body] })
    const custom = [0, 10, ...name('secret'), 1, 2, 3]
    const loaded = loadUserModule(Uint8Array.from([...plain, ...custom]), terms)
    assert.ok(loaded.ok, loaded.ok ? '' : loaded.refusal.message)
  })
})
