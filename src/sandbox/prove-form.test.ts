// Modules that are no WebAssembly binary, or no valid one.
import { exampleBody, exampleModule, name } from './example-module.ts'
import { refused } from './proof-test.ts'

const i32 = 0x7f
const END = 0x0b
const one = (...item: number[]): number[] => [1, ...item]

// The binary's form.
refused('empty', 'malformed', Uint8Array.of())
refused('version 2', 'malformed', Uint8Array.of(0, 0x61, 0x73, 0x6d, 2, 0, 0, 0))
refused('section cut off', 'malformed', exampleModule().subarray(0, -1))
refused('unknown section', 'section', Uint8Array.of(...exampleModule(), 14, 0), [14, 0])
refused('tags', 'section', exampleModule({ type: [2, 0x60, 0, 1, i32, 0x60, 0, 0], tag: one(0, 1) }), [13, 3])
refused('repeated section', 'section', Uint8Array.of(...exampleModule({ data: [0] }), 11, 1, 0))
refused(
  'sections out of order',
  'section',
  Uint8Array.of(...exampleModule({ data: [0] }), 9, 1, 0),
  [9, 1, 0],
)
refused(
  'bytes after a section’s items',
  'malformed',
  exampleModule({ export: [1, ...name('run'), 0, 0, 0x55] }),
  [0x55],
)
refused('fewer bodies than functions', 'malformed', exampleModule({ code: [] }))
refused('bytes after a body’s end', 'malformed', exampleModule({ code: [[0, 0x41, 0, END, 1]] }))
refused('else without if', 'malformed', exampleBody(0x05))
refused('a wrong type', 'invalid', exampleBody(0x42, 0))
refused('an empty stack', 'invalid', exampleBody())
refused('a local that does not exist', 'invalid', exampleBody(0x20, 9), [9, END])
refused(
  'two exports of one name',
  'invalid',
  exampleModule({ export: [2, ...name('run'), 0, 0, ...name('run'), 0, 0] }),
)
