// Properties of the real guest's reading of heads, over generated messages.

import assert from 'node:assert/strict'
import { isIPv6 } from 'node:net'
import { before, test } from 'node:test'
import fc from 'fast-check'
import type { Sidecars } from '../src/dataplane/sidecar.ts'
import { FIELD_NAMES } from '../src/sidecar/layout/field-names.ts'
import { DIRECTION_INBOUND, DIRECTION_INGRESS, DIRECTION_OUTBOUND } from '../src/sidecar/layout/record.ts'
import { factsOf, NOW, openPolicy, RANDOM, realSidecars } from './sidecar-phases.ts'
import { readStrictHead, valuesOf } from './strict-head.ts'

const RUNS = { numRuns: 1000, seed: 20261124 }
const policy = openPolicy()

let sidecars: Sidecars
before(async () => {
  sidecars = await realSidecars()
  sidecars.maxHeadBytes = 65_536
})

function open(bytes: Buffer, direction = DIRECTION_INGRESS, changes = {}) {
  return sidecars.open(bytes, 0, bytes.length, factsOf(direction, changes), NOW, RANDOM)
}

/** The head that is forwarded, as lines; throws where it is not forwarded. */
function forward(bytes: Buffer, by = policy, direction = DIRECTION_INGRESS, changes = {}) {
  const opened = open(bytes, direction, changes)
  if (opened.kind !== 'opened') throw new Error(JSON.stringify(opened))
  const decision = sidecars.decide(by, 'shop/cart', 8080)
  if (decision.kind !== 'forward') throw new Error(JSON.stringify(decision))
  return { decision, head: readStrictHead(decision.head, 'request') }
}

