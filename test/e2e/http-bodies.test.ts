// Bodies pass through byte for byte, whichever way they are framed on either side, and none is ever held as a whole.

import assert from 'node:assert/strict'
import { createHash, type Hash } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { pipeline } from 'node:stream/promises'
import { after, afterEach, before, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { type HttpMesh, type Instance, startHttpMesh, startInstance } from './http-world.ts'

const MB = 1_000_000
const BIG = 150 * MB

let mesh: HttpMesh
let instance: Instance
let hashing: Server
before(async () => {
  instance = await startInstance()
  hashing = createServer((incoming, answer) => void echoWithHash(incoming, answer))
  hashing.listen(0, '127.0.0.1')
  await once(hashing, 'listening')
  const { port } = hashing.address() as AddressInfo
  mesh = await startHttpMesh({ fn: instance.address, hashing: `127.0.0.1:${port}` })
})
afterEach(() => mesh.counted({ requestsInFlight: 0 }))
after(async () => {
  await mesh?.stop()
  instance?.close()
  hashing?.closeAllConnections()
  hashing?.close()
})

/** Sends `head` (without its Host field) and `body`; gives what the instance received of it. Each test has a connection of its own to the instance. */
async function ask(head: string, body: string, received: RegExp) {
  const [line, ...fields] = head.split('\r\n')
  const client = await mesh.client()
  client.send([line, 'host: fn.test.localhost', ...fields, '', body].join('\r\n'))
  const connection = await instance.accepted()
  const text = await connection.receive(received)
  return {
    client,
    connection,
    head: text.split('\r\n\r\n')[0]!,
    body: text.slice(text.indexOf('\r\n\r\n') + 4),
  }
}

/** Sends `answer` and ends the instance's connection; gives all that the client then receives until `pattern`. */
async function answered(asked: Awaited<ReturnType<typeof ask>>, answer: string, pattern?: RegExp) {
  asked.connection.socket.end(answer, 'latin1')
  const text = await asked.client.receive(pattern)
  await asked.connection.closed
  asked.client.close()
  return text
}

const EMPTY_ANSWER = 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n'

test('a request body with a content-length arrives with it', async () => {
  const asked = await ask('POST / HTTP/1.1\r\ncontent-length: 5', 'a\0\xff\r\n', /\r\n\r\n[\s\S]{5}$/)
  assert.match(asked.head, /^content-length: 5$/im)
  assert.doesNotMatch(asked.head, /transfer-encoding/i)
  assert.equal(asked.body, 'a\0\xff\r\n')
  assert.match(await answered(asked, EMPTY_ANSWER, /\r\n\r\n$/), /^HTTP\/1\.1 200 /)
})

test('a chunked request body arrives chunked, its trailers behind it and its extensions dropped', async () => {
  const sent = '3;a=b\r\nabc\r\n0A\r\n0123456789\r\n0\r\nx-sum: 1\r\n\r\n'
  const asked = await ask(
    'POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\ntrailer: x-sum',
    sent,
    /x-sum: 1\r\n\r\n$/,
  )
  assert.match(asked.head, /^transfer-encoding: chunked$/im)
  assert.doesNotMatch(asked.head, /content-length/i)
  assert.equal(unchunked(asked.body), 'abc0123456789')
  assert.match(asked.body, /\r\n0\r\nx-sum: 1\r\n\r\n$/i)
  assert.match(await answered(asked, EMPTY_ANSWER, /\r\n\r\n$/), /^HTTP\/1\.1 200 /)
})

for (const [what, body] of [
  ['no chunk size', 'xyz\r\n'],
  ['a chunk longer than its size', '3\r\nabcd\r\n0\r\n\r\n'],
  ['a bare LF behind a chunk size', '3\nabc\r\n0\r\n\r\n'],
  ['a size of 17 digits', '10000000000000003\r\nabc\r\n'],
  ['a trailer that is no field', '0\r\nx y: 5\r\n\r\n'],
] as const) {
  test(`a chunked body with ${what} gets 400, and the connection ends on both sides`, async () => {
    const asked = await ask('POST / HTTP/1.1\r\ntransfer-encoding: chunked', '1\r\na\r\n', /\r\n1\r\na\r\n$/)
    asked.client.send(body)
    assert.match(await asked.client.receive(), /^HTTP\/1\.1 400 /)
    await asked.connection.closed
    assert.doesNotMatch(asked.connection.received, /\r\n0\r\n/)
  })
}

test('a trailer that must not be one is left out', async () => {
  const sent = '1\r\na\r\n0\r\ncontent-length: 5\r\nx-sum: 1\r\n\r\n'
  const asked = await ask('POST / HTTP/1.1\r\ntransfer-encoding: chunked', sent, /x-sum: 1\r\n\r\n$/)
  assert.doesNotMatch(asked.body, /content-length/i)
  assert.match(await answered(asked, EMPTY_ANSWER, /\r\n\r\n$/), /^HTTP\/1\.1 200 /)
})

test('a chunked answer with trailers reaches the client so', async () => {
  const asked = await ask('GET / HTTP/1.1\r\nte: trailers', '', /\r\n\r\n$/)
  const text = await answered(
    asked,
    'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 2\r\n\r\n',
    /x-sum: 2\r\n\r\n$/i,
  )
  assert.match(text, /^transfer-encoding: chunked$/im)
  assert.equal(unchunked(text.slice(text.indexOf('\r\n\r\n') + 4)), 'hello')
})

for (const [what, line, answer] of [
  ['HEAD', 'HEAD / HTTP/1.1', 'HTTP/1.1 200 OK\r\ncontent-length: 1000\r\nconnection: close\r\n\r\n'],
  [
    'HEAD, chunked',
    'HEAD / HTTP/1.1',
    'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n',
  ],
  ['204', 'GET / HTTP/1.1', 'HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n'],
  ['304', 'GET / HTTP/1.1', 'HTTP/1.1 304 Not Modified\r\ncontent-length: 1000\r\nconnection: close\r\n\r\n'],
] as const) {
  test(`${what}: an answer without a body, and the client's connection goes on`, async () => {
    const asked = await ask(line, '', /\r\n\r\n$/)
    asked.connection.socket.end(answer, 'latin1')
    const text = await asked.client.receive(/\r\n\r\n$/)
    if (answer.includes('1000')) assert.match(text, /^content-length: 1000$/im)
    asked.client.clear()
    asked.client.send('GET /next HTTP/1.1\r\nhost: fn.test.localhost\r\n\r\n')
    const next = await instance.accepted()
    await next.receive(/^GET \/next [\s\S]*\r\n\r\n$/)
    next.socket.end(EMPTY_ANSWER)
    assert.match(await asked.client.receive(/\r\n\r\n$/), /^HTTP\/1\.1 200 /)
    asked.client.close()
  })
}

test('an HTTP/1.0 client gets a chunked answer unchunked, and the end of the connection as its end', async () => {
  const asked = await ask('GET / HTTP/1.0', '', /\r\n\r\n$/)
  assert.match(asked.head, /^GET \/ HTTP\/1\.1\r\n/)
  const text = await answered(
    asked,
    'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n',
  )
  assert.doesNotMatch(text, /transfer-encoding/i)
  assert.match(text, /\r\n\r\nabcde$/)
})

test('an answer that ends with its connection reaches an HTTP/1.1 client whole, and told as an end', async () => {
  const asked = await ask('GET / HTTP/1.1', '', /\r\n\r\n$/)
  const text = await answered(asked, 'HTTP/1.1 200 OK\r\n\r\nuntil the end', /\r\n0\r\n\r\n$|until the end$/)
  if (/transfer-encoding: chunked/i.test(text))
    assert.equal(unchunked(text.slice(text.indexOf('\r\n\r\n') + 4)), 'until the end')
  else assert.match(text, /connection: close[\s\S]*\r\n\r\nuntil the end$/i)
})

test('bytes behind an answer are nobody’s: they reach no client, and the connection is not used again', async () => {
  const asked = await ask('GET / HTTP/1.1', '', /\r\n\r\n$/)
  asked.connection.socket.write(
    'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil',
  )
  assert.match(await asked.client.receive(/\r\n\r\nok/), /\r\n\r\nok$/)
  await asked.connection.closed
  asked.client.close()
})

test('150 MB to the instance and back at once, read slowly, in bounded memory', async () => {
  const pid = await mesh.enginePid()
  const before = residentBytes(pid)
  const sent = createHash('sha256')
  const received = createHash('sha256')
  const outgoing = request({ port: mesh.port, method: 'POST', headers: { host: 'hashing.test.localhost' } })
  const response = once(outgoing, 'response')
  const sending = pipeline(pieces(BIG, sent), outgoing)
  const [incoming] = (await response) as [IncomingMessage]
  let bytes = 0
  let most = 0
  for await (const part of incoming) {
    bytes += part.length
    received.update(part)
    if (bytes % 9 === 0) await setTimeout(3)
    most = Math.max(most, residentBytes(pid) - before)
  }
  await sending
  assert.equal(incoming.statusCode, 200)
  assert.equal(bytes, BIG)
  const digest = received.digest('hex')
  assert.equal(digest, sent.digest('hex'))
  assert.equal(incoming.trailers['x-sha256'], digest)
  // What has passed stays until the next collection, which a rise of 64 MB in buffers brings about.
  assert.ok(most < 90 * MB, `${most / MB} MB more while 150 MB passed`)
  console.log(most)
})

/** Sends back what it gets, and behind it the hash of what it got. */
async function echoWithHash(incoming: IncomingMessage, answer: ServerResponse): Promise<void> {
  const hash = createHash('sha256')
  answer.writeHead(200, { trailer: 'x-sha256' })
  for await (const part of incoming) {
    hash.update(part)
    if (!answer.write(part)) await once(answer, 'drain')
  }
  answer.addTrailers({ 'x-sha256': hash.digest('hex') })
  answer.end()
}

/** `total` bytes in pieces of uneven lengths, no two alike, which `hash` sees. */
function* pieces(total: number, hash: Hash) {
  const pattern = Buffer.from(Array.from({ length: 65_521 }, (_, i) => (i * i) >> 5))
  for (let sent = 0; sent < total; ) {
    const start = sent % 1_009
    const piece = pattern.subarray(start, Math.min(pattern.length, start + total - sent))
    hash.update(piece)
    sent += piece.length
    yield piece
  }
}

function residentBytes(pid: number): number {
  return 1024 * Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1])
}

/** The data of a whole chunked body without extensions. */
function unchunked(body: string): string {
  let data = ''
  for (let at = 0; ; ) {
    const [line, size] = /^([0-9a-f]+)\r\n/i.exec(body.slice(at))!
    at += line!.length
    const length = Number.parseInt(size!, 16)
    if (length === 0) return data
    data += body.slice(at, at + length)
    assert.equal(body.slice(at + length, at + length + 2), '\r\n')
    at += length + 2
  }
}
