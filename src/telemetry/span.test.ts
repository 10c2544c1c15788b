import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { SpanFacts } from '../dataplane/span-facts.ts'
import { DIRECTION_INBOUND, DIRECTION_OUTBOUND } from '../sidecar/layout/record.ts'
import { SpanRecord } from './span.ts'

const TRACE = '0af7651916cd43dd8448eb211c80319c'
const facts = (changes: Partial<SpanFacts> = {}): SpanFacts => ({
  collector: 'http://127.0.0.1:4318/v1/traces',
  trace: `${TRACE}b7ad6b716920333100f067aa0ba902b7`,
  direction: DIRECTION_INBOUND,
  function: 'shop/cart',
  head: Buffer.from('GET /carts/42?all=1 HTTP/1.1\r\nhost: cart\r\n\r\n'),
  requestId: '191a1b1c-1d1e-4f20-a122-232425262728',
  startMs: 1000.5,
  durationMs: 2,
  status: 200,
  ...changes,
})

test('a span is taken out as it was put in', () => {
  const record = new SpanRecord(4)
  record.add(facts())
  record.add(
    facts({
      direction: DIRECTION_OUTBOUND,
      trace: `${TRACE}b7ad6b7169203331${'0'.repeat(16)}`,
      head: null,
      requestId: '',
    }),
  )
  const [server, client] = record.take()
  assert.deepEqual(server, {
    traceId: TRACE,
    spanId: 'b7ad6b7169203331',
    parentSpanId: '00f067aa0ba902b7',
    kind: 'server',
    function: 'shop/cart',
    method: 'GET',
    path: '/carts/42',
    requestId: '191a1b1c-1d1e-4f20-a122-232425262728',
    startMs: 1000.5,
    endMs: 1002.5,
    status: 200,
  })
  assert.deepEqual(
    [client!.kind, client!.parentSpanId, client!.method, client!.path, client!.requestId],
    ['client', null, '', '', ''],
  )
  assert.deepEqual([record.size, record.take()], [0, []])
})

test('a long path is cut and spills into nothing else', () => {
  const record = new SpanRecord(2)
  record.add(facts({ head: Buffer.from(`GET /${'x'.repeat(5000)} HTTP/1.1\r\n\r\n`) }))
  record.add(facts())
  const [long, next] = record.take()
  assert.equal(long!.path, `/${'x'.repeat(255)}`)
  assert.equal(next!.traceId, TRACE)
})

test('a record is bounded, and counts what it drops; a span without ids is none', () => {
  const record = new SpanRecord(1)
  record.add(facts({ trace: '' }))
  record.add(facts())
  record.add(facts())
  assert.deepEqual(record.counters, { recorded: 1, dropped: 1 })
})
