import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { defaultMeshConfig } from '../api/mesh-config.ts'
import { decide, forwardedFields, policyOf } from './telemetry-testing.ts'

const TRACE = '463ac35c9f6413ad48485a3953bb6124'
const NARROW = '48485a3953bb6124'
const PARENT = 'a2fb4a1d1a96d312'
const NEW_TRACE = '000102030405060708090a0b0c0d0e0f'
const NEW_SPAN = '1011121314151617'

type Form = 'w3c' | 'b3' | 'b3single'
type Fields = Record<string, string | string[]>

function policy(tracePropagation: Form[], sampling: number): Buffer {
  const { defaultConfig } = defaultMeshConfig
  return policyOf({
    tracePropagation,
    defaultConfig: { ...defaultConfig, tracing: { sampling, customTags: {} } },
  })
}

/** The trace fields that are forwarded, by name. */
function traced(forms: Form[], fields: Fields, sampling = 0): Record<string, string> {
  const lines = Object.entries(fields).flatMap(([name, values]) =>
    [values].flat().map((value) => `${name}: ${value}\r\n`),
  )
  const decision = decide(
    policy(forms, sampling),
    `GET / HTTP/1.1\r\nhost: cart.shop.localhost\r\n${lines.join('')}\r\n`,
  )
  const found: Record<string, string> = {}
  for (const [name, values] of forwardedFields(decision)) {
    if (/^(b3|x-b3-.*|trace.*)$/.test(name)) found[name] = values.join(' | ')
  }
  return found
}

describe('b3 single', () => {
  const one = (value: string | string[], sampling = 0) => traced(['b3single'], { b3: value }, sampling).b3
  const cases: [string, string, string][] = [
    ['sampled', `${TRACE}-${PARENT}-1`, `${TRACE}-${NEW_SPAN}-1-${PARENT}`],
    ['not sampled', `${TRACE}-${PARENT}-0`, `${TRACE}-${NEW_SPAN}-0-${PARENT}`],
    ['debug', `${TRACE}-${PARENT}-d`, `${TRACE}-${NEW_SPAN}-d-${PARENT}`],
    ['with a parent', `${TRACE}-${PARENT}-1-05e3ac9a4f6e3b90`, `${TRACE}-${NEW_SPAN}-1-${PARENT}`],
    ['64 bits', `${NARROW}-${PARENT}-1`, `${NARROW}-${NEW_SPAN}-1-${PARENT}`],
    ['only sampled', '1', `${NEW_TRACE}-${NEW_SPAN}-1`],
    ['only debug', 'd', `${NEW_TRACE}-${NEW_SPAN}-d`],
    ['only not sampled', '0', `${NEW_TRACE}-${NEW_SPAN}-0`],
  ]
  for (const [name, value, expected] of cases) test(name, () => assert.equal(one(value), expected))

  test('leaves the decision open', () => {
    assert.equal(one(`${TRACE}-${PARENT}`, 0), `${TRACE}-${NEW_SPAN}-0-${PARENT}`)
    assert.equal(one(`${TRACE}-${PARENT}`, 100), `${TRACE}-${NEW_SPAN}-1-${PARENT}`)
  })

  test('a decision holds against sampling', () => {
    assert.equal(one('0', 100), `${NEW_TRACE}-${NEW_SPAN}-0`)
    assert.equal(one(`${TRACE}-${PARENT}-0`, 100), `${TRACE}-${NEW_SPAN}-0-${PARENT}`)
  })

  const invalid = [
    '',
    '2',
    'D',
    TRACE,
    `${TRACE}-`,
    `${TRACE}-${PARENT}-`,
    `${TRACE}-${PARENT}-x`,
    `${TRACE}-${PARENT}-11`,
    `${TRACE}-${PARENT}-1-`,
    `${TRACE}-${PARENT}-1-${PARENT}0`,
    `${TRACE}-${PARENT}-1-${'0'.repeat(16)}`,
    `${TRACE}-${PARENT}x1`,
    `${TRACE.toUpperCase()}-${PARENT}-1`,
    `${'0'.repeat(32)}-${PARENT}-1`,
    `${TRACE}-${'0'.repeat(16)}-1`,
    `${TRACE.slice(1)}-${PARENT}-1`,
    `${TRACE}-${PARENT.slice(1)}-1`,
    `${NARROW}-${PARENT}-1-`,
  ]
  for (const value of invalid) {
    test(`${JSON.stringify(value)} begins a trace`, () =>
      assert.equal(one(value), `${NEW_TRACE}-${NEW_SPAN}-0`))
  }

  test('two fields begin a trace', () => {
    const value = `${TRACE}-${PARENT}-1`
    assert.equal(one([value, value]), `${NEW_TRACE}-${NEW_SPAN}-0`)
  })
})

