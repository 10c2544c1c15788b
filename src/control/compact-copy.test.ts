import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { compactCopy } from './compact-copy.ts'

test('a compact copy is equal to what it was made of, and parts that are equal are the same', () => {
  const plain = fc.jsonValue({ maxDepth: 4 })
  fc.assert(
    fc.property(plain, plain, (one, other) => {
      const both = compactCopy({ one, other, again: one, text: '{', list: [one] })
      assert.deepEqual(both, { one, other, again: one, text: '{', list: [one] })
      assert.equal(both.one, both.again)
      assert.equal(both.list[0], both.one)
      assert.equal(compactCopy(one), both.one)
    }),
  )
})

test('texts that look like the inner names of objects are themselves, and what is undefined is left out', () => {
  const value = { a: [], b: '[', c: '{', d: '{"a":1,', e: { a: 1 }, f: undefined, g: ['#0'], h: [[]] }
  const { f: _, ...rest } = value
  assert.deepEqual(compactCopy(value), rest)
  assert.deepEqual(compactCopy(value), rest)
})

test('many different values do not stay', () => {
  for (let i = 0; i < 20_000; i++) assert.deepEqual(compactCopy({ i: [`value ${i}`] }), { i: [`value ${i}`] })
})
