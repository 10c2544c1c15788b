import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { BlobCache } from './blob-cache.ts'
import { contentHash, fromWire, toWire } from './wire-value.ts'

const leaf = fc.oneof(
  fc.string(),
  fc.integer(),
  fc.double({ noNaN: true, noDefaultInfinity: true }).filter((value) => !Object.is(value, -0)),
  fc.boolean(),
  fc.constant(null),
  fc.uint8Array({ maxLength: 600 }),
)
const key = fc.string().filter((name) => !name.startsWith('$') && name !== '__proto__')
const { message } = fc.letrec((tie) => ({
  message: fc.oneof({ maxDepth: 5 }, leaf, fc.array(tie('message')), fc.dictionary(key, tie('message'))),
}))

const comparable = (value: unknown): unknown => {
  if (value instanceof Uint8Array) return `bytes ${Buffer.from(value).toString('hex')}`
  if (Array.isArray(value)) return value.map(comparable)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, comparable(item)]))
}

test('a message comes out as it went in, and no long content is in its text', () => {
  fc.assert(
    fc.property(message, (value) => {
      const blobs = new Map<string, Uint8Array>()
      const text = toWire(value, (content) => {
        const hash = contentHash(content)
        blobs.set(hash, content)
        return hash
      })
      assert.deepEqual(comparable(fromWire(text, (hash) => blobs.get(hash))), comparable(value))
    }),
  )
})

test('a reference to content that is not here, and a bottomless text, are refused', () => {
  assert.throws(() => fromWire('{"a":{"$blob":"00"}}', () => undefined), /is not here/)
  assert.throws(() => fromWire('['.repeat(100) + ']'.repeat(100), () => undefined), /too deep/)
  assert.throws(() => fromWire('{', () => undefined))
})

test('a cache keeps what was used last within its bound', () => {
  const cache = new BlobCache(100)
  assert.deepEqual(cache.add('a', Buffer.alloc(40)), [])
  cache.add('b', Buffer.alloc(40))
  cache.get('a')
  assert.deepEqual(cache.add('c', Buffer.alloc(40)), ['b'])
  assert.deepEqual(cache.hashes(), ['a', 'c'])
  assert.deepEqual(cache.add('c', Buffer.alloc(40)), [])
  assert.deepEqual(cache.add('large', Buffer.alloc(500)), ['a', 'c'])
})
