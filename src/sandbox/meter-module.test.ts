import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { exampleBody, exampleModule, name } from './example-module.ts'
import { loadModule } from './load-module.ts'
import { BULK_COST, meterModule } from './meter-module.ts'
import { proveModule } from './prove-module.ts'
import { TRAP_FUEL, TRAP_OTHER } from './sandbox.ts'
import { WasmWriter } from './wasm-writer.ts'

const END = 0x0b
const FUEL = 100_000

/** The outcome of `run` and the fuel that it took. */
function metered(module: Uint8Array, allowNewInstance = false): { outcome: number; used: number } {
  const loaded = loadModule(module, { fuel: FUEL, allowNewInstance })
  if (!loaded.ok) assert.fail(loaded.refusal.message)
  const sandbox = loaded.module.sandbox()
  sandbox.fresh()
  const outcome = sandbox.call('run')
  return { outcome, used: FUEL - sandbox.fuelLeft() }
}

// Programs of nested statements, of which it is known how often each instruction runs.
type Statement =
  | { readonly kind: 'nops'; readonly count: number }
  | { readonly kind: 'loop'; readonly times: number; readonly body: Statement[] }
  | { readonly kind: 'if'; readonly taken: boolean; readonly body: Statement[] }
  | { readonly kind: 'leave'; readonly body: Statement[]; readonly dead: number }

const { program } = fc.letrec<{ program: Statement[]; statement: Statement }>((tie) => ({
  program: fc.array(tie('statement'), { maxLength: 4 }),
  statement: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.record({ kind: fc.constant('nops' as const), count: fc.nat(20) }),
    fc.record({
      kind: fc.constant('loop' as const),
      times: fc.integer({ min: 1, max: 5 }),
      body: tie('program'),
    }),
    fc.record({ kind: fc.constant('if' as const), taken: fc.boolean(), body: tie('program') }),
    fc.record({ kind: fc.constant('leave' as const), body: tie('program'), dead: fc.nat(9) }),
  ),
}))

/** A program's code, the instructions that run, and the fuel to expect: regions by the rule, counted apart from the loader. */
interface Counted {
  readonly code: number[]
  /** Instructions directly in the region. */
  readonly size: number
  readonly ran: number
  /** Fuel of the loops inside. */
  readonly inner: number
}

function counted(statements: readonly Statement[], depth: number): Counted {
  let [size, ran, inner] = [0, 0, 0]
  const code = statements.flatMap((statement) => {
    const one = countedStatement(statement, depth)
    size += one.size
    ran += one.ran
    inner += one.inner
    return one.code
  })
  return { code, size, ran, inner }
}

function countedStatement(statement: Statement, depth: number): Counted {
  if (statement.kind === 'nops') {
    const { count } = statement
    return { code: Array(count).fill(0x01), size: count, ran: count, inner: 0 }
  }
  const body = counted(statement.body, depth + 1)
  switch (statement.kind) {
    case 'loop': {
      const { times } = statement
      const again = [0x20, depth, 0x41, 1, 0x6b, 0x22, depth, 0x0d, 0]
      return {
        code: [0x41, times, 0x21, depth, 0x03, 0x40, ...body.code, ...again, END],
        size: 3,
        ran: 3 + times * (body.ran + 5) + 1,
        inner: times * (body.size + 5 + 1 + body.inner),
      }
    }
    case 'if':
      return {
        code: [0x41, Number(statement.taken), 0x04, 0x40, ...body.code, END],
        size: 2 + body.size + 1,
        ran: statement.taken ? 2 + body.ran + 1 : 2,
        inner: statement.taken ? body.inner : 0,
      }
    case 'leave':
      return {
        code: [0x02, 0x40, ...body.code, 0x0c, 0, ...Array(statement.dead).fill(0x01), END],
        size: 1 + body.size + 1 + statement.dead + 1,
        ran: 1 + body.ran + 1,
        inner: body.inner,
      }
  }
}

test('fuel is charged by region, and never less than the instructions that run', () => {
  fc.assert(
    fc.property(program, (statements) => {
      const { code, size, ran, inner } = counted(statements, 0)
      const { outcome, used } = metered(exampleModule({ code: [[1, 8, 0x7f, ...code, 0x41, 5, END]] }))
      if (inner > FUEL - 1000) return
      assert.equal(outcome, 5)
      assert.equal(used, 8 + size + 2 + inner)
      assert.ok(used >= ran + 2)
    }),
    { numRuns: 300, seed: 11 },
  )
})

