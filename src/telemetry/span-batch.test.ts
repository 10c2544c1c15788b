import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ExchangeScope } from '../dataplane/exchange-scope.ts'
import type { SpanFacts } from '../dataplane/span-facts.ts'
import { DIRECTION_INBOUND, DIRECTION_OUTBOUND, RESPONSE_FLAG_NR } from '../sidecar/layout/record.ts'
import { SpanBatch } from './span-batch.ts'

const FIGURES = {
  bytesReceived: 7,
  bytesSent: 1_000,
  durationMs: 2,
  responseMs: null,
  requestMs: null,
  responseFlags: 0,
}
const TRACE = '0af7651916cd43dd8448eb211c80319c'
const facts = (changes: Partial<SpanFacts> = {}): SpanFacts => ({
  collector: 'http://127.0.0.1:4318/v1/traces',
  trace: `${TRACE}b7ad6b716920333100f067aa0ba902b7`,
  direction: DIRECTION_INBOUND,
  function: 'shop/cart',
  head: Buffer.from('GET /carts/42?all=1 HTTP/1.1\r\nhost: cart\r\n\r\n'),
  requestId: '191a1b1c-1d1e-4f20-a122-232425262728',
  startMs: 1_764_000_000_000,
  durationMs: 2,
  status: 200,
  cluster: 'inbound|8080||',
  maxPath: 256,
  bytesReceived: 7,
  bytesSent: 1_000,
  responseFlags: 0,
  tags: [],
  scope: new ExchangeScope(FIGURES, null),
  ...changes,
})

/** A protobuf message as field number -> values: bytes, or numbers for varint and fixed fields (as hexadecimal for 64 bits). */
function decode(message: Buffer): Map<number, (Buffer | number | string)[]> {
  const fields = new Map<number, (Buffer | number | string)[]>()
  let at = 0
  const varint = () => {
    let value = 0
    for (let scale = 1; ; scale *= 128) {
      const byte = message[at++]
      assert.ok(byte !== undefined, 'the message is cut short')
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
    }
  }
  while (at < message.length) {
    const key = varint()
    const values = fields.get(key >> 3) ?? []
    fields.set(key >> 3, values)
    if ((key & 7) === 0) values.push(varint())
    else if ((key & 7) === 1) {
      values.push(String(message.readBigUInt64LE(at)))
      at += 8
    } else {
      assert.equal(key & 7, 2)
      const length = varint()
      values.push(message.subarray(at, at + length))
      at += length
      assert.ok(at <= message.length, 'the message is cut short')
    }
  }
  return fields
}

const messages = (of: Map<number, (Buffer | number | string)[]>, field: number) =>
  (of.get(field) ?? []).map((bytes) => decode(bytes as Buffer))
const text = (of: Map<number, (Buffer | number | string)[]>, field: number) =>
  String(of.get(field)?.[0] ?? '')

function attributes(of: Map<number, (Buffer | number | string)[]>, field: number): Record<string, unknown> {
  return Object.fromEntries(
    messages(of, field).map((pair) => {
      const value = decode(pair.get(2)![0] as Buffer)
      return [text(pair, 1), value.get(3)?.[0] ?? text(value, 1)]
    }),
  )
}

test('a batch is an ExportTraceServiceRequest, one ResourceSpans for each function', () => {
  const batch = new SpanBatch()
  batch.add(facts())
  batch.add(
    facts({
      function: 'shop/frontend',
      direction: DIRECTION_OUTBOUND,
      trace: `${TRACE}b7ad6b7169203331${'0'.repeat(16)}`,
    }),
  )
  batch.add(facts({ head: null, requestId: '', status: 503, cluster: '', responseFlags: RESPONSE_FLAG_NR }))
  assert.equal(batch.size, 3)
  const [cart, frontend, ...none] = messages(decode(batch.take()), 1)
  assert.deepEqual([none.length, batch.size, batch.take().length], [0, 0, 0])
  assert.deepEqual(attributes(messages(cart!, 1)[0]!, 1), { 'service.name': 'cart.shop' })
  assert.deepEqual(attributes(messages(frontend!, 1)[0]!, 1), { 'service.name': 'frontend.shop' })
  const [server, refused] = messages(messages(cart!, 2)[0]!, 2)
  const [client] = messages(messages(frontend!, 2)[0]!, 2)
  assert.deepEqual(
    [1, 2, 4].map((field) => (server!.get(field)![0] as Buffer).toString('hex')),
    [TRACE, 'b7ad6b7169203331', '00f067aa0ba902b7'],
  )
  assert.deepEqual(
    [text(server!, 5), server!.get(6), server!.get(7), server!.get(8)],
    ['GET', [2], ['1764000000000000000'], ['1764000000001999872']],
  )
  assert.deepEqual(attributes(server!, 9), {
    'http.request.method': 'GET',
    'http.method': 'GET',
    'url.path': '/carts/42',
    'http.url': 'http://cart/carts/42',
    'http.protocol': 'HTTP/1.1',
    component: 'proxy',
    'http.response.status_code': 200,
    'http.status_code': '200',
    request_size: '7',
    response_size: '1000',
    response_flags: '-',
    upstream_cluster: 'inbound|8080||',
    'upstream_cluster.name': 'inbound|8080||',
    'guid:x-request-id': '191a1b1c-1d1e-4f20-a122-232425262728',
  })
  assert.deepEqual([client!.get(6), client!.get(4)], [[3], undefined])
  assert.deepEqual(
    [text(refused!, 5), attributes(refused!, 9)],
    [
      'request',
      {
        component: 'proxy',
        'http.response.status_code': 503,
        'http.status_code': '503',
        request_size: '7',
        response_size: '1000',
        response_flags: 'NR',
        error: 'true',
      },
    ],
  )
  assert.deepEqual(messages(refused!, 15)[0]!.get(3), [2])
})

