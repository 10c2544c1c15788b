import {
  BLOCK,
  type Effect,
  ELSE,
  END,
  IF,
  type Instruction,
  LOOP,
  PREFIX_BULK,
  PREFIX_VECTOR,
  plainInstruction,
  prefixedInstruction,
} from './instruction.ts'
import type { Limits } from './limits.ts'
import type { FunctionBody, Mark } from './module-shape.ts'
import { type Findings, noteUnproved, type RefusalCode, Refused } from './refusal.ts'
import { checkValueType, readReferenceType, readValueType } from './value-type.ts'
import type { WasmReader } from './wasm-reader.ts'

type Charge = Extract<Mark, { kind: 'charge' }>

interface Block {
  readonly opcode: number
  /** The charge that covers the instructions directly inside. */
  readonly region: Charge
}

/**
 * Reads one function's body and marks where fuel is charged. A region is the function without its loops, or one loop
 * without the loops in it. Only a branch to a loop's head goes backwards, so between two arrivals at a region's start each
 * of its instructions runs at most once: charging the region's size at its start bounds the work. Locals, which entering a
 * function zeroes, count one each; an instruction whose work grows with an operand is charged by that operand as well.
 */
export function readBody(reader: WasmReader, limits: Limits, findings: Findings): FunctionBody {
  const start = reader.at
  const locals = readLocals(reader, limits, findings)
  const entry: Charge = { kind: 'charge', at: reader.at, cost: locals }
  const marks: Mark[] = [entry]
  const blocks: Block[] = [{ opcode: BLOCK, region: entry }]
  while (blocks.length > 0) {
    const at = reader.at
    const block = blocks.at(-1)!
    const opcode = reader.byte('function body')
    const instruction = readOpcode(reader, opcode, at)
    readImmediate(reader, instruction, limits, findings)
    noteEffect(instruction, at, findings)
    block.region.cost++
    if (opcode === BLOCK || opcode === IF || opcode === LOOP) {
      if (blocks.length > limits.nesting) {
        throw new Refused('limit', at, `blocks are nested deeper than ${limits.nesting}`)
      }
      let region = block.region
      if (opcode === LOOP) {
        region = { kind: 'charge', at: reader.at, cost: 0 }
        marks.push(region)
      }
      blocks.push({ opcode, region })
    } else if (opcode === ELSE) {
      if (block.opcode !== IF) throw new Refused('malformed', at, 'an else without its if')
      blocks[blocks.length - 1] = { opcode, region: block.region }
    } else if (opcode === END) {
      blocks.pop()
    } else if (isBulk(instruction)) {
      marks.push({ kind: 'bulk', at })
    } else if (instruction.effect === 'memory-growth') {
      marks.push({ kind: 'growth', at, end: reader.at })
    }
  }
  reader.expectDone('function body')
  return { start, end: reader.at, marks }
}

function readLocals(reader: WasmReader, limits: Limits, findings: Findings): number {
  const start = reader.at
  const groups = reader.count(limits.locals, 'number of groups of locals')
  let total = 0
  for (let group = 0; group < groups; group++) {
    total += reader.u32('number of locals')
    readValueType(reader, findings, 'local')
    if (total > limits.locals) {
      throw new Refused('limit', start, `a function declares more than ${limits.locals} locals`)
    }
  }
  return total
}

function readOpcode(reader: WasmReader, opcode: number, at: number): Instruction {
  let instruction = plainInstruction(opcode)
  let shown = opcode.toString(16)
  if (opcode === PREFIX_BULK || opcode === PREFIX_VECTOR) {
    const second = reader.u32('instruction')
    instruction = prefixedInstruction(opcode, second)
    shown += ` ${second}`
  }
  if (instruction !== undefined) return instruction
  throw new Refused(
    'instruction',
    at,
    `instruction 0x${shown} is not allowed: expected WebAssembly's MVP, sign extension, memory.copy, memory.fill, multi-value or fixed-width SIMD; turn other features off in the compiler`,
  )
}

