import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { exampleBody, exampleModule } from './example-module.ts'
import { Refused } from './refusal.ts'
import { WasmReader } from './wasm-reader.ts'
import { WasmWriter } from './wasm-writer.ts'

test('an integer that was written is read back', () => {
  fc.assert(
    fc.property(fc.nat(0xffffffff), (value) => {
      const reader = new WasmReader(new WasmWriter().u32(value).bytes())
      assert.equal(reader.u32('number'), value)
      assert.ok(reader.done)
    }),
  )
  fc.assert(
    fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), (value) => {
      const reader = new WasmReader(new WasmWriter().s64(value).bytes())
      assert.equal(reader.s64('number'), value)
      assert.ok(reader.done)
    }),
  )
})

test('integers of 32 and 64 bits are read exactly where V8 reads them', () => {
  const tail = fc.constantFrom(0x00, 0x07, 0x08, 0x0f, 0x10, 0x70, 0x78, 0x7f, 0x3f, 0x40, 0x01, 0x41)
  const bytes = fc
    .tuple(fc.array(fc.integer({ min: 0x80, max: 0xff }), { maxLength: 11 }), tail)
    .map(([head, last]) => [...head, last])
  const accepts = (read: (reader: WasmReader) => unknown, encoded: number[]): boolean => {
    const reader = new WasmReader(Uint8Array.from(encoded))
    try {
      read(reader)
      return reader.done
    } catch (error) {
      assert.ok(error instanceof Refused)
      return false
    }
  }
  fc.assert(
    fc.property(bytes, (encoded) => {
      const s32 = WebAssembly.validate(exampleBody(0x41, ...encoded))
      assert.equal(
        accepts((reader) => reader.s32('number'), encoded),
        s32,
      )
      const s64 = WebAssembly.validate(exampleBody(0x42, ...encoded, 0xa7))
      assert.equal(
        accepts((reader) => reader.s64('number'), encoded),
        s64,
      )
      // An address's offset is a u32, which V8 also takes in the longer form of a u64.
      const u32 = encoded.length <= 5 && WebAssembly.validate(exampleBody(0x41, 0, 0x28, 0, ...encoded))
      assert.equal(
        accepts((reader) => reader.u32('number'), encoded),
        u32,
      )
    }),
    { numRuns: 3000, seed: 1 },
  )
})

test('block types are s33', () => {
  for (const [encoded, value] of [
    [[0x40], -64],
    [[0x7f], -1],
    [[0xff, 0xff, 0xff, 0xff, 0x0f], 2 ** 32 - 1],
    [[0x80, 0x80, 0x80, 0x80, 0x70], -(2 ** 32)],
  ] as const) {
    assert.equal(new WasmReader(Uint8Array.from(encoded)).s33('block type'), value)
  }
  for (const encoded of [
    [0x80, 0x80, 0x80, 0x80, 0x10],
    [0x80, 0x80, 0x80, 0x80, 0x6f],
    [0x80, 0x80, 0x80, 0x80, 0x80, 0x00],
  ]) {
    assert.throws(() => new WasmReader(Uint8Array.from(encoded)).s33('block type'), Refused)
  }
})

test('a reader of a part does not see beyond it', () => {
  const reader = new WasmReader(Uint8Array.of(1, 2, 3))
  const part = reader.part(2, 'part')
  assert.equal(part.byte('part'), 1)
  assert.equal(part.byte('part'), 2)
  assert.throws(() => part.byte('part'), /cut off/)
  assert.equal(reader.byte('rest'), 3)
})

test('names are UTF-8', () => {
  assert.throws(() => new WasmReader(Uint8Array.of(2, 0xc3, 0x28)).name(10, 'name'), /not UTF-8/)
  assert.throws(() => new WasmReader(Uint8Array.of(200, 1)).name(10, 'name'), /at most 10/)
  assert.ok(WebAssembly.validate(exampleModule()))
})
