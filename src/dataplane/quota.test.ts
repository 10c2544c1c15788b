import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { quotaLimit } from '../state/quota-testing.ts'
import { readQuotaKey } from './quota.ts'

const LIMITS = [quotaLimit({ id: 'a' }), quotaLimit({ id: 'b' })]

function keyOf(...parts: [index: number, descriptor: string][]): Buffer {
  const blocks = parts.map(([index, descriptor]) => {
    const bytes = Buffer.alloc(8 + ((descriptor.length + 3) & ~3))
    bytes.writeUInt32LE(index, 0)
    bytes.writeUInt32LE(descriptor.length, 4)
    bytes.write(descriptor, 8, 'latin1')
    return bytes
  })
  const count = Buffer.alloc(4)
  count.writeUInt32LE(parts.length)
  return Buffer.concat([count, ...blocks])
}

test('a key names limits and the descriptors of their counters', () => {
  const claims = readQuotaKey(keyOf([0, 'one'], [1, '\xff\x00four']), LIMITS)
  assert.deepEqual(
    claims.map(({ limit, descriptor }) => [limit.id, descriptor]),
    [
      ['a', 'one'],
      ['b', '\xff\x00four'],
    ],
  )
})

test('a key that a sidecar forged is refused', () => {
  const good = keyOf([0, 'one'], [1, 'two'])
  const rows: [what: string, key: Buffer][] = [
    ['nothing', Buffer.alloc(0)],
    ['no limits', keyOf()],
    ['a limit that is not there', keyOf([2, 'x'])],
    ['one limit twice, by which it would be taken from twice', keyOf([0, 'x'], [0, 'y'])],
    ['limits out of order', keyOf([1, 'x'], [0, 'y'])],
    ['bytes behind it', Buffer.concat([good, Buffer.alloc(4)])],
    ['a cut', good.subarray(0, good.length - 4)],
    ['a cut inside a header', good.subarray(0, 10)],
    ['a length beyond the end', Buffer.from([1, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff])],
    ['a count beyond all bounds', Buffer.from([0xff, 0xff, 0xff, 0xff])],
  ]
  for (const [what, key] of rows) assert.throws(() => readQuotaKey(key, LIMITS), /a quota key/, what)
})

test('any other bytes are refused or name limits in order', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), fc.nat(3), (bytes, count) => {
      const key = Buffer.concat([Buffer.from([count, 0, 0, 0]), bytes])
      try {
        const claims = readQuotaKey(key, LIMITS)
        assert.ok(claims.length === count && count <= 2)
      } catch (error) {
        assert.match((error as Error).message, /a quota key/)
      }
    }),
    { numRuns: 2_000 },
  )
})
