import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openChildren } from './children.ts'
import { countSpans, startTraceSink } from './trace-sink.ts'

const field = (number: number, ...content: readonly Uint8Array[]) => {
  const bytes = Buffer.concat(content)
  assert.ok(bytes.length < 16_384)
  return Buffer.concat([
    Uint8Array.of((number << 3) | 2, (bytes.length & 127) | 128, bytes.length >> 7),
    bytes,
  ])
}
const span = field(2, field(1, Buffer.alloc(16, 7)), Uint8Array.of(0x39, 1, 2, 3, 4, 5, 6, 7, 8))
const request = Buffer.concat([
  field(1, field(1, Buffer.from('')), field(2, field(1, span), span, span)),
  field(1, field(2, span)),
])

test('counts spans only where spans are', () => {
  assert.equal(countSpans(request), 3)
  assert.equal(countSpans(new Uint8Array()), 0)
  assert.throws(() => countSpans(request.subarray(0, request.length - 3)), /cut short/)
})

test('takes exports over HTTP in protobuf and JSON, and refuses what is neither', async (t) => {
  const children = openChildren()
  t.after(() => children.stopAll())
  const sink = await startTraceSink(children)
  const post = async (body: string | Buffer<ArrayBuffer>, type: string) =>
    (
      await fetch(`http://127.0.0.1:${sink.httpPort}/v1/traces`, {
        method: 'POST',
        body,
        headers: { 'content-type': type },
      })
    ).status
  assert.equal(await post(request, 'application/x-protobuf'), 200)
  const spans = [{ spanId: 'a', parentSpanId: 'b' }, { spanId: 'c' }]
  assert.equal(
    await post(JSON.stringify({ resourceSpans: [{ scopeSpans: [{ spans }] }] }), 'application/json'),
    200,
  )
  assert.equal(await post(Buffer.from('\x0a\x7fshort'), 'application/x-protobuf'), 400)
  assert.deepEqual(await sink.count(), { spans: 5, exports: 2, refused: 1 })
})