function readImmediate(
  reader: WasmReader,
  instruction: Instruction,
  limits: Limits,
  findings: Findings,
): void {
  const what = instruction.name
  switch (instruction.immediate) {
    case 'none':
      return
    case 'block-type':
      readBlockType(reader, findings)
      return
    case 'label':
    case 'index':
      reader.u32(what)
      return
    case 'labels':
      for (let rest = reader.count(limits.branchTargets, 'number of branch targets'); rest >= 0; rest--) {
        reader.u32(what)
      }
      return
    case 'two-indexes':
      reader.u32(what)
      reader.u32(what)
      return
    case 'types':
      for (let rest = reader.count(limits.values, 'number of types'); rest > 0; rest--) {
        readValueType(reader, findings, what)
      }
      return
    case 'memory':
      readMemoryIndex(reader, what)
      return
    case 'two-memories':
      readMemoryIndex(reader, what)
      readMemoryIndex(reader, what)
      return
    case 'address':
      readAddress(reader, what)
      return
    case 'address-lane':
      readAddress(reader, what)
      reader.skip(1, what)
      return
    case 'lane':
      reader.skip(1, what)
      return
    case 's32':
      reader.s32(what)
      return
    case 's64':
      reader.s64(what)
      return
    case '4-bytes':
      reader.skip(4, what)
      return
    case '8-bytes':
      reader.skip(8, what)
      return
    case '16-bytes':
    case 'lanes':
      reader.skip(16, what)
      return
    case 'reference-type':
      readReferenceType(reader, findings, what)
      return
  }
}

/** Empty, a value type, or a type's index as s33. */
function readBlockType(reader: WasmReader, findings: Findings): void {
  const start = reader.at
  const index = reader.s33('block type')
  if (index >= 0) return
  if (reader.at !== start + 1) {
    throw new Refused('malformed', start, 'a block type is neither empty, a value type nor an index')
  }
  if (index !== -64) checkValueType(index + 128, start, findings, 'block type')
}

function readMemoryIndex(reader: WasmReader, what: string): void {
  const start = reader.at
  if (reader.byte(what) !== 0) {
    throw new Refused('memory', start, `${what} names a second memory: only memory 0 exists`)
  }
}

/** Alignment and offset; bit 6 of the alignment would announce a memory's index. */
function readAddress(reader: WasmReader, what: string): void {
  const start = reader.at
  if (reader.u32(what) >= 64) {
    throw new Refused('memory', start, `${what} names a second memory: only memory 0 exists`)
  }
  reader.u32(what)
}

function isBulk(instruction: Instruction): boolean {
  return (
    instruction.effect === 'bulk' ||
    instruction.effect === 'bulk-segment' ||
    instruction.effect === 'bulk-table'
  )
}

const TABLE_ALONE = 'a table may be used by call_indirect alone, since a reset does not restore it'
const DROPPED = 'a reset does not bring dropped segments back; use active segments'
const UNPROVABLE: Partial<Record<Effect, readonly [RefusalCode, string]>> = {
  float: ['float', 'the bits of a NaN are not deterministic; compute with integers'],
  reference: ['reference', 'references are not allowed; turn reference types off in the compiler'],
  table: ['table', TABLE_ALONE],
  'bulk-table': ['table', TABLE_ALONE],
  segment: ['data-segment', DROPPED],
  'bulk-segment': ['data-segment', DROPPED],
  'memory-growth': [
    'memory-growth',
    "the memory's size is fixed; do not link an allocator (in AssemblyScript: no `new`, no array literals)",
  ],
}

function noteEffect(instruction: Instruction, at: number, findings: Findings): void {
  const reason = UNPROVABLE[instruction.effect]
  if (reason !== undefined) noteUnproved(findings, reason[0], at, `${instruction.name}: ${reason[1]}`)
}
