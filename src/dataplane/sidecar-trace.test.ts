import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import {
  DIRECTION_INBOUND,
  DIRECTION_INGRESS,
  DIRECTION_OUTBOUND,
  OUT_FLAG_SAMPLED,
} from '../sidecar/layout/record.ts'
import {
  decide,
  forwardedFields,
  policyOf,
  RANDOM,
  type RequestFacts,
  telemetry,
} from './telemetry-testing.ts'

const TRACE = '12345678901234567890123456789012'
const PARENT = '1234567890123456'
const NEW_TRACE = '000102030405060708090a0b0c0d0e0f'
const NEW_SPAN = '1011121314151617'

const sampling = (percentage: number) => ({
  defaultConfig: {
    gatewayTopology: { numTrustedProxies: 0 },
    tracing: { sampling: percentage, customTags: {} },
  } as never,
})
const never = policyOf(sampling(0))
const always = policyOf(sampling(100))

function forward(policy: Buffer, fields: readonly (readonly [string, string])[], facts: RequestFacts = {}) {
  const lines = fields.map(([name, value]) => `${name}: ${value}\r\n`).join('')
  return decide(policy, `GET /a HTTP/1.1\r\nhost: cart.shop.localhost\r\n${lines}\r\n`, facts)
}

function traceFields(policy: Buffer, fields: readonly (readonly [string, string])[], facts?: RequestFacts) {
  const all = forwardedFields(forward(policy, fields, facts))
  return { traceparent: all.get('traceparent') ?? [], tracestate: all.get('tracestate') ?? [], all }
}

describe('traceparent', () => {
  const continued = (flags: string) => `00-${TRACE}-${NEW_SPAN}-${flags}`
  const begun = `00-${NEW_TRACE}-${NEW_SPAN}-02`
  const valid = `00-${TRACE}-${PARENT}-01`

  test('without one a trace begins, with the random flag of Level 2', () => {
    assert.deepEqual(traceFields(never, []).traceparent, [begun])
  })

  // The cases of the specification's own test suite: the field's value, and the flags of a trace that is continued.
  const cases: [string, string, string | null][] = [
    ['sampled', valid, '01'],
    ['not sampled', `00-${TRACE}-${PARENT}-00`, '00'],
    ['the random flag goes on', `00-${TRACE}-${PARENT}-03`, '03'],
    ['unknown flags do not', `00-${TRACE}-${PARENT}-ff`, '03'],
    ['version 00 with a trailing dot', `${valid}.`, null],
    ['version 00 with more', `${valid}-what-the-future-will-be-like`, null],
    ['version cc', `cc-${TRACE}-${PARENT}-01`, '01'],
    ['version cc with more', `cc-${TRACE}-${PARENT}-01-what-the-future-will-be-like`, '01'],
    ['version cc with more but no dash', `cc-${TRACE}-${PARENT}-01.what-the-future-will-be-like`, null],
    ['version ff', `ff-${TRACE}-${PARENT}-01`, null],
    ['version .0', `.0-${TRACE}-${PARENT}-01`, null],
    ['version 0.', `0.-${TRACE}-${PARENT}-01`, null],
    ['version 000', `000-${TRACE}-${PARENT}-01`, null],
    ['version 0000', `0000-${TRACE}-${PARENT}-01`, null],
    ['version 0', `0-${TRACE}-${PARENT}-01`, null],
    ['version in upper case', `CC-${TRACE}-${PARENT}-01`, null],
    ['trace id zero', `00-${'0'.repeat(32)}-${PARENT}-01`, null],
    ['trace id with a dot first', `00-.2345678901234567890123456789012-${PARENT}-01`, null],
    ['trace id with a dot last', `00-1234567890123456789012345678901.-${PARENT}-01`, null],
    ['trace id too long', `00-${TRACE}3-${PARENT}-01`, null],
    ['trace id too short', `00-${TRACE.slice(1)}-${PARENT}-01`, null],
    ['trace id in upper case', `00-ABCDEF78901234567890123456789012-${PARENT}-01`, null],
    ['parent id zero', `00-${TRACE}-0000000000000000-01`, null],
    ['parent id with a dot first', `00-${TRACE}-.234567890123456-01`, null],
    ['parent id with a dot last', `00-${TRACE}-123456789012345.-01`, null],
    ['parent id too long', `00-${TRACE}-${PARENT}7-01`, null],
    ['parent id too short', `00-${TRACE}-${PARENT.slice(1)}-01`, null],
    ['flags .0', `00-${TRACE}-${PARENT}-.0`, null],
    ['flags 0.', `00-${TRACE}-${PARENT}-0.`, null],
    ['flags 001', `00-${TRACE}-${PARENT}-001`, null],
    ['flags 1', `00-${TRACE}-${PARENT}-1`, null],
    ['flags in upper case', `00-${TRACE}-${PARENT}-0A`, null],
    ['white space before', ` \t${valid}`, '01'],
    ['white space behind', `${valid} \t`, '01'],
    ['white space inside', `00-${TRACE} -${PARENT}-01`, null],
    ['a byte outside ASCII', `00-${TRACE.slice(1)}\xb2-${PARENT}-01`, null],
    ['empty', '', null],
  ]
  for (const [name, value, flags] of cases) {
    test(`${name} ${flags === null ? 'begins a trace' : 'is continued'}`, () => {
      const { traceparent } = traceFields(never, [['traceparent', value]])
      assert.deepEqual(traceparent, [flags === null ? begun : continued(flags)])
    })
  }

  test('two begin a trace', () => {
    assert.deepEqual(
      traceFields(never, [
        ['traceparent', valid],
        ['traceparent', valid],
      ]).traceparent,
      [begun],
    )
  })

  test('its name has any case, and no other spelling', () => {
    for (const name of ['TraceParent', 'TrAcEpArEnT', 'TRACEPARENT']) {
      assert.deepEqual(traceFields(never, [[name, valid]]).traceparent, [continued('01')])
    }
    for (const name of ['trace-parent', 'trace.parent']) {
      assert.deepEqual(traceFields(never, [[name, valid]]).traceparent, [begun])
    }
  })

  test('random ids of zeros only are avoided', () => {
    const { traceparent } = traceFields(never, [], { random: Buffer.alloc(48) })
    assert.deepEqual(traceparent, [`00-${'1'.padStart(32, '0')}-${'1'.padStart(16, '0')}-02`])
  })

  test('any hexadecimal ids are written as they were drawn', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 48, maxLength: 48 }), (bytes) => {
        const random = Buffer.from(bytes)
        if (
          random.subarray(0, 16).every((byte) => byte === 0) ||
          random.subarray(16, 24).every((byte) => byte === 0)
        )
          return
        const { traceparent } = traceFields(never, [], { random })
        assert.deepEqual(traceparent, [
          `00-${random.toString('hex', 0, 16)}-${random.toString('hex', 16, 24)}-02`,
        ])
      }),
      { numRuns: 200 },
    )
  })

  test('any mutation of a valid one is judged as the specification does', () => {
    const byRegex =
      /^(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/
    const mutated = fc
      .tuple(fc.nat(60), fc.constantFrom('', '0', 'f', 'g', '-', 'F', '.'), fc.nat(2))
      .map(([at, put, cut]) => valid.slice(0, at) + put + valid.slice(at + cut))
    fc.assert(
      fc.property(mutated, (value) => {
        const match = byRegex.exec(value.trim())
        const isValid = match !== null && !(match[1] === '00' && match[5] !== undefined)
        const [only] = traceFields(never, [['traceparent', value]]).traceparent
        const expected = isValid ? `00-${match[2]}-${NEW_SPAN}-0${Number.parseInt(match[4]!, 16) & 3}` : begun
        assert.equal(only, expected, value)
      }),
      { numRuns: 500 },
    )
  })
})

