// Modules whose tables or segments break one rule.
import { exampleModule } from './example-module.ts'
import { refused, unproved } from './proof-test.ts'

const i32 = 0x7f
const END = 0x0b
const one = (...item: number[]): number[] => [1, ...item]
const FUNCREF_TABLE = [1, 0x70, 1, 2, 2]

// Tables and segments.
unproved('table of externref', 'reference', exampleModule({ table: one(0x6f, 0, 1) }))
refused('64-bit table', 'table', exampleModule({ table: one(0x70, 5, 1, 1) }))
refused('two tables', 'limit', exampleModule({ table: [2, 0x70, 0, 1, 0x70, 0, 1] }))
unproved(
  'passive elements',
  'element-segment',
  exampleModule({ table: FUNCREF_TABLE, element: one(1, 0, 1, 0) }),
)
unproved(
  'declarative elements',
  'element-segment',
  exampleModule({ table: FUNCREF_TABLE, element: one(3, 0, 1, 0) }),
)
unproved(
  'element expressions',
  'element-segment',
  exampleModule({ table: FUNCREF_TABLE, element: one(4, 0x41, 0, END, 1, 0xd2, 0, END) }),
)
unproved(
  'elements that name their table',
  'element-segment',
  exampleModule({ table: FUNCREF_TABLE, element: one(2, 0, 0x41, 0, END, 0, 1, 0) }),
)
unproved(
  'elements at a computed offset',
  'element-segment',
  exampleModule({
    table: FUNCREF_TABLE,
    global: one(i32, 0, 0x41, 0, END),
    element: one(0, 0x23, 0, END, 1, 0),
  }),
  [0x23, 0, END],
)
refused(
  'elements beyond the table',
  'element-segment',
  exampleModule({ table: FUNCREF_TABLE, element: one(0, 0x41, 2, END, 1, 0) }),
)
unproved(
  'passive data',
  'data-segment',
  exampleModule({ dataCount: [1], data: one(1, 1, 0x61) }),
  [1, 1, 0x61],
)
unproved(
  'data at a computed offset',
  'data-segment',
  exampleModule({ global: one(i32, 0, 0x41, 0, END), data: one(0, 0x23, 0, END, 1, 0x61) }),
  [0x23, 0, END],
)
refused('data in a second memory', 'memory', exampleModule({ data: one(2, 1, 0x41, 0, END, 1, 0x61) }))
refused(
  'data beyond the memory',
  'data-segment',
  exampleModule({ data: one(0, 0x41, 0xff, 0xff, 3, END, 2, 0x61, 0x62) }),
)
refused(
  'data at a negative offset',
  'data-segment',
  exampleModule({ data: one(0, 0x41, 0x7f, END, 1, 0x61) }),
)
