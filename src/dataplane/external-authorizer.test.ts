import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type RequestListener } from 'node:http'
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import {
  CHECK_BODY,
  CHECK_FAILURE,
  CHECK_FIELDS,
  CHECK_HEADER,
  CHECK_MALFORMED,
  CHECK_OVERFLOW,
  CHECK_SERVER_ERROR,
  CHECK_STATUS,
  CHECK_TIMED_OUT,
  CHECK_TOO_LARGE,
  CHECK_UNREACHABLE,
} from '../sidecar/layout/external-authorization.ts'
import { type CheckLimits, ExternalAuthorizers } from './external-authorizer.ts'

const KEY = 'POST /check/a?b=c HTTP\r\n'
const key = (text = 'POST /check/a?b=c\r\nhost: cart.shop\r\nx-user: \xe9\r\n') => Buffer.from(text, 'latin1')

interface Answer {
  status: number
  failure: number
  fields: [string, string][]
  body: string
}

function decode(bytes: Buffer): Answer {
  const fields: [string, string][] = []
  let at = CHECK_HEADER
  for (let left = bytes.readUInt32LE(CHECK_FIELDS); left > 0; left--) {
    const name = at + 4 + bytes.readUInt16LE(at)
    const value = name + bytes.readUInt16LE(at + 2)
    fields.push([bytes.toString('latin1', at + 4, name), bytes.toString('latin1', name, value)])
    at = value
  }
  assert.equal(bytes.length, at + bytes.readUInt32LE(CHECK_BODY))
  return {
    status: bytes.readUInt32LE(CHECK_STATUS),
    failure: bytes.readUInt32LE(CHECK_FAILURE),
    fields,
    body: bytes.toString('latin1', at),
  }
}

const failed = (failure: number): Answer => ({ status: 0, failure, fields: [], body: '' })

function authorizers(t: TestContext, limits: Partial<CheckLimits> = {}): ExternalAuthorizers {
  const made = new ExternalAuthorizers({
    mostInFlight: 8,
    mostIdle: 4,
    mostHeadBytes: 16_384,
    mostFields: 16,
    mostBodyBytes: 1_000,
    ...limits,
  })
  t.after(() => made.close())
  return made
}