describe('sampling', () => {
  /** The request id, whose first eight digits decide, is made of the bytes from 24 on. */
  const draw = (value: bigint) => {
    const random = Buffer.from(RANDOM)
    random.writeUInt32BE(Number(value), 24)
    return random
  }
  const isSampled = (policy: Buffer, facts: RequestFacts, fields: [string, string][] = []) => {
    const decision = forward(policy, fields, facts)
    const [traceparent] = forwardedFields(decision).get('traceparent')!
    const flag = (Number.parseInt(traceparent!.slice(-2), 16) & 1) === 1
    assert.equal(((decision as { flags: number }).flags & OUT_FLAG_SAMPLED) !== 0, flag)
    return flag
  }

  test('has a resolution of a hundredth of a per cent', () => {
    const policy = policyOf(sampling(12.34))
    assert.equal(isSampled(policy, { random: draw(1233n) }), true)
    assert.equal(isSampled(policy, { random: draw(1234n) }), false)
    assert.equal(isSampled(policy, { random: draw(9999n) }), false)
    assert.equal(isSampled(policy, { random: draw(10000n) }), true)
    assert.equal(isSampled(always, { random: draw(9999n) }), true)
    assert.equal(isSampled(never, { random: draw(0n) }), false)
  })

  test('is 1 % where nothing is said', () => {
    const policy = policyOf({})
    assert.equal(isSampled(policy, { random: draw(99n) }), true)
    assert.equal(isSampled(policy, { random: draw(100n) }), false)
  })

  test('obeys the incoming flag', () => {
    assert.equal(isSampled(always, {}, [['traceparent', `00-${TRACE}-${PARENT}-00`]]), false)
    assert.equal(isSampled(never, {}, [['traceparent', `00-${TRACE}-${PARENT}-01`]]), true)
  })

  test('is that of the nearest Telemetry, for each mode', () => {
    const root = telemetry('mayfly-system', 'mesh', { tracing: [{ randomSamplingPercentage: 0 }] as never })
    const space = telemetry('shop', 'shop', {
      tracing: [{ match: { mode: 'CLIENT' }, randomSamplingPercentage: 100 }] as never,
    })
    const own = telemetry(
      'shop',
      'cart',
      { tracing: [{ randomSamplingPercentage: 50 }] as never },
      { app: 'cart' },
    )
    const other = telemetry(
      'shop',
      'a-pay',
      { tracing: [{ randomSamplingPercentage: 3 }] as never },
      { app: 'pay' },
    )
    const at = (policy: Buffer, direction: number, value: bigint) =>
      isSampled(policy, { direction, random: draw(value) })
    const wide = policyOf(sampling(100), [root, space, other])
    assert.equal(at(wide, DIRECTION_INGRESS, 0n), false)
    assert.equal(at(wide, DIRECTION_INBOUND, 0n), false)
    assert.equal(at(wide, DIRECTION_OUTBOUND, 9999n), true)
    const near = policyOf(sampling(100), [root, space, other, own])
    assert.equal(at(near, DIRECTION_OUTBOUND, 4999n), true)
    assert.equal(at(near, DIRECTION_OUTBOUND, 5000n), false)
    assert.equal(at(near, DIRECTION_INBOUND, 4999n), true)
  })

  test('is by chance where useRequestIdForTraceSampling is off, for each mode', () => {
    const off = telemetry('shop', 'shop', {
      tracing: [
        { match: { mode: 'SERVER' }, randomSamplingPercentage: 50, useRequestIdForTraceSampling: false },
        { match: { mode: 'CLIENT' }, randomSamplingPercentage: 50 },
      ] as never,
    })
    const policy = policyOf({}, [off])
    const chance = (id: bigint, other: bigint) => {
      const random = draw(id)
      random.writeBigUInt64LE(other, 40)
      return random
    }
    const at = (direction: number, id: bigint, other: bigint) =>
      isSampled(policy, { direction, random: chance(id, other) })
    assert.equal(at(DIRECTION_INBOUND, 9_999n, 0n), true)
    assert.equal(at(DIRECTION_INBOUND, 0n, 9_999n), false)
    assert.equal(at(DIRECTION_OUTBOUND, 9_999n, 0n), false)
    assert.equal(at(DIRECTION_OUTBOUND, 0n, 9_999n), true)
  })

  test("is by the caller's request id inside the mesh, so that all sidecars of a request decide alike", () => {
    const policy = policyOf(sampling(50))
    const id = (digits: string): [string, string] => ['x-request-id', `${digits}-1d1e-4f20-a122-232425262728`]
    for (const direction of [DIRECTION_INBOUND, DIRECTION_OUTBOUND]) {
      assert.equal(isSampled(policy, { direction }, [id('00001387')]), true)
      assert.equal(isSampled(policy, { direction }, [id('00001388')]), false)
      // Envoy takes the number of all eight digits: 0xffffffff % 10000 is 7295.
      assert.equal(isSampled(policy, { direction }, [id('FFFFFFFF')]), false)
    }
  })

  test('without span reporting traces go on, and no span is recorded', () => {
    const quiet = telemetry('shop', 'shop', { tracing: [{ disableSpanReporting: true }] as never })
    const decision = forward(policyOf(sampling(100), [quiet]), [])
    assert.equal((decision as { flags: number }).flags & OUT_FLAG_SAMPLED, 0)
    assert.deepEqual(forwardedFields(decision).get('traceparent'), [`00-${NEW_TRACE}-${NEW_SPAN}-03`])
  })
})

