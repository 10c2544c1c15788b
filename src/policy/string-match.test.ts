import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { compareTexts, encodeStringList, listProblem, parseStringMatch } from './string-match.ts'

test("Istio's forms", () => {
  const cases = [
    ['abc', { form: 'exact', text: 'abc' }],
    ['abc*', { form: 'prefix', text: 'abc' }],
    ['*abc', { form: 'suffix', text: 'abc' }],
    ['*', { form: 'present' }],
    ['*a*', { form: 'suffix', text: 'a*' }],
    ['a*c', { form: 'exact', text: 'a*c' }],
  ] as const
  for (const [value, match] of cases) assert.deepEqual(parseStringMatch(value), match, value)
})

test('exact texts lie in order, each once', () => {
  const list = encodeStringList(['bb', 'a', 'ab', 'a', 'c*', 'é'].map(parseStringMatch))
  const count = list.readUInt16LE(0)
  const texts = Array.from({ length: count }, (_, index) => {
    const record = list.readUInt32LE(8 + 4 * index)
    return list.toString('utf8', record + 4, record + 4 + list.readUInt16LE(record + 2))
  })
  assert.deepEqual(texts, ['a', 'ab', 'bb', 'é'])
  assert.equal(list.readUInt16LE(2), 1)
})

test('the order is total', () => {
  const bytes = fc.uint8Array({ maxLength: 4, max: 3 })
  fc.assert(
    fc.property(bytes, bytes, bytes, (a, b, c) => {
      assert.equal(compareTexts(a, b) < 0, compareTexts(b, a) > 0)
      if (compareTexts(a, b) <= 0 && compareTexts(b, c) <= 0) assert.ok(compareTexts(a, c) <= 0)
      assert.equal(compareTexts(a, b) === 0, Buffer.compare(a, b) === 0)
    }),
  )
})

test('what does not fit is refused, not cut', () => {
  assert.equal(listProblem([{ form: 'exact', text: 'a'.repeat(0xffff) }]), null)
  assert.match(listProblem([{ form: 'exact', text: 'é'.repeat(0x8000) }]) ?? '', /65536 bytes, at most 65535/)
  assert.match(listProblem(Array(0x10000).fill({ form: 'present' })) ?? '', /65536 values, at most 65535/)
})
