// Modules whose imports, memory, types, globals or exports break one rule.
import { exampleBody, exampleModule, MEMORY_IMPORT, name } from './example-module.ts'
import { refused, unproved } from './proof-test.ts'

const i32 = 0x7f
const END = 0x0b
const UNREACHABLE = 0x00
const one = (...item: number[]): number[] => [1, ...item]
const memory = (...type: number[]): number[] => [1, ...name('env'), ...name('memory'), 2, ...type]
const FUNCREF_TABLE = [1, 0x70, 1, 2, 2]

// Imports and the memory.
refused('no import', 'import', exampleModule({ import: null }))
refused(
  'imported function',
  'import',
  exampleModule({ import: one(...name('env'), ...name('abort'), 0, 0) }),
  name('env'),
)
refused(
  'imported table',
  'import',
  exampleModule({ import: one(...name('env'), ...name('table'), 1, 0x70, 0, 1) }),
)
refused(
  'imported global',
  'import',
  exampleModule({ import: one(...name('env'), ...name('base'), 3, i32, 0) }),
)
refused('imported tag', 'import', exampleModule({ import: one(...name('env'), ...name('error'), 4, 0, 0) }))
refused(
  'a second import',
  'import',
  exampleModule({ import: [2, ...MEMORY_IMPORT.slice(1), ...name('env'), ...name('f'), 0, 0] }),
)
refused('a memory of its own', 'memory', exampleModule({ memory: one(1, 1, 1) }))
refused('shared memory', 'memory', exampleModule({ import: memory(3, 1, 1) }), [3, 1, 1])
refused('64-bit memory', 'memory', exampleModule({ import: memory(5, 1, 1) }), [5, 1, 1])
unproved('min below max', 'memory-size', exampleModule({ import: memory(1, 1, 2) }), [1, 1, 2])
unproved('no max', 'memory-size', exampleModule({ import: memory(0, 1) }))
refused('too many pages', 'memory-size', exampleModule({ import: memory(1, 17, 17) }), [1, 17, 17])

// Declarations.
unproved(
  'start function',
  'start',
  exampleModule({
    type: [2, 0x60, 0, 1, i32, 0x60, 0, 0],
    function: [2, 0, 1],
    start: [1],
    code: [
      [0, 0x41, 0, END],
      [0, END],
    ],
  }),
)
unproved(
  'exported table',
  'table',
  exampleModule({
    table: FUNCREF_TABLE,
    export: [2, ...name('run'), 0, 0, ...name('table'), 1, 0],
  }),
  name('table'),
)
unproved(
  'global that reads another',
  'initialiser',
  exampleModule({ global: [2, i32, 0, 0x41, 1, END, i32, 1, 0x23, 0, END] }),
  [0x23, 0, END],
)
unproved(
  'global that is computed',
  'initialiser',
  exampleModule({ global: one(i32, 1, 0x41, 1, 0x41, 2, 0x6a, END) }),
  [0x41, 1, 0x41],
)
unproved('global of floats', 'float', exampleModule({ global: one(0x7d, 1, 0x43, 0, 0, 0, 0, END) }), [0x7d])
unproved('global of references', 'reference', exampleModule({ global: one(0x70, 1, 0xd0, 0x70, END) }))
refused('global with a bad mutability', 'malformed', exampleModule({ global: one(i32, 2, 0x41, 0, END) }))
unproved('float parameter', 'float', exampleModule({ type: [2, 0x60, 0, 1, i32, 0x60, 1, 0x7c, 0] }), [0x7c])
unproved('float result', 'float', exampleModule({ type: [2, 0x60, 0, 1, i32, 0x60, 0, 1, 0x7d] }), [0x7d])
unproved('float local', 'float', exampleModule({ code: [[1, 1, 0x7d, 0x41, 0, END]] }), [0x7d, 0x41])
unproved('float block', 'float', exampleBody(0x02, 0x7c, UNREACHABLE, END, 0x1a, 0x41, 0), [0x7c])
unproved(
  'reference parameter',
  'reference',
  exampleModule({ type: [2, 0x60, 0, 1, i32, 0x60, 1, 0x6f, 0] }),
  [0x6f],
)
refused('struct type', 'type', exampleModule({ type: [2, 0x60, 0, 1, i32, 0x5f, 0] }), [0x5f])
refused('recursive types', 'type', exampleModule({ type: [2, 0x60, 0, 1, i32, 0x4e, 1, 0x60, 0, 0] }), [0x4e])
refused('reference to a type', 'type', exampleModule({ code: [[1, 1, 0x63, 0x70, 0x41, 0, END]] }), [0x63])