describe('spans', () => {
  test("the host gets trace id, span id and parent's span id", () => {
    const begun = forward(always, [])
    assert.equal((begun as { trace: string }).trace, NEW_TRACE + NEW_SPAN + '0'.repeat(16))
    const continued = forward(never, [['traceparent', `00-${TRACE}-${PARENT}-01`]])
    assert.equal((continued as { trace: string }).trace, TRACE + NEW_SPAN + PARENT)
    assert.equal((forward(never, []) as { trace: string }).trace, '')
  })

  test("the callee's span is the child of the caller's", () => {
    const caller = forward(always, [], { direction: DIRECTION_OUTBOUND, random: Buffer.alloc(48, 0xaa) })
    const [traceparent] = forwardedFields(caller).get('traceparent')!
    assert.equal(traceparent, `00-${'aa'.repeat(16)}-${'aa'.repeat(8)}-03`)
    const callee = forward(always, [['traceparent', traceparent!]], { direction: DIRECTION_INBOUND })
    assert.equal((callee as { trace: string }).trace, 'aa'.repeat(16) + NEW_SPAN + 'aa'.repeat(8))
  })

  test('with tracing turned off, or no form to propagate, fields pass as they came', () => {
    const fields: [string, string][] = [
      ['traceparent', 'anything'],
      ['tracestate', 'FOO'],
      ['b3', '1'],
      ['X-B3-TraceId', 'x'],
    ]
    for (const policy of [policyOf({ enableTracing: false }), policyOf({ tracePropagation: [] })]) {
      const { all } = traceFields(policy, fields)
      for (const [name, value] of fields) assert.deepEqual(all.get(name.toLowerCase()), [value])
      assert.equal(
        (forward(policy, [['traceparent', `00-${TRACE}-${PARENT}-01`]]) as { trace: string }).trace,
        '',
      )
    }
  })
})
