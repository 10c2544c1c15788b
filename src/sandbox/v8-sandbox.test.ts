import assert from 'node:assert/strict'
import { test } from 'node:test'
import { exampleGuest } from './example-guest.ts'
import { exampleModule } from './example-module.ts'
import { type LoadOptions, loadModule } from './load-module.ts'
import {
  type SandboxModule,
  TRAP_FUEL,
  TRAP_NO_ENTRY,
  TRAP_NOT_FRESH,
  TRAP_OTHER,
  TRAP_RESULT,
} from './sandbox.ts'

const guest = await exampleGuest(`
let count: i32 = 0
export function next(): i32 { return ++count }
export function remember(): i32 { store<i32>(64, load<i32>(64) + 1); return load<i32>(64) }
export function negative(): i32 { return -7 }
export function crash(): i32 { unreachable(); return 0 }
export function outside(): i32 { return load<i32>(-4) }
export function divide(): i32 { return 1 / load<i32>(32) }
export function spin(): i32 { while (true) count++; return 0 }
export function dive(): i32 { return deep(load<i32>(32)) }
function deep(n: i32): i32 { store<i32>(8, n); if (n == 0) return 0; return deep(n - 1) + load<i32>(8) }
`)
const growing = await exampleGuest(`
let count: i32 = 0
export function next(): i32 { return ++count }
export function remember(): i32 { store<i32>(64, load<i32>(64) + 1); return load<i32>(64) }
export function grow(): i32 { return memory.grow(0) + (memory.grow(1) == -1 ? 10 : 20) }
`)

function load(bytes: Uint8Array, options?: LoadOptions): SandboxModule {
  const loaded = loadModule(bytes, options)
  if (!loaded.ok) assert.fail(loaded.refusal.message)
  return loaded.module
}

test('calls between two fresh share what the guest keeps, and no more', () => {
  for (const module of [load(guest), load(growing, { allowNewInstance: true })]) {
    const sandbox = module.sandbox()
    for (let run = 0; run < 5; run++) {
      sandbox.fresh()
      assert.equal(sandbox.state, 'fresh')
      assert.equal(sandbox.call('next'), 1)
      assert.equal(sandbox.state, 'running')
      assert.equal(sandbox.call('next'), 2)
      assert.equal(sandbox.call('remember'), 1)
      assert.ok(sandbox.fuelLeft() < module.fuel)
    }
    assert.deepEqual(
      { ...module.counters },
      { fresh: 5, calls: 15, outOfFuel: 0, traps: 0, badResults: 0, refused: 0 },
    )
  }
})

test('the memory is one view for ever, which memory.grow does not detach', () => {
  const sandbox = load(growing, { allowNewInstance: true }).sandbox()
  const { memory } = sandbox
  sandbox.fresh()
  assert.equal(sandbox.call('grow'), 11)
  assert.equal(sandbox.call('remember'), 1)
  assert.equal(memory.length, 65536)
  assert.equal(memory.readInt32LE(64), 1)
  sandbox.fresh()
  assert.equal(sandbox.memory, memory)
  assert.equal(memory.readInt32LE(64), 0)
})

test('each trap is told apart, ends the run and is counted', () => {
  const module = load(guest)
  const sandbox = module.sandbox()
  const cases: [string, number, RegExp][] = [
    ['crash', TRAP_OTHER, /unreachable/],
    ['outside', TRAP_OTHER, /out of bounds/],
    ['divide', TRAP_OTHER, /divide by zero/],
    ['spin', TRAP_FUEL, /unreachable/],
    ['negative', TRAP_RESULT, /negative returned -7/],
  ]
  for (const [entry, outcome, text] of cases) {
    sandbox.fresh()
    assert.equal(sandbox.trapText(), '')
    assert.equal(sandbox.call(entry), outcome)
    assert.equal(sandbox.state, 'spent')
    assert.match(sandbox.trapText(), text)
    assert.equal(sandbox.fuelLeft() < 0, outcome === TRAP_FUEL)
    assert.equal(sandbox.call('next'), TRAP_NOT_FRESH)
  }
  sandbox.fresh()
  assert.equal(sandbox.call('next'), 1)
  assert.deepEqual(
    { ...module.counters },
    { fresh: 6, calls: 6, outOfFuel: 1, traps: 3, badResults: 1, refused: 5 },
  )
})

