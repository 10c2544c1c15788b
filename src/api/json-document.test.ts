import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { readJsonDocuments } from './json-document.ts'
import { parseYaml, readYaml } from './yaml-document.ts'

const text = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 12 }),
  fc.constantFrom('a: b', '---', '\n---\n', '# no', '"', '\\', '<<', '~', 'true', '1e3', '\ud83d'),
)
const { value } = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 5, withCrossShrink: true },
    fc.oneof(text, fc.integer(), fc.double({ noNaN: true, noDefaultInfinity: true }), fc.boolean()),
    fc.constant(null),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(
      text.filter((key) => key !== '__proto__' && key !== '<<'),
      tie('value'),
      { maxKeys: 4 },
    ),
  ),
}))
const root = fc.dictionary(fc.constantFrom('kind', 'spec', 'a b'), value, { maxKeys: 3 })
const gaps = fc.constantFrom('', '\n', '  ', '\n\n ')

describe('documents of JSON', () => {
  test('are read as YAML would read them, with everything at the same place', () => {
    const document = fc.tuple(root, fc.constantFrom(undefined, 2), gaps, gaps)
    fc.assert(
      fc.property(fc.array(document, { minLength: 1, maxLength: 4 }), fc.nat(), (all, pick) => {
        const written = all
          .map(([one, indent, before, after]) => before + JSON.stringify(one, null, indent) + after)
          .join('\n---\n')
        const quick = readYaml('f.json', written)
        const thorough = parseYaml('f.json', written)
        assert.deepEqual(quick.errors, thorough.errors)
        assert.deepEqual(
          quick.documents.map((one) => one.value),
          thorough.documents.map((one) => one.value),
        )
        for (const [i, one] of quick.documents.entries()) {
          const keys = Object.keys(one.value as object)
          const paths = [[], ...(keys.length > 0 ? [[keys[pick % keys.length]!]] : [])]
          for (const path of paths) {
            const [a, b] = [one, thorough.documents[i]!].map((each) => each.errorAt(path, 'bad-value', 'no'))
            assert.deepEqual(a, b)
          }
        }
      }),
      { numRuns: 500 },
    )
  })

  test('that have a key twice, or are something else, are left to YAML', () => {
    for (const other of [
      '{"a":1,"a":2}',
      '{"a":{"b":1,"c":2,"b":1}}',
      '{"__proto__":1}',
      '{"\\u005f_proto__":1}',
      '{"<<":{}}',
      '{a: 1}',
      '{"a":1} # said',
      '{"a":1}\n---\na: 1',
      '{"a":1}\n---\n',
      '{"a":1}\n--- {"b":1}',
      'a: 1',
      '',
      '['.repeat(60) + ']'.repeat(60),
    ])
      assert.equal(readJsonDocuments(other), null, other)
    assert.equal(readJsonDocuments('{"a\\n":1}'), null)
    assert.deepEqual(readJsonDocuments('{"a:" :"\\":"}')?.[0]?.value, { 'a:': '":' })
    const [error] = readYaml('f', '{"a":1,"a":2}').errors
    assert.equal(error?.code, 'duplicate-key')
  })
})
