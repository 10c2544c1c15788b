import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Span, SpanRecord, spanIds } from './span.ts'

const trace = '0af7651916cd43dd8448eb211c80319c'
const span: Span = {
  traceId: trace,
  spanId: 'b7ad6b7169203331',
  parentSpanId: null,
  kind: 'server',
  function: 'shop/cart',
  name: 'GET',
  startMs: 1,
  endMs: 2,
  status: 200,
  attributes: {},
}

test("ids are read from a sidecar's digits", () => {
  assert.deepEqual(spanIds(`${trace}b7ad6b716920333100f067aa0ba902b7`), {
    traceId: trace,
    spanId: 'b7ad6b7169203331',
    parentSpanId: '00f067aa0ba902b7',
  })
  assert.equal(spanIds(`${trace}b7ad6b7169203331${'0'.repeat(16)}`)!.parentSpanId, null)
  for (const wrong of ['', trace, `${trace}b7ad6b716920333100f067aa0ba902b`, 'g'.repeat(64)])
    assert.equal(spanIds(wrong), null)
})

test('a record is bounded, and counts what it drops', () => {
  const record = new SpanRecord(2)
  for (const name of ['a', 'b', 'c']) record.add({ ...span, name })
  assert.deepEqual(record.counters, { recorded: 2, dropped: 1 })
  assert.equal(record.size, 2)
  assert.deepEqual(
    record.take().map((one) => one.name),
    ['a', 'b'],
  )
  assert.equal(record.size, 0)
  record.add({ ...span, name: 'd' })
  assert.deepEqual(
    record.take().map((one) => one.name),
    ['d'],
  )
})