test('a sandbox that was not made fresh runs nothing, nor does one asked for an entry that is not there', () => {
  const sandbox = load(guest).sandbox()
  assert.equal(sandbox.state, 'idle')
  assert.equal(sandbox.call('next'), TRAP_NOT_FRESH)
  sandbox.fresh()
  for (const entry of ['deep', 'memory', 'toString', '__proto__', 'entry0', 'reset', '']) {
    assert.equal(sandbox.call(entry), TRAP_NO_ENTRY)
  }
})

test('a recursion that overflows the stack is a trap, after which the sandbox is as good as new', () => {
  const sandbox = load(guest, { fuel: 1_000_000_000 }).sandbox()
  sandbox.fresh()
  sandbox.memory.writeInt32LE(10_000_000, 32)
  assert.equal(sandbox.call('dive'), TRAP_OTHER)
  assert.match(sandbox.trapText(), /call stack/)
  sandbox.fresh()
  sandbox.memory.writeInt32LE(100, 32)
  assert.notEqual(sandbox.call('dive'), TRAP_OTHER)
})

test('calls share the fuel of one fresh', () => {
  const sandbox = load(guest, { fuel: 100 }).sandbox()
  sandbox.fresh()
  let calls = 0
  while (sandbox.call('next') > 0) calls++
  assert.ok(calls > 3 && calls < 100)
  assert.equal(sandbox.state, 'spent')
  assert.ok(sandbox.fuelLeft() < 0)
})

test('Error.stackTraceLimit is as before after a result and after a trap', () => {
  const sandbox = load(guest).sandbox()
  const before = Error.stackTraceLimit
  Error.stackTraceLimit = 17
  try {
    for (const entry of ['next', 'crash']) {
      sandbox.fresh()
      sandbox.call(entry)
      assert.equal(Error.stackTraceLimit, 17)
    }
  } finally {
    Error.stackTraceLimit = before
  }
})

test('a start function runs in each new instance, on the same fuel; its trap spends the sandbox', () => {
  const withStart = (...code: number[]): Uint8Array =>
    exampleModule({
      type: [2, 0x60, 0, 1, 0x7f, 0x60, 0, 0],
      function: [2, 0, 1],
      start: [1],
      code: [
        [0, 0x41, 0, 0x28, 2, 0, 0x0b],
        [0, ...code, 0x0b],
      ],
    })
  const fine = load(withStart(0x41, 0, 0x41, 9, 0x36, 2, 0), { allowNewInstance: true }).sandbox()
  fine.fresh()
  assert.equal(fine.call('run'), 9)
  assert.ok(fine.fuelLeft() < fine.module.fuel - 4)
  const endless = load(withStart(0x03, 0x40, 0x0c, 0, 0x0b), { allowNewInstance: true }).sandbox()
  endless.fresh()
  assert.equal(endless.state, 'spent')
  assert.equal(endless.call('run'), TRAP_NOT_FRESH)
  assert.equal(endless.module.counters.traps + endless.module.counters.outOfFuel, 1)
})

test('sandboxes of one module do not see each other', () => {
  const module = load(guest)
  const [one, other] = [module.sandbox(), module.sandbox()]
  one.fresh()
  other.fresh()
  assert.equal(one.call('next'), 1)
  assert.equal(one.call('remember'), 1)
  assert.equal(other.call('next'), 1)
  assert.equal(other.memory.readInt32LE(64), 0)
})
