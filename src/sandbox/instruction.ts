// The instructions that the loader knows: how their immediates are encoded (core specification 5.4) and what they mean
// for a module that holds one. What is not in these tables is refused.

/** How the bytes after an opcode are read. */
export type Immediate =
  | 'none'
  | 'block-type'
  | 'label'
  | 'labels'
  | 'index'
  | 'two-indexes'
  | 'types'
  | 'memory'
  | 'two-memories'
  | 'address'
  | 'address-lane'
  | 'lane'
  | 's32'
  | 's64'
  | '4-bytes'
  | '8-bytes'
  | '16-bytes'
  | 'lanes'
  | 'reference-type'

/**
 * What an instruction means for its module. `allowed` and `bulk` (whose work grows with an operand) may be in a module
 * that is reset; the others are metered as well, but make it one for new instances only.
 */
export type Effect =
  | 'allowed'
  | 'bulk'
  | 'float'
  | 'reference'
  | 'table'
  | 'bulk-table'
  | 'memory-growth'
  | 'segment'
  | 'bulk-segment'

export interface Instruction {
  readonly immediate: Immediate
  readonly effect: Effect
  readonly name: string
}

export const BLOCK = 0x02
export const LOOP = 0x03
export const IF = 0x04
export const ELSE = 0x05
export const END = 0x0b
export const PREFIX_BULK = 0xfc
export const PREFIX_VECTOR = 0xfd

/** The instruction of a one-byte opcode, or undefined where it is not on the list. */
export function plainInstruction(opcode: number): Instruction | undefined {
  return PLAIN[opcode]
}

/** The instruction of an opcode after PREFIX_BULK or PREFIX_VECTOR. */
export function prefixedInstruction(prefix: number, opcode: number): Instruction | undefined {
  return prefix === PREFIX_BULK ? BULK[opcode] : VECTOR[opcode]
}

type Table = Record<number, Instruction>

const PLAIN: Table = {}
const BULK: Table = {}
const VECTOR: Table = {}

function one(table: Table, opcode: number, immediate: Immediate, effect: Effect, name: string): void {
  table[opcode] = { immediate, effect, name }
}

/** All opcodes from `first` to `last`, named by kind and number. */
function range(
  table: Table,
  first: number,
  last: number,
  effect: Effect = 'allowed',
  immediate: Immediate = 'none',
): void {
  const kind = effect === 'float' ? 'a float instruction' : 'an integer instruction'
  for (let opcode = first; opcode <= last; opcode++) {
    table[opcode] = { immediate, effect, name: `${kind} (0x${opcode.toString(16).padStart(2, '0')})` }
  }
}

one(PLAIN, 0x00, 'none', 'allowed', 'unreachable')
one(PLAIN, 0x01, 'none', 'allowed', 'nop')
one(PLAIN, BLOCK, 'block-type', 'allowed', 'block')
one(PLAIN, LOOP, 'block-type', 'allowed', 'loop')
one(PLAIN, IF, 'block-type', 'allowed', 'if')
one(PLAIN, ELSE, 'none', 'allowed', 'else')
one(PLAIN, END, 'none', 'allowed', 'end')
one(PLAIN, 0x0c, 'label', 'allowed', 'br')
one(PLAIN, 0x0d, 'label', 'allowed', 'br_if')
one(PLAIN, 0x0e, 'labels', 'allowed', 'br_table')
one(PLAIN, 0x0f, 'none', 'allowed', 'return')
one(PLAIN, 0x10, 'index', 'allowed', 'call')
one(PLAIN, 0x11, 'two-indexes', 'allowed', 'call_indirect')
one(PLAIN, 0x1a, 'none', 'allowed', 'drop')
one(PLAIN, 0x1b, 'none', 'allowed', 'select')
one(PLAIN, 0x1c, 'types', 'reference', 'typed select')
range(PLAIN, 0x20, 0x24, 'allowed', 'index') // local.get/set/tee, global.get/set
one(PLAIN, 0x25, 'index', 'table', 'table.get')
one(PLAIN, 0x26, 'index', 'table', 'table.set')
range(PLAIN, 0x28, 0x29, 'allowed', 'address')
range(PLAIN, 0x2a, 0x2b, 'float', 'address')
range(PLAIN, 0x2c, 0x37, 'allowed', 'address')
range(PLAIN, 0x38, 0x39, 'float', 'address')
range(PLAIN, 0x3a, 0x3e, 'allowed', 'address')
one(PLAIN, 0x3f, 'memory', 'allowed', 'memory.size')
one(PLAIN, 0x40, 'memory', 'memory-growth', 'memory.grow')
one(PLAIN, 0x41, 's32', 'allowed', 'i32.const')
one(PLAIN, 0x42, 's64', 'allowed', 'i64.const')
one(PLAIN, 0x43, '4-bytes', 'float', 'f32.const')
one(PLAIN, 0x44, '8-bytes', 'float', 'f64.const')
range(PLAIN, 0x45, 0x5a) // integer comparisons
range(PLAIN, 0x5b, 0x66, 'float')
range(PLAIN, 0x67, 0x8a) // integer arithmetic
range(PLAIN, 0x8b, 0xa6, 'float')
one(PLAIN, 0xa7, 'none', 'allowed', 'i32.wrap_i64')
range(PLAIN, 0xa8, 0xab, 'float')
range(PLAIN, 0xac, 0xad) // i64.extend_i32_s/u
range(PLAIN, 0xae, 0xbf, 'float')
range(PLAIN, 0xc0, 0xc4) // sign extension
one(PLAIN, 0xd0, 'reference-type', 'reference', 'ref.null')
one(PLAIN, 0xd1, 'none', 'reference', 'ref.is_null')
one(PLAIN, 0xd2, 'index', 'reference', 'ref.func')

