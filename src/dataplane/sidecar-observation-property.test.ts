import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Cel } from '../api/cel.ts'
import { CEL_ATTRIBUTES, type CelType } from '../api/cel-attribute.ts'
import { evaluateCel } from '../policy/evaluate-cel.ts'
import { FIELDS, KNOWN, observed, WORLD } from './observation-testing.ts'

const leaf = (type: CelType): fc.Arbitrary<Cel> => {
  const attributes = Object.keys(KNOWN).filter((name) => CEL_ATTRIBUTES[name]!.type === type)
  const attribute = fc.constantFrom(...attributes).map((name): Cel => ({ op: 'attribute', type, name }))
  const literals: Record<CelType, fc.Arbitrary<string | number | boolean>> = {
    truth: fc.boolean(),
    integer: fc.constantFrom(0, -1, 2, 7, 503, 9001, Number.MAX_SAFE_INTEGER, -Number.MAX_SAFE_INTEGER),
    duration: fc.constantFrom(0, 250_500_000, 10 ** 12),
    text: fc.constantFrom('', 'a', 'one', 'GET', '/carts', 'aab', 'ä€', '503', 'true', 'two'),
  }
  const literal = literals[type].map((value): Cel => ({ op: 'literal', type, value }))
  if (type !== 'text') return fc.oneof(attribute, literal)
  const field = fc
    .constantFrom(...Object.keys(FIELDS), 'request missing', 'response missing')
    .map((both): Cel => {
      const [head, name] = both.split(' ') as ['request' | 'response', string]
      return { op: 'field', type: 'text', head, name }
    })
  return fc.oneof(attribute, literal, field)
}

const { truth, text } = fc.letrec<{ truth: Cel; text: Cel }>((tie) => ({
  truth: fc.oneof(
    { maxDepth: 5, depthIdentifier: 'cel' },
    leaf('truth'),
    fc.tuple(tie('truth')).map((args): Cel => ({ op: 'not', type: 'truth', args })),
    fc.tuple(tie('text')).map((args): Cel => ({ op: 'has', type: 'truth', args })),
    fc
      .tuple(fc.constantFrom('and' as const, 'or' as const), tie('truth'), tie('truth'))
      .map(([op, a, b]): Cel => ({ op, type: 'truth', args: [a, b] })),
    fc
      .tuple(fc.constantFrom('equal' as const, 'less' as const), tie('text'), tie('text'))
      .map(([op, a, b]): Cel => ({ op, type: 'truth', args: [a, b] })),
    fc
      .tuple(fc.constantFrom('equal' as const, 'less' as const), leaf('integer'), leaf('integer'))
      .map(([op, a, b]): Cel => ({ op, type: 'truth', args: [a, b] })),
    fc
      .tuple(
        fc.constantFrom('starts' as const, 'ends' as const, 'contains' as const),
        tie('text'),
        fc.constantFrom('', 'a', 'aab', 'GET', 'ä', 'ne,t'),
      )
      .map(
        ([op, a, value]): Cel => ({ op, type: 'truth', args: [a, { op: 'literal', type: 'text', value }] }),
      ),
    fc
      .tuple(tie('truth'), tie('truth'), tie('truth'))
      .map((args): Cel => ({ op: 'choice', type: 'truth', args })),
  ),
  text: fc.oneof(
    { maxDepth: 4, depthIdentifier: 'cel' },
    leaf('text'),
    fc
      .tuple(fc.oneof(leaf('integer'), leaf('truth')))
      .map((args): Cel => ({ op: 'text', type: 'text', args })),
    fc.tuple(tie('text'), tie('text')).map((args): Cel => ({ op: 'join', type: 'text', args })),
    fc
      .tuple(tie('truth'), tie('text'), tie('text'))
      .map((args): Cel => ({ op: 'choice', type: 'text', args })),
  ),
}))

/** The reference works on the same bytes: written texts are UTF-8. */
function asBytes(one: Cel): Cel {
  if (one.op === 'literal' && typeof one.value === 'string') {
    return { ...one, value: Buffer.from(one.value, 'utf8').toString('latin1') }
  }
  return 'args' in one ? ({ ...one, args: one.args.map(asBytes) } as unknown as Cel) : one
}

test('sidecar and engine together give what a plain evaluator gives', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(truth, text), { minLength: 1, maxLength: 4 }), (cels) => {
      assert.deepEqual(
        observed(cels),
        cels.map((one) => evaluateCel(asBytes(one), WORLD)),
      )
    }),
    { numRuns: 1500 },
  )
})
