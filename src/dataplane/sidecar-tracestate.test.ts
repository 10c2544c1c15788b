import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { decide, forwardedFields, policyOf } from './telemetry-testing.ts'

const TRACEPARENT = '00-12345678901234567890123456789012-1234567890123456-00'
const policy = policyOf({})

/** The `tracestate` fields that are forwarded for these. */
function forwarded(fields: readonly (readonly [string, string])[]): string[] {
  const lines = fields.map(([name, value]) => `${name}: ${value}\r\n`).join('')
  const decision = decide(policy, `GET /a HTTP/1.1\r\nhost: cart.shop.localhost\r\n${lines}\r\n`)
  return forwardedFields(decision).get('tracestate') ?? []
}

describe('tracestate', () => {
  const state = (...values: string[]) =>
    forwarded([['traceparent', TRACEPARENT], ...values.map((value) => ['tracestate', value] as const)])
  const numbered = (count: number) => Array.from({ length: count }, (_, i) => `bar${i}=${i}`).join(',')

  const kept: [string, string[], string][] = [
    ['one field', ['foo=1,bar=2'], 'foo=1,bar=2'],
    [
      'several fields in order',
      ['foo=1,bar=2', 'rojo=1,congo=2', 'baz=3'],
      'foo=1,bar=2,rojo=1,congo=2,baz=3',
    ],
    ['an empty field beside', ['foo=1', ''], 'foo=1'],
    ['an empty field before', ['', 'foo=1'], 'foo=1'],
    ['empty members', [',foo=1,,bar=2, ,'], 'foo=1,bar=2'],
    ['white space around members', ['foo=1 \t , \t bar=2, \t baz=3'], 'foo=1,bar=2,baz=3'],
    ['white space around the field', ['\t foo=1 \t'], 'foo=1'],
    ['a space inside a value', ['foo= 1 2'], 'foo= 1 2'],
    ['32 members', [numbered(32)], numbered(32)],
    ['a key of 256', ['foo=1', `${'z'.repeat(256)}=1`], `foo=1,${'z'.repeat(256)}=1`],
    [
      'a tenant of 241 and a system of 14',
      ['foo=1', `${'t'.repeat(241)}@${'v'.repeat(14)}=1`],
      `foo=1,${'t'.repeat(241)}@${'v'.repeat(14)}=1`,
    ],
    ['a tenant that starts with a digit', ['0t@v=1'], '0t@v=1'],
    ['a value of 256', [`foo=${'v'.repeat(256)}`], `foo=${'v'.repeat(256)}`],
  ]
  for (const [name, values, expected] of kept)
    test(`keeps ${name}`, () => assert.deepEqual(state(...values), [expected]))

  test('keeps all characters that are allowed', () => {
    const key = 'abcdefghijklmnopqrstuvwxyz0123456789_-*/'
    const value = Array.from({ length: 0x5f }, (_, i) => String.fromCharCode(0x20 + i))
      .filter((c) => c !== ',' && c !== '=')
      .join('')
    for (const member of [`${key}=${value}`, `${key}@a-z0-9_-*/=${value}`])
      assert.deepEqual(state(member), [member])
  })

  const dropped: [string, string[]][] = [
    ['an empty field', ['']],
    ['equal members', ['foo=1,foo=1']],
    ['members of equal keys', ['foo=1,foo=2']],
    ['equal keys in two fields', ['foo=1', 'foo=2']],
    ['a space in a key', ['foo =1']],
    ['a key in upper case', ['FOO=1']],
    ['a dot in a key', ['foo.bar=1']],
    ['a key that starts with a digit', ['0foo=1']],
    ['an empty system', ['foo@=1,bar=2']],
    ['an empty tenant', ['@foo=1,bar=2']],
    ['two at signs', ['foo@@bar=1,bar=2']],
    ['three parts', ['foo@bar@baz=1,bar=2']],
    ['a system that starts with a digit', ['foo@1bar=1']],
    ['33 members', [numbered(33)]],
    ['a key of 257', ['foo=1', `${'z'.repeat(257)}=1`]],
    ['a tenant of 242', ['foo=1', `${'t'.repeat(242)}@v=1`]],
    ['a system of 15', ['foo=1', `t@${'v'.repeat(15)}=1`]],
    ['a value of 257', ['foo=1', `bar=${'v'.repeat(257)}`]],
    ['an equals sign in a value', ['foo=bar=baz']],
    ['an empty value', ['foo=,bar=3']],
    ['no equals sign', ['foo']],
    ['a tab in a value', ['foo=a\tb']],
    ['a byte outside ASCII', ['foo=\xe4']],
  ]
  for (const [name, values] of dropped)
    test(`drops all for ${name}`, () => assert.deepEqual(state(...values), []))

  test('goes without a valid traceparent', () => {
    assert.deepEqual(forwarded([['tracestate', 'foo=1']]), [])
    assert.deepEqual(
      forwarded([
        ['traceparent', 'x'],
        ['tracestate', 'foo=1'],
      ]),
      [],
    )
  })

  test('over 512 bytes loses long members first, then the last ones', () => {
    const long = `long=${'l'.repeat(200)}`
    const shorts = Array.from({ length: 20 }, (_, i) => `k${i}=${'s'.repeat(20)}`)
    assert.deepEqual(state([long, ...shorts].join(',')), [shorts.join(',')])
    const many = Array.from({ length: 30 }, (_, i) => `key${String(i).padStart(2, '0')}=${'s'.repeat(20)}`)
    const [only] = state(many.join(','))
    assert.ok(only!.length <= 512)
    assert.equal(only, many.slice(0, only!.split(',').length).join(','))
    assert.ok(only!.length + 1 + many[0]!.length > 512, 'no more is dropped than must be')
  })

  test('a lone member of 513 bytes goes, and its line with it', () => {
    const key = 'k'.repeat(256)
    assert.deepEqual(state(`${key}=${'v'.repeat(255)}`), [`${key}=${'v'.repeat(255)}`])
    assert.deepEqual(state(`${key}=${'v'.repeat(256)}`), [])
  })

  test('any list of members is kept as a whole or dropped as a whole', () => {
    const key = fc.stringMatching(/^[a-z][a-z0-9_*/-]{0,9}$/)
    const value = fc.stringMatching(/^[!-+.-<>-~]{1,9}$/)
    const member = fc.tuple(key, value).map(([k, v]) => `${k}=${v}`)
    const broken = fc.constantFrom('A=1', '=1', 'a=', 'a', 'a=b=c', 'a@=1')
    const list = fc.array(fc.oneof({ weight: 20, arbitrary: member }, { weight: 1, arbitrary: broken }), {
      minLength: 1,
      maxLength: 34,
    })
    fc.assert(
      fc.property(list, fc.nat(3), (members, splits) => {
        const fields = Array.from({ length: splits + 1 }, (_, i) =>
          members.filter((_, j) => j % (splits + 1) === i),
        )
        const inOrder = fields.flat()
        const keys = inOrder.map((one) => one.slice(0, one.indexOf('=')))
        const isValid =
          inOrder.length <= 32 &&
          new Set(keys).size === keys.length &&
          inOrder.every((one) => /^[a-z][a-z0-9_*/-]*=[!-+.-<>-~]+$/.test(one))
        const whole = inOrder.join(',')
        if (whole.length > 512) return
        assert.deepEqual(state(...fields.map((one) => one.join(','))), isValid ? [whole] : [])
      }),
      { numRuns: 300 },
    )
  })
})
