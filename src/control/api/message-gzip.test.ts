import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gunzipSync } from 'node:zlib'
import fc from 'fast-check'
import { messageGzip } from './message-gzip.ts'

test('what is compressed is what any gzip reads, short or long', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.uint8Array({ maxLength: 20_000 }),
      fc.integer({ min: 1, max: 8 }),
      async (bytes, times) => {
        const message = new Uint8Array(Buffer.concat(Array.from({ length: times }, () => bytes)))
        const compressed = await messageGzip.compress(message)
        assert.deepEqual(new Uint8Array(gunzipSync(compressed)), message)
        assert.deepEqual(new Uint8Array(await messageGzip.decompress(compressed, 1_000_000)), message)
      },
    ),
    { numRuns: 50 },
  )
})

test('a message that becomes longer than is allowed is refused', async () => {
  const compressed = await messageGzip.compress(new Uint8Array(10_000))
  await assert.rejects(messageGzip.decompress(compressed, 9_999))
})
