import assert from 'node:assert/strict'
import { test } from 'node:test'
import { exampleModule } from './example-module.ts'
import {
  type Immediate,
  type Instruction,
  PREFIX_BULK,
  PREFIX_VECTOR,
  plainInstruction,
  prefixedInstruction,
} from './instruction.ts'
import { proveModule } from './prove-module.ts'
import { WasmWriter } from './wasm-writer.ts'

// V8 and binaryen are the oracles here: for each opcode on the list, V8 must find operands with which it validates, which
// shows that its immediates are read as V8 reads them, and binaryen then tells its name.

const IMMEDIATES: Partial<Record<Immediate, number[]>> = {
  none: [],
  index: [0],
  memory: [0],
  'two-memories': [0, 0],
  'two-indexes': [0, 0],
  address: [0, 0],
  'address-lane': [0, 0, 0],
  lane: [0],
  s32: [0],
  s64: [0],
  '4-bytes': [0, 0, 0, 0],
  '8-bytes': Array(8).fill(0),
  '16-bytes': Array(16).fill(0),
  lanes: Array(16).fill(0),
  'reference-type': [0x70],
  types: [1, 0x7f],
}

const OPERANDS = [
  [0x41, 0],
  [0x42, 0],
  [0x43, 0, 0, 0, 0],
  [0x44, 0, 0, 0, 0, 0, 0, 0, 0],
  [0xfd, 12, ...Array(16).fill(0)],
  [0xd0, 0x70],
]

const lists = [[], ...OPERANDS.map((a) => [a])]
const stacks = lists
  .flatMap((list) => [list, ...OPERANDS.map((operand) => [...list, operand])])
  .flatMap((list) => [list, ...OPERANDS.map((operand) => [...list, operand])])
const STACKS = [...new Map(stacks.map((stack) => [JSON.stringify(stack), stack])).values()]
  .map((stack) => stack.flat())
  .sort((a, b) => a.length - b.length)

const NO_OPERANDS = new Set(['block-type', 'label', 'labels'])

test('each listed opcode is encoded as V8 reads it and judged by its name', async () => {
  const name = 'assemblyscript/binaryen'
  const { default: binaryen } = await import(name)
  let judged = 0
  for (const [opcode, instruction] of listed()) {
    if (NO_OPERANDS.has(instruction.immediate) || ['else', 'end'].includes(instruction.name)) continue
    const module = validModule(opcode, instruction)
    assert.ok(module !== undefined, `${opcode}: no operands validate`)
    const loaded = binaryen.readBinaryWithFeatures(module, binaryen.Features.All)
    const text: string = loaded.emitText()
    loaded.dispose()
    const float = /f(32|64)/i.test(text)
    assert.equal(instruction.effect === 'float', float, `${instruction.name} ${opcode}: ${text}`)
    judged++
  }
  assert.ok(judged > 380, `${judged} judged`)
})

test('an opcode that is not listed is refused, whatever V8 says of it', () => {
  let refused = 0
  for (const opcode of everyOpcode()) {
    if (find(opcode) !== undefined) continue
    const proof = proveModule(exampleModule({ code: [[0, 0x00, ...opcode, 0, 0, 0, 0x00, 0x0b]] }))
    assert.ok(proof.verdict === 'refused' && proof.why.code === 'instruction', String(opcode))
    refused++
  }
  assert.ok(refused > 100)
})

function validModule(opcode: number[], instruction: Instruction): Uint8Array | undefined {
  const immediate = IMMEDIATES[instruction.immediate]
  assert.ok(immediate !== undefined, instruction.immediate)
  for (const stack of STACKS) {
    for (const results of [1, 0]) {
      const body = [
        1,
        1,
        0x7f,
        ...stack,
        ...opcode,
        ...immediate,
        ...Array(results).fill(0x1a),
        0x41,
        0,
        0x0b,
      ]
      const module = exampleModule({
        type: [2, 0x60, 0, 1, 0x7f, 0x60, 0, 0],
        table: [1, 0x70, 0, 1],
        global: [1, 0x7f, 1, 0x41, 0, 0x0b],
        element: [1, 1, 0, 1, 0],
        dataCount: [1],
        code: [body],
        data: [1, 1, 1, 0x61],
      })
      if (!WebAssembly.validate(module)) continue
      assert.notEqual(proveModule(module).verdict, 'refused', `${instruction.name} ${opcode}`)
      return module
    }
  }
  return undefined
}

function listed(): [number[], Instruction][] {
  return everyOpcode().flatMap((opcode) => {
    const instruction = find(opcode)
    return instruction === undefined ? [] : [[opcode, instruction] as [number[], Instruction]]
  })
}

function find(opcode: number[]): Instruction | undefined {
  const [first, ...rest] = opcode
  if (rest.length === 0) return plainInstruction(first!)
  return prefixedInstruction(first!, (rest[0]! % 128) | ((rest[1] ?? 0) << 7))
}

function everyOpcode(): number[][] {
  const plain = Array.from({ length: 256 }, (_, opcode) => [opcode])
  const prefixed = (prefix: number): number[][] =>
    Array.from({ length: 400 }, (_, opcode) => [prefix, ...new WasmWriter().u32(opcode).bytes()])
  return [
    ...plain.filter(([opcode]) => opcode !== PREFIX_BULK && opcode !== PREFIX_VECTOR),
    ...prefixed(PREFIX_BULK),
    ...prefixed(PREFIX_VECTOR),
  ]
}