const fieldName = fc
  .stringMatching(/^[A-Za-z][A-Za-z0-9!#$%&'*+.^`|~-]{0,30}$/)
  .filter((name) => !FIELD_NAMES.includes(name.toLowerCase()) && !/^x-(mayfly|envoy)-/i.test(name))
const fieldValue = fc.stringMatching(
  /^([\x21-\x7e\x80-\xff]([\x20-\x7e\x80-\xff]{0,60}[\x21-\x7e\x80-\xff])?)?$/,
)
const fields = fc.array(fc.tuple(fieldName, fieldValue), { maxLength: 40 })
const target = fc.stringMatching(/^\/[a-zA-Z0-9_~=;:@!$&'()*+,-]{0,20}(\?[\x21\x22\x24-\x7e]{0,40})?$/)
const method = fc.constantFrom('GET', 'PUT', 'POST', 'DELETE', 'PATCH', 'PURGE')
const framing = fc.constantFrom('', 'Content-Length: 17\r\n', 'Transfer-Encoding: chunked\r\n')

const message = fc
  .tuple(method, target, fields, framing, fc.constantFrom('', '\r\n'))
  .map(([verb, path, pairs, body, before]) => ({
    verb,
    path,
    pairs,
    body,
    bytes: Buffer.from(
      `${before}${verb} ${path} HTTP/1.1\r\nHost: a.shop\r\n${body}${pairs.map(([n, v]) => `${n}: ${v}\r\n`).join('')}\r\n`,
      'latin1',
    ),
  }))

test('a valid message goes on as it is, but for what the mesh adds', () => {
  const property = fc.property(message, ({ verb, path, pairs, body, bytes }) => {
    const { decision, head } = forward(bytes)
    assert.equal(head.start, `${verb} ${path} HTTP/1.1`)
    assert.equal(decision.headLength, bytes.length)
    const own = /^(host|content-length|transfer-encoding|x-forwarded-for|x-forwarded-proto|x-request-id)$/
    assert.deepEqual(
      head.fields.filter(([name]) => !own.test(name)),
      pairs.map(([name, value]) => [name.toLowerCase(), value]),
    )
    const expected = body === '' ? 'none' : body.startsWith('C') ? 'length' : 'chunked'
    assert.equal(head.framing.kind, expected)
  })
  fc.assert(property, RUNS)
})

test('a message that is not whole is incomplete, and what follows it changes nothing', () => {
  const property = fc.property(
    message,
    fc.double({ min: 0, max: 0.999, noNaN: true }),
    fc.uint8Array(),
    (one, at, more) => {
      const cut = Math.floor(at * one.bytes.length)
      assert.equal(open(one.bytes.subarray(0, cut)).kind, 'incomplete')
      const alone = forward(one.bytes).decision
      const followed = forward(Buffer.concat([one.bytes, more])).decision
      assert.deepEqual(followed, alone)
    },
  )
  fc.assert(property, RUNS)
})

test("a caller's sidecar and the callee's forward the same message", () => {
  const property = fc.property(message, ({ bytes }) => {
    const outbound = forward(bytes, policy, DIRECTION_OUTBOUND)
    const inbound = forward(outbound.decision.head, policy, DIRECTION_INBOUND)
    assert.equal(inbound.head.start, outbound.head.start)
    assert.equal(inbound.decision.bodyLength, outbound.decision.bodyLength)
    assert.equal(inbound.decision.body, outbound.decision.sendBody)
    assert.equal(inbound.decision.requestId, outbound.decision.requestId)
    const withoutMesh = (one: typeof inbound) =>
      one.head.fields.filter(([name]) => name !== 'x-forwarded-client-cert')
    assert.deepEqual(withoutMesh(inbound).sort(), withoutMesh(outbound).sort())
    assert.equal(valuesOf(inbound.head, 'x-forwarded-client-cert').length, 1)
  })
  fc.assert(property, RUNS)
})

/** Path normalisation once more, segment by segment; null where the path is refused. */
function normalise(path: string, form: string): string | null {
  if (form === 'NONE') return path
  if (/%(?![0-9a-f]{2})/i.test(path) || /%00/.test(path)) return null
  let text = path
  if (form === 'DECODE_AND_MERGE_SLASHES') text = text.replace(/%2f|%5c/gi, '/')
  text = text.replace(/%([0-9a-f]{2})/gi, (whole, hex: string) => {
    const character = String.fromCharCode(Number.parseInt(hex, 16))
    return /[A-Za-z0-9._~-]/.test(character) ? character : whole
  })
  const segments = text.replaceAll('\\', '/').split('/').slice(1)
  if (segments.some((segment) => /^\.\.?;/.test(segment))) return null
  const kept: string[] = []
  for (const [i, segment] of segments.entries()) {
    const isLast = i === segments.length - 1
    if (segment === '..') {
      if (kept.length === 0) return null
      kept.pop()
    } else if (segment !== '.') kept.push(segment)
    if (isLast && (segment === '.' || segment === '..')) kept.push('')
  }
  const joined = `/${kept.join('/')}`
  return form === 'BASE' ? joined : joined.replace(/\/{2,}/g, '/')
}

const NORMALIZATIONS = ['NONE', 'BASE', 'MERGE_SLASHES', 'DECODE_AND_MERGE_SLASHES']
const pathPiece = fc.constantFrom(
  ...[
    '/',
    '/',
    '//',
    '.',
    '..',
    '/.',
    '/..',
    '/../',
    '/./',
    '\\',
    'a',
    'b',
    'abc',
    '%',
    '%2',
    '%2e',
    '%2E',
    '%2f',
    '%2F',
  ],
  ...['%5c', '%5C', '%00', '%41', '%7e', '%25', '%zz', ';', '=', '~', '%e9', '%20', ':', '%2e%2e', '%252e'],
)

test('paths are normalised as a second implementation does it, and once is enough', () => {
  const policies = NORMALIZATIONS.map((normalization) => openPolicy({ pathNormalization: { normalization } }))
  const property = fc.property(
    fc.array(pathPiece, { maxLength: 12 }),
    fc.nat({ max: 3 }),
    (pieces, which) => {
      const path = `/${pieces.join('')}`
      const expected = normalise(path, NORMALIZATIONS[which]!)
      const request = (text: string) => Buffer.from(`GET ${text}?q=/../%zz HTTP/1.1\r\nHost: a\r\n\r\n`)
      assert.equal(open(request(path)).kind, 'opened')
      const decision = sidecars.decide(policies[which]!, 'shop/cart', 8080)
      if (expected === null) {
        assert.ok(decision.kind === 'denied' && decision.denial.status === 400, `${path} is let through`)
        return
      }
      assert.ok(decision.kind === 'forward', `${path} is refused`)
      const [, forwarded = ''] = decision.head.toString('latin1').split(' ')
      assert.equal(forwarded, `${expected}?q=/../%zz`)
    },
  )
  fc.assert(property, { ...RUNS, numRuns: 5000 })
})

test("a client's address is written as browsers write it", () => {
  const byte = fc.oneof(fc.constant(0), fc.nat({ max: 255 }))
  const property = fc.property(fc.array(byte, { minLength: 16, maxLength: 16 }), (bytes) => {
    const groups = Array.from({ length: 8 }, (_, i) =>
      ((bytes[2 * i]! << 8) | bytes[2 * i + 1]!).toString(16),
    )
    const isMapped = /^(0:){5}ffff:/.test(groups.join(':'))
    const expected = isMapped
      ? bytes.slice(12).join('.')
      : new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1)
    const sourceIp = Uint8Array.from(bytes)
    const { head } = forward(Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n\r\n'), policy, DIRECTION_INGRESS, {
      sourceIp,
    })
    assert.deepEqual(valuesOf(head, 'x-forwarded-for'), [expected])
  })
  fc.assert(property, RUNS)
})

test('an IPv6 host is accepted exactly if Node thinks it one', () => {
  const piece = fc.constantFrom(
    '::',
    ':',
    '0',
    '1',
    'ffff',
    '12345',
    'g',
    '1.2.3.4',
    '255.255.255.255',
    '1.2.3',
    '256.1.1.1',
    '01.1.1.1',
  )
  const property = fc.property(
    fc.oneof(
      fc.ipV6(),
      fc.array(piece, { maxLength: 12 }).map((parts) => parts.join('')),
    ),
    (text) => {
      const opened = open(Buffer.from(`GET / HTTP/1.1\r\nHost: [${text}]:80\r\n\r\n`))
      assert.equal(opened.kind === 'opened', isIPv6(text), text)
    },
  )
  fc.assert(property, { ...RUNS, numRuns: 3000 })
})

test('no request leaves a trace: the next one is judged as if it were the first', () => {
  const first = Buffer.from('GET /a/../b HTTP/1.1\r\nHost: a.shop\r\nAccept: */*\r\n\r\n')
  const alone = forward(first).decision
  const property = fc.property(
    fc.oneof(
      fc.uint8Array({ maxLength: 300 }),
      message.map(({ bytes }) => bytes),
    ),
    (other) => {
      const bytes = Buffer.from(other)
      if (open(bytes).kind === 'opened') sidecars.decide(policy, 'shop/cart', 8080)
      sidecars.respond(policy, alone.context, bytes, 0, bytes.length, NOW, '', 0)
      assert.deepEqual(forward(first).decision, alone)
    },
  )
  fc.assert(property, RUNS)
})

test('a head of the largest size passes, outwards and to the callee; one byte more is 431', () => {
  const start = 'GET / HTTP/1.1\r\nHost: a\r\nX: '
  for (const size of [8_000, 12_000, 16_384, 30_000, 65_536]) {
    sidecars.maxHeadBytes = size
    const head = (length: number) => Buffer.from(`${start}${'x'.repeat(length - start.length - 4)}\r\n\r\n`)
    const outbound = forward(head(size), policy, DIRECTION_OUTBOUND)
    forward(outbound.decision.head, policy, DIRECTION_INBOUND)
    const refused = open(head(size + 1))
    assert.ok(refused.kind === 'denied' && refused.denial.status === 431)
  }
  sidecars.maxHeadBytes = 65_536
})

test('a head with the most fields passes at the callee too', () => {
  const lines = Array.from({ length: 127 }, (_, i) => `X-${i}: y\r\n`).join('')
  const outbound = forward(
    Buffer.from(`GET / HTTP/1.1\r\nHost: a\r\n${lines}\r\n`),
    policy,
    DIRECTION_OUTBOUND,
  )
  assert.ok(forward(outbound.decision.head, policy, DIRECTION_INBOUND).head.fields.length > 128)
})

test('a large policy is judged in the large memory, to the same end', () => {
  // Behind the sections nothing is read, so padding makes the policy only larger.
  for (const size of [20_000, 60_000, 200_000, 900_000]) {
    const large = Buffer.alloc(size)
    policy.copy(large)
    large.writeUInt32LE(size, 4)
    const bytes = Buffer.from('GET /x HTTP/1.1\r\nHost: a\r\n\r\n')
    assert.deepEqual(forward(bytes, large).decision, forward(bytes).decision)
  }
  open(Buffer.from('GET /x HTTP/1.1\r\nHost: a\r\n\r\n'))
  const tooLarge = sidecars.decide(Buffer.alloc(2_000_000), 'shop/cart', 8080)
  assert.ok(tooLarge.kind === 'failed' && /too large/.test(tooLarge.reason))
})

test('a policy that is none denies with 500', () => {
  for (const broken of [
    Buffer.alloc(0),
    Buffer.alloc(200),
    policy.subarray(0, policy.length - 8),
    Buffer.alloc(10, 255),
  ]) {
    open(Buffer.from('GET /x HTTP/1.1\r\nHost: a\r\n\r\n'))
    const decision = sidecars.decide(broken, 'shop/cart', 8080)
    assert.ok(decision.kind === 'denied' && decision.denial.status === 500, JSON.stringify(decision))
  }
})