describe('b3 in several fields', () => {
  const many = (fields: Fields, sampling = 0) => traced(['b3'], fields, sampling)
  const ids = { 'x-b3-traceid': TRACE, 'x-b3-spanid': PARENT }
  const continued = { 'x-b3-traceid': TRACE, 'x-b3-spanid': NEW_SPAN, 'x-b3-parentspanid': PARENT }
  const begun = { 'x-b3-traceid': NEW_TRACE, 'x-b3-spanid': NEW_SPAN }

  test('is continued', () => {
    assert.deepEqual(many({ ...ids, 'x-b3-sampled': '1' }), { ...continued, 'x-b3-sampled': '1' })
    assert.deepEqual(many({ ...ids, 'x-b3-sampled': '0', 'x-b3-parentspanid': NARROW }, 100), {
      ...continued,
      'x-b3-sampled': '0',
    })
    assert.deepEqual(many({ ...ids, 'x-b3-sampled': 'true' }), { ...continued, 'x-b3-sampled': '1' })
    assert.deepEqual(many({ ...ids, 'x-b3-sampled': 'False' }, 100), { ...continued, 'x-b3-sampled': '0' })
    assert.deepEqual(many(ids, 100), { ...continued, 'x-b3-sampled': '1' })
  })

  test('debug implies sampled, and stands alone', () => {
    assert.deepEqual(many({ ...ids, 'x-b3-flags': '1', 'x-b3-sampled': '0' }), {
      ...continued,
      'x-b3-flags': '1',
    })
    assert.deepEqual(many({ ...ids, 'x-b3-flags': '0' }), { ...continued, 'x-b3-sampled': '0' })
    assert.deepEqual(many({ ...ids, 'x-b3-sampled': 'd' }), { ...continued, 'x-b3-sampled': '1' })
  })

  test('keeps a 64-bit trace id as it is', () => {
    assert.deepEqual(many({ ...ids, 'x-b3-traceid': NARROW, 'x-b3-sampled': '1' }), {
      ...continued,
      'x-b3-traceid': NARROW,
      'x-b3-sampled': '1',
    })
  })

  test('a decision without ids holds for the new trace', () => {
    assert.deepEqual(many({ 'x-b3-sampled': '0' }, 100), { ...begun, 'x-b3-sampled': '0' })
    assert.deepEqual(many({ 'x-b3-sampled': '1' }), { ...begun, 'x-b3-sampled': '1' })
    assert.deepEqual(many({ 'x-b3-flags': '1' }), { ...begun, 'x-b3-flags': '1' })
  })

  const invalid: Fields[] = [
    { 'x-b3-traceid': TRACE },
    { 'x-b3-spanid': PARENT },
    { ...ids, 'x-b3-traceid': [TRACE, TRACE] },
    { ...ids, 'x-b3-spanid': [PARENT, PARENT] },
    { ...ids, 'x-b3-traceid': TRACE.toUpperCase() },
    { ...ids, 'x-b3-traceid': `${TRACE}0` },
    { ...ids, 'x-b3-traceid': '0'.repeat(32) },
    { ...ids, 'x-b3-spanid': '0'.repeat(16) },
    { ...ids, 'x-b3-spanid': 'g'.repeat(16) },
  ]
  for (const fields of invalid) {
    test(`${JSON.stringify(fields)} begins a trace`, () =>
      assert.deepEqual(many(fields), { ...begun, 'x-b3-sampled': '0' }))
  }

  test('the single field wins, and is not left beside', () => {
    const single = `${'a'.repeat(32)}-${'b'.repeat(16)}-1`
    assert.deepEqual(many({ ...ids, b3: single }), {
      'x-b3-traceid': 'a'.repeat(32),
      'x-b3-spanid': NEW_SPAN,
      'x-b3-parentspanid': 'b'.repeat(16),
      'x-b3-sampled': '1',
    })
  })
})

describe('several forms', () => {
  const all: Form[] = ['w3c', 'b3', 'b3single']
  const traceparent = `00-${'c'.repeat(32)}-${'d'.repeat(16)}-00`

  test('all are written from one trace', () => {
    assert.deepEqual(traced(all, { b3: `${TRACE}-${PARENT}-1` }), {
      traceparent: `00-${TRACE}-${NEW_SPAN}-01`,
      b3: `${TRACE}-${NEW_SPAN}-1-${PARENT}`,
      'x-b3-traceid': TRACE,
      'x-b3-spanid': NEW_SPAN,
      'x-b3-parentspanid': PARENT,
      'x-b3-sampled': '1',
    })
    const { traceparent: narrow } = traced(all, { b3: `${NARROW}-${PARENT}-1` })
    assert.equal(narrow, `00-${'0'.repeat(16)}${NARROW}-${NEW_SPAN}-01`)
  })

  test('W3C wins', () => {
    const found = traced(all, { b3: `${TRACE}-${PARENT}-1`, traceparent, tracestate: 'a=1' }, 100)
    assert.equal(found.traceparent, `00-${'c'.repeat(32)}-${NEW_SPAN}-00`)
    assert.equal(found.tracestate, 'a=1')
    assert.equal(found.b3, `${'c'.repeat(32)}-${NEW_SPAN}-0-${'d'.repeat(16)}`)
  })

  test('an invalid traceparent leaves the word to B3, without its tracestate', () => {
    const found = traced(all, { b3: `${TRACE}-${PARENT}-1`, traceparent: 'x', tracestate: 'a=1' })
    assert.equal(found.traceparent, `00-${TRACE}-${NEW_SPAN}-01`)
    assert.equal(found.tracestate, undefined)
  })

  test('fields of a form that is not asked for pass unchanged', () => {
    const b3 = { b3: '0', 'x-b3-traceid': 'x', 'x-b3-sampled': '1' }
    assert.deepEqual(traced(['w3c'], b3), { ...b3, traceparent: `00-${NEW_TRACE}-${NEW_SPAN}-02` })
    const w3c = { traceparent, tracestate: 'whatever' }
    assert.deepEqual(traced(['b3single'], w3c), { ...w3c, b3: `${NEW_TRACE}-${NEW_SPAN}-0` })
  })
})