test('many spans with long paths stay whole; a path is cut at 256 bytes', () => {
  const batch = new SpanBatch()
  for (let i = 0; i < 1000; i++)
    batch.add(facts({ head: Buffer.from(`DELETE /${i}/${'x'.repeat(5000)} HTTP/1.1\r\n\r\n`) }))
  const [resource] = messages(decode(batch.take()), 1)
  const spans = messages(messages(resource!, 2)[0]!, 2)
  assert.equal(spans.length, 1000)
  spans.forEach((span, i) => {
    const path = attributes(span, 9)['url.path'] as string
    assert.equal(path.length, 256)
    assert.ok(path.startsWith(`/${i}/x`))
  })
})

test('a span without ids is none', () => {
  const batch = new SpanBatch()
  batch.add(facts({ trace: '' }))
  assert.equal(batch.size, 0)
})

test("a function's tags: literals, values of the sidecar's, their defaults; bytes that are no UTF-8 are replaced", () => {
  const value = (index: number) => ({ op: 'value', type: 'text', index }) as const
  const tags = [
    {
      name: 'fixed',
      value: { op: 'literal', type: 'text', value: '\u00c3\u00a4' } as const,
      byDefault: null,
    },
    { name: 'field', value: value(0), byDefault: null },
    { name: 'absent', value: value(1), byDefault: null },
    { name: 'by-default', value: value(1), byDefault: 'x' },
    { name: 'empty', value: value(2), byDefault: 'y' },
    { name: 'no-utf8', value: value(3), byDefault: null },
    { name: 'long', value: value(4), byDefault: null },
  ]
  const values = ['\u00c3\u00a4\u20ac'.slice(0, 2), null, '', 'a\xff\xc3', 'x'.repeat(5_000)]
  const batch = new SpanBatch()
  for (let i = 0; i < 300; i++) batch.add(facts({ tags, scope: new ExchangeScope(FIGURES, values) }))
  const [resource] = messages(decode(batch.take()), 1)
  const spans = messages(messages(resource!, 2)[0]!, 2)
  assert.equal(spans.length, 300)
  const found = attributes(spans[299]!, 9)
  assert.equal('absent' in found, false)
  assert.deepEqual(
    ['fixed', 'field', 'by-default', 'empty', 'no-utf8'].map((name) => found[name]),
    ['\u00e4', '\u00e4', 'x', 'y', 'a\ufffd\ufffd'],
  )
  assert.equal((found.long as string).length, 256)
})

test('the host is found wherever it stands in the head, and paths are cut where the collector asks for it', () => {
  const batch = new SpanBatch()
  batch.add(
    facts({ head: Buffer.from('GET /abcdef HTTP/1.1\r\naccept: x\r\nHOST:  Shop:80 \r\n\r\n'), maxPath: 4 }),
  )
  batch.add(facts({ head: Buffer.from('GET /b HTTP/1.1\r\naccept: x\r\n\r\n') }))
  const [resource] = messages(decode(batch.take()), 1)
  const [one, other] = messages(messages(resource!, 2)[0]!, 2).map((span) => attributes(span, 9))
  assert.equal(one!['http.url'], 'http://Shop:80/abc')
  assert.equal(one!['url.path'], '/abc')
  assert.equal(other!['http.url'], 'http:///b')
})
