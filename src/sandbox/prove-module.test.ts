import assert from 'node:assert/strict'
import { test } from 'node:test'
import { exampleBody, exampleModule, name } from './example-module.ts'
import { LIMITS } from './limits.ts'
import { proveModule } from './prove-module.ts'
import { WasmWriter } from './wasm-writer.ts'

const i32 = 0x7f
const END = 0x0b
const UNREACHABLE = 0x00
const one = (...item: number[]): number[] => [1, ...item]
const memory = (...type: number[]): number[] => [1, ...name('env'), ...name('memory'), 2, ...type]
const FUNCREF_TABLE = [1, 0x70, 1, 2, 2]

test('the smallest guest is proved, and so are the parts that change nothing', () => {
  const fine: Record<string, Uint8Array> = {
    smallest: exampleModule(),
    'custom section': Uint8Array.of(...exampleModule(), 0, 5, ...name('name')),
    'empty memory section': exampleModule({ memory: [0] }),
    'data count': exampleModule({ dataCount: [1], data: one(0, 0x41, 0, END, 1, 0x61) }),
    'data that names memory 0': exampleModule({ data: one(2, 0, 0x41, 0, END, 1, 0x61) }),
    'data that ends with the memory': exampleModule({ data: one(0, 0x41, 0xff, 0xff, 3, END, 1, 0x61) }),
    'called table': exampleModule({
      table: FUNCREF_TABLE,
      element: one(0, 0x41, 0, END, 1, 0),
      code: [[0, 0x41, 0, 0x11, 0, 0, END]],
    }),
    globals: exampleModule({
      global: [3, i32, 1, 0x41, 5, END, 0x7e, 1, 0x42, 7, END, 0x7b, 1, 0xfd, 12, ...Array(16).fill(9), END],
    }),
    'exported memory': exampleModule({ export: [2, ...name('run'), 0, 0, ...name('memory'), 2, 0] }),
    'memory.size': exampleBody(0x3f, 0),
    'memory.fill': exampleBody(0x41, 0, 0x41, 0, 0x41, 0, 0xfc, 11, 0, 0x41, 0),
    'loop with a parameter': exampleModule({
      type: [2, 0x60, 0, 1, i32, 0x60, 1, i32, 1, i32],
      code: [[0, 0x41, 0, 0x03, 1, END, END]],
    }),
  }
  for (const [what, module] of Object.entries(fine)) {
    const proof = proveModule(module)
    assert.equal(proof.verdict, 'proved', `${what}: ${proof.verdict === 'proved' ? '' : proof.why.message}`)
  }
})

test('every limit is enforced at its edge', () => {
  const many = (count: number, item: number[]): number[] => [
    ...new WasmWriter().u32(count).bytes(),
    ...Array.from({ length: count }, () => item).flat(),
  ]
  const constant = [i32, 0, 0x41, 0, END]
  const nested = (depth: number): number[] => [
    ...Array(depth).fill([0x02, 0x40]).flat(),
    ...Array(depth).fill(END),
    0x41,
    0,
  ]
  const build: Record<
    Exclude<keyof typeof LIMITS, 'moduleBytes' | 'functionBytes'>,
    (n: number) => Uint8Array
  > = {
    types: (n) => exampleModule({ type: many(n, [0x60, 0, 1, i32]) }),
    values: (n) => exampleModule({ type: [2, 0x60, 0, 1, i32, 0x60, ...many(n, [i32]), 0] }),
    functions: (n) =>
      exampleModule({ function: many(n, [0]), code: Array.from({ length: n }, () => [0, 0x41, 0, END]) }),
    locals: (n) => exampleModule({ code: [[1, ...new WasmWriter().u32(n).bytes(), i32, 0x41, 0, END]] }),
    nesting: (n) => exampleBody(...nested(n)),
    branchTargets: (n) => exampleBody(UNREACHABLE, 0x0e, ...many(n, [0]), 0),
    globals: (n) => exampleModule({ global: many(n, constant) }),
    exports: (n) =>
      exampleModule({
        export: [n, ...Array.from({ length: n }, (_, index) => [...name(`f${index}`), 0, 0]).flat()],
      }),
    nameBytes: (n) => exampleModule({ export: [1, ...name('x'.repeat(n)), 0, 0] }),
    tables: (n) => exampleModule({ table: many(n, [0x70, 0, 1]) }),
    tableEntries: (n) => exampleModule({ table: one(0x70, 0, n) }),
    segments: (n) => exampleModule({ data: many(n, [0, 0x41, 0, END, 0]) }),
    pages: (n) => exampleModule({ import: memory(1, n, n) }),
  }
  for (const [limit, module] of Object.entries(build)) {
    const most = limit === 'nameBytes' ? 6 : 3
    const limits = { ...LIMITS, [limit]: most }
    const at = proveModule(module(most), limits)
    assert.equal(at.verdict, 'proved', `${limit}: ${at.verdict === 'proved' ? '' : at.why.message}`)
    const over = proveModule(module(most + 1), limits)
    assert.ok(over.verdict === 'refused', `${limit} + 1`)
    assert.equal(over.why.code, limit === 'pages' ? 'memory-size' : 'limit')
  }
  const smallest = exampleModule()
  for (const [limit, most] of [
    ['moduleBytes', smallest.length],
    ['functionBytes', 4],
  ] as const) {
    assert.equal(proveModule(smallest, { ...LIMITS, [limit]: most }).verdict, 'proved')
    assert.equal(proveModule(smallest, { ...LIMITS, [limit]: most - 1 }).verdict, 'refused')
  }
})
