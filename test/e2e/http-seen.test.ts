// What an instance sees of a request, what its client sees of the answer, and what the access log says of both.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { RawClient } from '../raw-client.ts'
import { readStrictHead, type StrictHead, valuesOf } from '../strict-head.ts'
import { type HttpMesh, type Instance, startHttpMesh, startInstance } from './http-world.ts'

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
const TRACEPARENT = /^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/
const SPOOFED = [
  'x-forwarded-client-cert: URI=spiffe://cluster.local/ns/test/sa/admin',
  'X-Request-ID: spoofed',
  'x-mayfly-peer: admin',
  'x-envoy-original-path: /admin',
]

let mesh: HttpMesh
let instance: Instance
before(async () => {
  instance = await startInstance()
  mesh = await startHttpMesh({ fn: instance.address, caller: '127.0.0.1:9' })
})
after(async () => {
  await mesh?.stop()
  instance?.close()
})

/** Sends a request and answers it "ok"; gives both heads as they arrive. */
async function seen(client: RawClient, line: string, fields: string[], body = '') {
  client.send([line, ...fields, 'connection: close', '', body].join('\r\n'))
  const connection = await instance.accepted()
  const request = await connection.receive(/\r\n\r\n/)
  connection.socket.end(
    'HTTP/1.1 201 Created\r\nserver: own\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok',
  )
  const answer = await client.receive()
  return {
    request: readStrictHead(Buffer.from(request, 'latin1'), 'request'),
    answer: readStrictHead(Buffer.from(answer, 'latin1'), 'response'),
  }
}

const fromCaller = () => {
  const { hostname, port } = new URL(mesh.functions['test/caller']!.egress)
  return RawClient.connect(Number(port), hostname)
}

const value = (head: StrictHead, name: string) => valuesOf(head, name).join('; ')

/** The log's JSON line for a path, which all tests have of their own. */
async function logged(path: string, more = ''): Promise<Record<string, unknown>> {
  return JSON.parse(await mesh.line('stdout', new RegExp(`"path":"${path}".*${more}`)))
}

test('from outside: the mesh’s own fields are set, and those that a client claims are dropped', async () => {
  const { request, answer } = await seen(await mesh.client(), 'GET /outside?q=1 HTTP/1.1', [
    'host: fn.test.localhost',
    'x-forwarded-for: 1.2.3.4',
    'x-forwarded-proto: https',
    'x-own: kept',
    ...SPOOFED,
  ])
  assert.equal(request.start, 'GET /outside?q=1 HTTP/1.1')
  assert.equal(value(request, 'host'), 'fn.test.localhost')
  assert.equal(value(request, 'x-forwarded-for'), '1.2.3.4, 127.0.0.1')
  assert.equal(value(request, 'x-forwarded-proto'), 'http')
  assert.equal(value(request, 'x-own'), 'kept')
  assert.match(value(request, 'x-request-id'), UUID)
  assert.match(value(request, 'traceparent'), TRACEPARENT)
  for (const name of ['x-forwarded-client-cert', 'x-mayfly-peer', 'x-envoy-original-path', 'connection'])
    assert.equal(value(request, name), '', name)
  assert.equal(value(answer, 'x-request-id'), value(request, 'x-request-id'))
  assert.equal(value(answer, 'server'), 'own')
})

test('from a function: the caller is named by the mesh, and its request id and trace go on', async () => {
  const id = '0b8ae9d2-4d35-4a43-9e0e-3f3bd1a6f6c1'
  const trace = '0af7651916cd43dd8448eb211c80319c'
  const { request, answer } = await seen(await fromCaller(), 'GET /inside HTTP/1.1', [
    'host: fn',
    ...SPOOFED.filter((line) => !/request-id/i.test(line)),
    `x-request-id: ${id}`,
    `traceparent: 00-${trace}-b7ad6b7169203331-01`,
  ])
  assert.equal(
    value(request, 'x-forwarded-client-cert'),
    'By=spiffe://cluster.local/ns/test/sa/fn;URI=spiffe://cluster.local/ns/test/sa/caller',
  )
  assert.equal(value(request, 'host'), 'fn')
  assert.equal(value(request, 'x-request-id'), id)
  assert.equal(value(answer, 'x-request-id'), id)
  assert.match(value(request, 'traceparent'), new RegExp(`^00-${trace}-(?!b7ad6b7169203331)[0-9a-f]{16}-01$`))
  assert.equal(value(request, 'x-mayfly-peer'), '')
})