test('bulk instructions cost a flat 1024 and their length', () => {
  const fill = (length: number): number[] => [
    ...[0x41, 0, 0x41, 0, 0x41, ...new WasmWriter().s64(BigInt(length)).bytes()],
    ...[0xfc, 11, 0, 0x41, 0],
  ]
  for (const length of [0, 1, 100, 65536]) {
    assert.equal(metered(exampleBody(...fill(length))).used, 6 + BULK_COST + length)
  }
  const copy = [0x41, 0, 0x41, 8, 0x41, 40, 0xfc, 10, 0, 0, 0x41, 0]
  assert.equal(metered(exampleBody(...copy)).used, 6 + BULK_COST + 40)
  // Length 0xffffffff: charged before it is tried, and without wrapping.
  assert.equal(metered(exampleBody(...fill(-1))).outcome, TRAP_FUEL)
})

test('fuel ends every way not to end', () => {
  const endless: Record<string, Uint8Array> = {
    loop: exampleBody(0x03, 0x40, 0x0c, 0, END, 0x41, 0),
    'outer loop': exampleBody(0x03, 0x40, 0x03, 0x40, 0x0c, 1, END, END, 0x41, 0),
    br_if: exampleBody(0x03, 0x40, 0x41, 1, 0x0d, 0, END, 0x41, 0),
    br_table: exampleBody(0x03, 0x40, 0x02, 0x40, 0x41, 9, 0x0e, 1, 0, 1, END, END, 0x41, 0),
    'loop in an if': exampleBody(0x41, 1, 0x04, 0x40, 0x03, 0x40, 0x0c, 0, END, END, 0x41, 0),
    'loop with a result': exampleBody(0x03, 0x7f, 0x0c, 0, END),
    fill: exampleBody(0x03, 0x40, 0x41, 0, 0x41, 0, 0x41, 0, 0xfc, 11, 0, 0x0c, 0, END, 0x41, 0),
    'two functions': exampleModule({
      function: [2, 0, 0],
      code: [
        [0, 0x03, 0x40, 0x10, 1, 0x1a, 0x0c, 0, END, 0x41, 0, END],
        [0, 0x41, 0, END],
      ],
    }),
    // Each function calls the next twice: 2^40 calls without a loop.
    doubling: exampleModule({
      function: [41, ...Array(41).fill(0)],
      code: Array.from({ length: 41 }, (_, index) =>
        index === 40 ? [0, 0x41, 0, END] : [0, 0x10, index + 1, 0x1a, 0x10, index + 1, END],
      ),
    }),
  }
  for (const [what, module] of Object.entries(endless)) {
    assert.equal(metered(module).outcome, TRAP_FUEL, what)
  }
})

test('a recursion without end is a trap, however large its frames, in every tier', () => {
  const recursions: Record<string, Uint8Array> = {
    direct: exampleBody(0x10, 0),
    'frames of 32 KiB': exampleModule({ code: [[1, 0xd0, 0x0f, 0x7b, 0x10, 0, END]] }),
    indirect: exampleModule({
      table: [1, 0x70, 1, 1, 1],
      element: [1, 0, 0x41, 0, END, 1, 0],
      code: [[0, 0x41, 0, 0x11, 0, 0, END]],
    }),
  }
  for (const [what, module] of Object.entries(recursions)) {
    const loaded = loadModule(module, { fuel: 1e9 })
    assert.ok(loaded.ok)
    const sandbox = loaded.module.sandbox()
    for (let run = 0; run < 300; run++) {
      sandbox.fresh()
      assert.equal(sandbox.call('run'), TRAP_OTHER, what)
    }
    assert.match(sandbox.trapText(), /call stack/)
  }
})

test('memory.grow in a rewritten module fails, but for a growth by nothing', () => {
  assert.equal(metered(exampleBody(0x41, 0, 0x40, 0), true).outcome, 1)
  assert.equal(metered(exampleBody(0x41, 1, 0x40, 0, 0x41, 0x7f, 0x46), true).outcome, 1)
})

test('only entries are exported, under names that the guest does not choose', () => {
  const module = exampleModule({
    export: [3, ...[...name('__proto__'), 0, 0], ...[...name('fuel'), 0, 0], ...[...name('memory'), 2, 0]],
  })
  const proof = proveModule(Uint8Array.of(...module, 0, 5, ...name('name')))
  assert.ok(proof.verdict === 'proved')
  const rewritten = meterModule(proof.shape, { fuel: 1, pages: 1, resetsGlobals: true, entries: [0, 0] })
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1 })
  const instance = new WebAssembly.Instance(new WebAssembly.Module(rewritten), { mayfly: { memory } })
  assert.deepEqual(Object.keys(instance.exports).sort(), ['entry0', 'entry1', 'fuel', 'reset'])
  const loaded = loadModule(module)
  assert.ok(loaded.ok)
  const sandbox = loaded.module.sandbox()
  sandbox.fresh()
  assert.equal(sandbox.call('__proto__'), 0)
  assert.equal(sandbox.call('fuel'), 0)
})