range(BULK, 0, 7, 'float') // saturating truncation: its operands are floats
one(BULK, 8, 'two-indexes', 'bulk-segment', 'memory.init')
one(BULK, 9, 'index', 'segment', 'data.drop')
one(BULK, 10, 'two-memories', 'bulk', 'memory.copy')
one(BULK, 11, 'memory', 'bulk', 'memory.fill')
one(BULK, 12, 'two-indexes', 'bulk-table', 'table.init')
one(BULK, 13, 'index', 'table', 'elem.drop')
one(BULK, 14, 'two-indexes', 'bulk-table', 'table.copy')
one(BULK, 15, 'index', 'bulk-table', 'table.grow')
one(BULK, 16, 'index', 'table', 'table.size')
one(BULK, 17, 'index', 'bulk-table', 'table.fill')

range(VECTOR, 0, 11, 'allowed', 'address') // v128.load*, v128.store
one(VECTOR, 12, '16-bytes', 'allowed', 'v128.const')
one(VECTOR, 13, 'lanes', 'allowed', 'i8x16.shuffle')
range(VECTOR, 14, 18) // i8x16.swizzle, splats of integers
range(VECTOR, 19, 20, 'float')
range(VECTOR, 21, 30, 'allowed', 'lane') // lanes of integers
range(VECTOR, 31, 34, 'float', 'lane')
range(VECTOR, 35, 64) // comparisons of 8, 16 and 32 bits
range(VECTOR, 65, 76, 'float')
range(VECTOR, 77, 83) // v128.not ... v128.any_true
range(VECTOR, 84, 91, 'allowed', 'address-lane')
range(VECTOR, 92, 93, 'allowed', 'address')
range(VECTOR, 94, 95, 'float')
range(VECTOR, 96, 102) // i8x16
range(VECTOR, 103, 106, 'float')
range(VECTOR, 107, 115)
range(VECTOR, 116, 117, 'float')
range(VECTOR, 118, 121)
range(VECTOR, 122, 122, 'float')
range(VECTOR, 123, 147) // i8x16.avgr_u, pairwise additions, i16x8
range(VECTOR, 148, 148, 'float')
range(VECTOR, 149, 153)
range(VECTOR, 155, 161) // i16x8.avgr_u and products, i32x4.abs, neg
range(VECTOR, 163, 164)
range(VECTOR, 167, 174)
range(VECTOR, 177, 177)
range(VECTOR, 181, 186)
range(VECTOR, 188, 193) // i32x4 products, i64x2.abs, neg
range(VECTOR, 195, 196)
range(VECTOR, 199, 206)
range(VECTOR, 209, 209)
range(VECTOR, 213, 223)
range(VECTOR, 224, 225, 'float')
range(VECTOR, 227, 237, 'float')
range(VECTOR, 239, 255, 'float')