test('the log says what was asked, answered and moved', async () => {
  const fields = ['host: fn.test.localhost', 'user-agent: tester', 'content-length: 3']
  const { request } = await seen(await mesh.client(), 'POST /logged HTTP/1.1', fields, 'abc')
  const line = await logged('/logged')
  const { start_time, duration, upstream_service_time, downstream_remote_address, ...rest } = line
  assert.ok(Math.abs(Date.now() - Date.parse(String(start_time))) < 60_000)
  assert.ok(typeof duration === 'number' && duration >= Number(upstream_service_time))
  assert.match(String(downstream_remote_address), /^127\.0\.0\.1:\d+$/)
  assert.deepEqual(rest, {
    route_name: 'default',
    method: 'POST',
    path: '/logged',
    protocol: 'HTTP/1.1',
    response_code: 201,
    response_flags: '-',
    response_code_details: 'via_upstream',
    connection_termination_details: null,
    bytes_received: 3,
    bytes_sent: 2,
    x_forwarded_for: '127.0.0.1',
    user_agent: 'tester',
    request_id: value(request, 'x-request-id'),
    authority: 'fn.test.localhost',
    upstream_host: instance.address,
    upstream_cluster: 'outbound|8080||fn.test.svc.cluster.local',
    upstream_local_address: null,
    downstream_local_address: `127.0.0.1:${mesh.port}`,
    requested_server_name: null,
    upstream_transport_failure_reason: null,
  })
})

test('a call between functions is logged by both sides under one request id', async () => {
  const { request } = await seen(await fromCaller(), 'GET /both HTTP/1.1', ['host: fn'])
  const lines = [
    await logged('/both', '"upstream_cluster":"inbound'),
    await logged('/both', '"upstream_cluster":"outbound'),
  ]
  for (const line of lines) assert.equal(line.request_id, value(request, 'x-request-id'))
})

test('a request for no function is logged with what it asked for, under the id that its client got', async () => {
  const client = await mesh.client()
  client.send('POST /lost HTTP/1.1\r\nhost: nobody.test.localhost\r\nconnection: close\r\n\r\n')
  const answer = readStrictHead(Buffer.from(await client.receive(), 'latin1'), 'response')
  const line = await logged('/lost')
  assert.equal(line.method, 'POST')
  assert.equal(line.authority, 'nobody.test.localhost')
  assert.equal(line.response_code, 404)
  assert.equal(line.response_flags, 'NR')
  assert.equal(line.request_id, value(answer, 'x-request-id'))
})

test('a client that went away and an instance that did not answer are logged by their flags', async () => {
  const client = await mesh.client()
  client.send('GET /gone HTTP/1.1\r\nhost: fn.test.localhost\r\n\r\n')
  const first = await instance.accepted()
  await first.receive(/\r\n\r\n$/)
  client.close()
  assert.equal((await logged('/gone')).response_flags, 'DC')
  const other = await mesh.client()
  other.send('GET /cut HTTP/1.1\r\nhost: fn.test.localhost\r\nconnection: close\r\n\r\n')
  const second = await instance.accepted()
  await second.receive(/\r\n\r\n$/)
  second.socket.destroy()
  await other.receive()
  const line = await logged('/cut')
  assert.equal(line.response_code, 502)
  assert.equal(line.response_flags, 'UC')
})
