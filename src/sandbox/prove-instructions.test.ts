// Modules with one instruction that is not allowed.
import { exampleBody, exampleModule } from './example-module.ts'
import { refused, unproved } from './proof-test.ts'

const END = 0x0b
const UNREACHABLE = 0x00
const one = (...item: number[]): number[] => [1, ...item]
const FUNCREF_TABLE = [1, 0x70, 1, 2, 2]

// Instructions that change what a reset does not restore.
unproved('memory.grow', 'memory-growth', exampleBody(0x41, 0, 0x40, 0), [0x40, 0, END])
unproved(
  'memory.init',
  'data-segment',
  exampleModule({
    dataCount: [1],
    code: [[0, 0x41, 0, 0x41, 0, 0x41, 1, 0xfc, 8, 0, 0, 0x41, 0, END]],
    data: one(0, 0x41, 0, END, 1, 0x61),
  }),
  [0xfc, 8],
)
unproved(
  'data.drop',
  'data-segment',
  exampleModule({
    dataCount: [1],
    code: [[0, 0xfc, 9, 0, 0x41, 0, END]],
    data: one(0, 0x41, 0, END, 1, 0x61),
  }),
  [0xfc, 9],
)
unproved(
  'table.set',
  'table',
  exampleModule({
    table: FUNCREF_TABLE,
    code: [[0, 0x41, 0, 0x41, 0, 0x25, 0, 0x26, 0, 0x41, 0, END]],
  }),
  [0x25, 0],
)
unproved('ref.null', 'reference', exampleBody(0xd0, 0x70, 0x1a, 0x41, 0), [0xd0])
unproved('f64.const', 'float', exampleBody(0x44, 0, 0, 0, 0, 0, 0, 0, 0, 0x1a, 0x41, 0), [0x44])

// Instructions of proposals that are not on the list.
refused('load from a second memory', 'memory', exampleBody(0x41, 0, 0x28, 0x40, 1, 0))
refused('memory.copy between memories', 'memory', exampleBody(UNREACHABLE, 0xfc, 10, 0, 1, UNREACHABLE))
for (const [instruction, code] of [
  ['return_call', [0x12, 0]],
  ['return_call_indirect', [UNREACHABLE, 0x13, 0, 0]],
  ['call_ref', [UNREACHABLE, 0x14, 0]],
  ['throw', [0x08, 0]],
  ['try_table', [0x1f, 0x40, 0, END]],
  ['i32.atomic.load', [0x41, 0, 0xfe, 0x10, 2, 0]],
  ['atomic.fence', [0xfe, 0x03, 0]],
  ['struct.new', [0xfb, 0, 0]],
  ['i8x16.relaxed_swizzle', [UNREACHABLE, 0xfd, 0x80, 0x02]],
  ['i64.add128', [UNREACHABLE, 0xfc, 19]],
  ['ref.as_non_null', [UNREACHABLE, 0xd4]],
] as const) {
  const found = code.slice(code.findIndex((byte) => byte > 2 && byte !== 0x41))
  refused(instruction, 'instruction', exampleBody(...code, UNREACHABLE), found)
}