async function httpService(t: TestContext, listener: RequestListener, timeoutMs = 5_000) {
  const server = createServer(listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return { name: 'authz', host: '127.0.0.1', port: (server.address() as AddressInfo).port, timeoutMs }
}

/** A service that answers each connection's first bytes as the test says. */
async function tcpService(t: TestContext, answer: (socket: Socket, nth: number) => void, timeoutMs = 5_000) {
  const sockets = new Set<Socket>()
  let count = 0
  const server = createTcpServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.once('data', () => answer(socket, count++))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return { name: 'authz', host: '127.0.0.1', port: (server.address() as AddressInfo).port, timeoutMs }
}

test('the check is asked as it is written, without a body, and its answer is read whole', async (t) => {
  let seen: IncomingMessage | null = null
  const service = await httpService(t, (request, response) => {
    seen = request
    response.writeHead(403, { 'X-Reason': 'not today ', 'set-cookie': ['a=1', 'b=2'] })
    response.end('no')
  })
  const asked = authorizers(t)
  const answer = decode(await asked.ask(key(), service))
  assert.deepEqual([seen!.method, seen!.url], ['POST', '/check/a?b=c'])
  assert.deepEqual(seen!.rawHeaders.slice(0, 6), [
    'host',
    'cart.shop',
    'x-user',
    '\xe9',
    'content-length',
    '0',
  ])
  assert.equal(answer.status, 403)
  assert.equal(answer.body, 'no')
  assert.deepEqual(
    answer.fields.filter(([name]) => name === 'x-reason' || name === 'set-cookie'),
    [
      ['x-reason', 'not today'],
      ['set-cookie', 'a=1'],
      ['set-cookie', 'b=2'],
    ],
  )
  assert.deepEqual({ ...asked.counters }, { ...ZERO, asked: 1, refused: 1 })
})

const ZERO = { asked: 0, allowed: 0, refused: 0, failed: 0, timedOut: 0, overflowed: 0, repeated: 0 }

test('a permission’s body is dropped, and the connection is used again', async (t) => {
  const ports = new Set<number | undefined>()
  const service = await httpService(t, (request, response) => {
    ports.add(request.socket.remotePort)
    response.end('fine')
  })
  const asked = authorizers(t)
  for (let i = 0; i < 3; i++) assert.equal(decode(await asked.ask(key(), service)).body, '')
  assert.equal(ports.size, 1)
  assert.equal(asked.counters.allowed, 3)
})

test('HEAD is asked as HEAD, whose answer has no body', async (t) => {
  const service = await httpService(t, (request, response) => {
    response.writeHead(request.method === 'HEAD' ? 401 : 500, { 'content-length': '12' }).end()
  })
  const answer = decode(await authorizers(t).ask(key('HEAD /\r\nhost: a\r\n'), service))
  assert.deepEqual([answer.status, answer.body], [401, ''])
})

test('a server error, a dead service and one that ends the connection are failures', async (t) => {
  const asked = authorizers(t)
  const broken = await httpService(t, (_request, response) => response.writeHead(503).end('x'))
  assert.deepEqual(decode(await asked.ask(key(), broken)), failed(CHECK_SERVER_ERROR))
  const dead = { name: 'authz', host: '127.0.0.1', port: 1, timeoutMs: 5_000 }
  assert.deepEqual(decode(await asked.ask(key(), dead)), failed(CHECK_UNREACHABLE))
  const unknown = { name: 'authz', host: 'no-such-host.invalid', port: 80, timeoutMs: 5_000 }
  assert.deepEqual(decode(await asked.ask(key(), unknown)), failed(CHECK_UNREACHABLE))
  const closing = await tcpService(t, (socket) => socket.destroy())
  assert.deepEqual(decode(await asked.ask(key(), closing)), failed(CHECK_UNREACHABLE))
  assert.equal(asked.counters.failed, 4)
  assert.equal(asked.counters.repeated, 0)
})

test('a service that is slow to answer, or to end its answer, fails in time', async (t) => {
  const asked = authorizers(t)
  const silent = await tcpService(t, () => {}, 50)
  assert.deepEqual(decode(await asked.ask(key(), silent)), failed(CHECK_TIMED_OUT))
  const slow = await tcpService(
    t,
    (socket) => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc'),
    50,
  )
  assert.deepEqual(decode(await asked.ask(key(), slow)), failed(CHECK_TIMED_OUT))
  const endless = await tcpService(
    t,
    (socket) => {
      const timer = setInterval(() => socket.write('HTTP/1.1 102 Processing\r\n\r\n'), 5)
      socket.on('close', () => clearInterval(timer))
    },
    60,
  )
  assert.deepEqual(decode(await asked.ask(key(), endless)), failed(CHECK_TIMED_OUT))
  assert.equal(asked.counters.timedOut, 3)
})

test('what is no acceptable HTTP is a failure, whatever status it claims', async (t) => {
  const answers: [string, number][] = [
    ['nonsense\r\n\r\n', CHECK_MALFORMED],
    ['HTTP/1.1 200 OK\r\nbad name: x\r\n\r\n', CHECK_MALFORMED],
    ['HTTP/1.1 200 OK\r\nx: a\0b\r\ncontent-length: 0\r\n\r\n', CHECK_MALFORMED],
    ['HTTP/1.1 200 OK\r\nx: a\r\n folded\r\ncontent-length: 0\r\n\r\n', CHECK_MALFORMED],
    ['HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nab', CHECK_MALFORMED],
    ['HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n', CHECK_MALFORMED],
    ['HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n', CHECK_MALFORMED],
    ['HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n', CHECK_MALFORMED],
  ]
  for (const [bytes, why] of answers) {
    const service = await tcpService(t, (socket) => socket.end(Buffer.from(bytes, 'latin1')))
    const { status, failure } = decode(await authorizers(t).ask(key(), service))
    assert.equal(status, 0, JSON.stringify(bytes))
    assert.ok([why, CHECK_UNREACHABLE].includes(failure), `${JSON.stringify(bytes)}: ${failure}`)
  }
  const cut = await tcpService(t, (socket) => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc'))
  assert.equal(decode(await authorizers(t).ask(key(), cut)).status, 0)
})

test('an answer beyond the bounds is a failure: head, fields, body', async (t) => {
  const asked = authorizers(t)
  const big = await httpService(t, (_request, response) => response.end('x'.repeat(1_001)))
  assert.deepEqual(decode(await asked.ask(key(), big)), failed(CHECK_TOO_LARGE))
  const fits = await httpService(t, (_request, response) => response.writeHead(401).end('x'.repeat(1_000)))
  assert.equal(decode(await asked.ask(key(), fits)).body.length, 1_000)
  const many = await httpService(t, (_request, response) => {
    for (let i = 0; i < 17; i++) response.setHeader(`x-${i}`, 'a')
    response.end()
  })
  assert.deepEqual(decode(await asked.ask(key(), many)), failed(CHECK_TOO_LARGE))
  const wide = await httpService(t, (_request, response) => {
    response.setHeader('x-wide', 'a'.repeat(17_000)).end()
  })
  assert.deepEqual(decode(await asked.ask(key(), wide)), failed(CHECK_TOO_LARGE))
  const endless = await tcpService(t, (socket) => {
    socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n')
    const timer = setInterval(() => socket.write(`64\r\n${'x'.repeat(100)}\r\n`), 1)
    socket.on('close', () => clearInterval(timer))
  })
  assert.deepEqual(decode(await asked.ask(key(), endless)), failed(CHECK_TOO_LARGE))
})

test('beyond so many checks under way none is asked, and each place is free again', async (t) => {
  const waiting: (() => void)[] = []
  const service = await httpService(t, (_request, response) => {
    waiting.push(() => response.end())
  })
  const asked = authorizers(t, { mostInFlight: 2 })
  const first = [asked.ask(key(), service), asked.ask(key(), service)]
  assert.deepEqual(decode((await asked.ask(key(), service)) as Buffer), failed(CHECK_OVERFLOW))
  while (waiting.length < 2) await new Promise((resolve) => setImmediate(resolve))
  for (const answer of waiting.splice(0)) answer()
  for (const one of first) assert.equal(decode(await one).status, 200)
  const again = asked.ask(key(), service)
  while (waiting.length < 1) await new Promise((resolve) => setImmediate(resolve))
  waiting[0]!()
  assert.equal(decode(await again).status, 200)
  assert.equal(asked.counters.overflowed, 1)
})

test('a kept connection that the service closes as it is used again costs a second try, not the request', async (t) => {
  // The first connection answers once and says that it stays, then ends at the next request's first byte.
  const service = await tcpService(t, (socket, nth) => {
    socket.write('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n')
    if (nth === 0) socket.once('data', () => socket.resetAndDestroy())
  })
  const asked = authorizers(t)
  assert.equal(decode(await asked.ask(key(), service)).status, 200)
  assert.equal(decode(await asked.ask(key(), service)).status, 200)
  assert.equal(asked.counters.repeated, 1)
})

test('on a kept connection a check that times out is not asked again', async (t) => {
  const service = await tcpService(
    t,
    (socket) => void socket.write('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n'),
    100,
  )
  const asked = authorizers(t)
  assert.equal(decode(await asked.ask(key(), service)).status, 200)
  assert.deepEqual(decode(await asked.ask(key(), service)), failed(CHECK_TIMED_OUT))
  assert.equal(asked.counters.repeated, 0)
})

test('a key that is no check is not sent anywhere', (t) => {
  const asked = authorizers(t)
  const service = { name: 'authz', host: '127.0.0.1', port: 1, timeoutMs: 1_000 }
  const bad = [
    '',
    'GET',
    `${KEY}host: a\r\n`,
    'GET http://elsewhere/\r\nhost: a\r\n',
    'GET /\r\n',
    'GET /\r\nx: a\r\n',
    'GET /\r\nhost: a',
    'GET /\r\nhost: a\r\nx: b\nc: d\r\n',
    'GET /\r\nhost: a\r\nX: b\r\n',
    'GET /\r\nhost: a\r\ntransfer-encoding: chunked\r\n',
    'CONNECT /\r\nhost: a\r\n',
    'get /\r\nhost: a\r\n',
    'GET /a b\r\nhost: a\r\n',
  ]
  for (const text of bad) assert.throws(() => asked.ask(key(text), service), JSON.stringify(text))
  assert.equal(asked.counters.asked, 0)
})
