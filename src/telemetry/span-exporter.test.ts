import assert from 'node:assert/strict'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { ExchangeScope } from '../dataplane/exchange-scope.ts'
import { DIRECTION_INBOUND, DIRECTION_OUTBOUND } from '../sidecar/layout/record.ts'
import { SpanExporter } from './span-exporter.ts'

const FIGURES = {
  bytesReceived: 7,
  bytesSent: 1_000,
  durationMs: 2,
  responseMs: null,
  requestMs: null,
  responseFlags: 0,
}
const TRACE = '0af7651916cd43dd8448eb211c80319c'
const facts = (collector: string, direction = DIRECTION_INBOUND) => ({
  collector,
  trace: `${TRACE}b7ad6b716920333100f067aa0ba902b7`,
  direction,
  function: 'shop/cart',
  head: Buffer.from('PUT /carts/42?a=b HTTP/1.1\r\nhost: cart\r\n\r\n'),
  requestId: '191a1b1c-1d1e-4f20-a122-232425262728',
  startMs: 1_764_000_000_000,
  durationMs: 1.5,
  status: 503,
  cluster: 'inbound|8080||',
  maxPath: 256,
  bytesReceived: 7,
  bytesSent: 1_000,
  responseFlags: 0,
  tags: [],
  scope: new ExchangeScope(FIGURES, null),
})

async function collectorOf(status: number): Promise<{ url: string; bodies: Buffer[]; server: Server }> {
  const bodies: Buffer[] = []
  const server = createServer(async (request, response) => {
    const parts: Buffer[] = []
    for await (const part of request) parts.push(part)
    bodies.push(Buffer.concat(parts))
    response.writeHead(status).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/traces`, bodies, server }
}

test('spans reach a collector as OTLP, with their ids, names and times', async () => {
  const { url, bodies, server } = await collectorOf(200)
  const exporter = new SpanExporter()
  exporter.record(facts(url))
  exporter.record(facts(url, DIRECTION_OUTBOUND))
  await exporter.close()
  server.close()
  assert.deepEqual(exporter.counters, { exported: 2, dropped: 0, failed: 0, retried: 0 })
  const sent = Buffer.concat(bodies)
  for (const text of ['cart.shop', 'PUT', '/carts/42', 'guid:x-request-id', 'http.response.status_code'])
    assert.ok(sent.includes(text), `${text} is sent`)
  assert.ok(sent.includes(Buffer.from(TRACE, 'hex')))
  assert.ok(sent.includes(Buffer.from('00f067aa0ba902b7', 'hex')), "the parent's id is sent")
  const start = Buffer.alloc(8)
  start.writeBigUInt64LE(1_764_000_000_000_000_000n)
  assert.ok(sent.includes(start), 'the start time is sent in nanoseconds')
})

test('what a collector refuses is counted', async () => {
  const { url, server } = await collectorOf(400)
  const exporter = new SpanExporter()
  exporter.record(facts(url))
  await exporter.close()
  server.close()
  assert.deepEqual(exporter.counters, { exported: 0, dropped: 0, failed: 1, retried: 0 })
})

test('what would make the record too long is dropped and counted', async () => {
  const { url, server } = await collectorOf(200)
  const exporter = new SpanExporter()
  for (let i = 0; i < 5_000; i++) exporter.record(facts(url))
  await exporter.close()
  server.close()
  const { exported, dropped, failed } = exporter.counters
  assert.ok(dropped > 0)
  assert.deepEqual([exported + dropped, failed], [5_000, 0])
})

test('a span without ids is no span', async () => {
  const exporter = new SpanExporter()
  exporter.record({ ...facts('http://127.0.0.1:9/v1/traces'), trace: '' })
  await exporter.close()
  assert.deepEqual(exporter.counters, { exported: 0, dropped: 0, failed: 0, retried: 0 })
})

/** A collector that answers the n-th export with the n-th of these; the last one holds on. */
async function moodyCollector(...answers: { status: number; headers?: Record<string, string> }[]) {
  const bodies: Buffer[] = []
  const times: number[] = []
  const { promise: taken, resolve } = Promise.withResolvers<void>()
  const server = createServer(async (request, response) => {
    const parts: Buffer[] = []
    for await (const part of request) parts.push(part)
    const { status, headers } = answers[Math.min(bodies.length, answers.length - 1)]!
    bodies.push(Buffer.concat(parts))
    times.push(performance.now())
    response.writeHead(status, headers).end(() => status < 300 && resolve())
  })
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}/v1/traces`, bodies, times, taken, server }
}

test('what a collector has no room for is sent again, the same, when it asks for it', async () => {
  const { url, bodies, times, taken, server } = await moodyCollector(
    { status: 503 },
    { status: 429, headers: { 'retry-after': '1' } },
    { status: 200 },
  )
  const exporter = new SpanExporter(1)
  for (let i = 0; i < 512; i++) exporter.record(facts(url))
  await taken
  await exporter.close()
  server.close()
  assert.deepEqual(exporter.counters, { exported: 512, dropped: 0, failed: 0, retried: 2 })
  assert.equal(bodies.length, 3)
  assert.ok(bodies[1]!.equals(bodies[0]!) && bodies[2]!.equals(bodies[0]!))
  assert.ok(times[2]! - times[1]! >= 1_000, `Retry-After is kept: ${times[2]! - times[1]!} ms`)
})

test('a collector that stays away is given up after a few attempts, and what waits meanwhile is bounded', async () => {
  const exporter = new SpanExporter(1)
  for (let i = 0; i < 10_000; i++) exporter.record(facts('http://127.0.0.1:1/v1/traces'))
  while (exporter.counters.failed === 0) await new Promise((resolve) => setTimeout(resolve, 5))
  const { dropped, retried, failed } = exporter.counters
  assert.equal(failed, 512)
  assert.ok(retried >= 4)
  assert.ok(dropped >= 10_000 - 512 - 2_048)
  await exporter.close()
  assert.equal(exporter.counters.exported, 0)
})

test('an exporter that ends waits for no attempt', async () => {
  const { url, server } = await moodyCollector({ status: 503, headers: { 'retry-after': '3600' } })
  const exporter = new SpanExporter()
  for (let i = 0; i < 512; i++) exporter.record(facts(url))
  while (exporter.counters.retried === 0) await new Promise((resolve) => setTimeout(resolve, 5))
  const before = performance.now()
  await exporter.close()
  server.close()
  assert.ok(performance.now() - before < 1_500)
  assert.deepEqual(exporter.counters, { exported: 0, dropped: 0, failed: 512, retried: 1 })
})
