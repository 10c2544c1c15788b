// Retries, time-outs and injected delays of routes, at instances that fail as the test says.

import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import { after, afterEach, before, test } from 'node:test'
import { type HttpMesh, type Instance, startHttpMesh, startInstance } from './http-world.ts'

/** What an instance does with a request, by the x-fail field that the test sends. */
interface Flaky {
  instance: Instance
  /** Heads of the requests that reached it, in order. */
  heads: string[]
}

let mesh: HttpMesh
const flaky: Flaky[] = []

const route = (name: string, spec: string, destination = name) => `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ${name}, namespace: test}
spec:
  hosts: [${name}]
  http:
    - route: [{destination: {host: ${destination}}}]
      ${spec}`

const RULE = `apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: pair, namespace: test}
spec:
  host: pair
  trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}`

const FEW = `apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: few, namespace: test}
spec: {host: few, trafficPolicy: {connectionPool: {http: {maxRetries: 1}}}}`

before(async () => {
  for (let i = 0; i < 6; i++) flaky.push(await startFlaky())
  const [all, one, pair0, pair1, slow, plain] = flaky.map(({ instance }) => instance.address)
  const dead = await Promise.all([deadAddress(), deadAddress(), deadAddress()])
  mesh = await startHttpMesh(
    {
      all: all!,
      one: one!,
      pair: `${pair0},${pair1}`,
      slow: slow!,
      plain: plain!,
      few: plain!,
      half: `${dead.join(',')},${plain}`,
    },
    {
      limits: { maxBodyBufferBytes: 4_096 },
      more: [
        route(
          'all',
          'retries: {attempts: 3, retryOn: "5xx,reset,connect-failure,retriable-4xx,418", backoff: 1ms}',
        ),
        route('one', 'retries: {attempts: 1, retryOn: gateway-error, perTryTimeout: 100ms, backoff: 1ms}'),
        route('pair', 'retries: {attempts: 3, retryOn: 5xx, backoff: 1ms}'),
        route('slow', 'timeout: 200ms\n      fault: {delay: {fixedDelay: 150ms, percentage: {value: 100}}}'),
        route('half', 'retries: {attempts: 3, retryOn: connect-failure, backoff: 1ms}'),
        RULE,
        route('few', 'retries: {attempts: 3, retryOn: 5xx, backoff: 1ms}'),
        FEW,
      ].join('\n---\n'),
    },
  )
})
afterEach(() => {
  for (const one of flaky) one.heads.length = 0
  return mesh.counted({ requestsInFlight: 0 })
})
after(async () => {
  await mesh?.stop()
  for (const { instance } of flaky) instance.close()
})

test('an answer of a class that is retried reaches the client only when attempts are used up', async () => {
  const [all] = flaky
  for (const fail of ['500', '503', '409', '418', 'garbage']) {
    const answer = await ask('all', `x-fail: ${fail}\r\nx-times: 2\r\n`)
    assert.match(answer, /^HTTP\/1\.1 200 /, fail)
    assert.equal(all!.heads.length, 3, fail)
    assert.deepEqual(all!.heads.map(attemptOf), ['1', '2', '3'])
    all!.heads.length = 0
  }
  assert.match(await ask('all', 'x-fail: 503\r\nx-times: 9\r\n'), /^HTTP\/1\.1 503 /)
  assert.equal(all!.heads.length, 4)
})

test('a connection that ends before its answer is retried, beside the one repetition for a kept-alive one', async () => {
  const [all] = flaky
  assert.match(await ask('all', 'x-fail: close\r\nx-times: 3\r\n'), /^HTTP\/1\.1 200 /)
  const attempts = all!.heads.map(attemptOf)
  assert.ok(attempts.length === 4 && ['3', '4'].includes(attempts.at(-1)!), attempts.join())
})

test('used-up attempts are flagged URX, as in Envoy', async () => {
  assert.match(
    await ask('all', 'x-fail: 500\r\nx-times: 9\r\nx-mark: exhausted\r\n', '/exhausted'),
    /^HTTP\/1\.1 500 /,
  )
  const line = await mesh.line('stdout', /"\/exhausted"/)
  assert.match(line, /"response_flags":"URX"/)
})

test('an answer of another class goes on at once', async () => {
  const [all, one] = flaky
  assert.match(await ask('all', 'x-fail: 404\r\nx-times: 1\r\n'), /^HTTP\/1\.1 404 /)
  assert.match(await ask('one', 'x-fail: 500\r\nx-times: 1\r\n'), /^HTTP\/1\.1 500 /)
  assert.deepEqual([all!.heads.length, one!.heads.length], [1, 1])
})

test('an attempt that takes too long is given up for another', async () => {
  const [, one] = flaky
  assert.match(await ask('one', 'x-fail: silence\r\nx-times: 1\r\n'), /^HTTP\/1\.1 200 /)
  assert.equal(one!.heads.length, 2)
  one!.heads.length = 0
  assert.match(await ask('one', 'x-fail: silence\r\nx-times: 2\r\n'), /^HTTP\/1\.1 504 /)
  assert.equal(one!.heads.length, 2)
})

test('another instance is preferred for the next attempt', async () => {
  const [, , first, second] = flaky
  for (let i = 0; i < 4; i++) {
    assert.match(await ask('pair', 'x-fail: 500\r\nx-times: 1\r\n'), /^HTTP\/1\.1 200 /)
    assert.deepEqual([first!.heads.length, second!.heads.length], [1, 1])
    first!.heads.length = 0
    second!.heads.length = 0
  }
})

test('a body goes out again whole, with a length or in chunks; one that is too long to hold is sent once', async () => {
  const [all] = flaky
  const body = 'b'.repeat(3_000)
  const fail = 'x-fail: 503\r\nx-times: 1\r\n'
  assert.match(await ask('all', `${fail}content-length: 3000\r\n`, '/', body), /^HTTP\/1\.1 200 .*3000$/s)
  const chunks = `bb8\r\n${body}\r\n0\r\n\r\n`
  assert.match(
    await ask('all', `${fail}transfer-encoding: chunked\r\n`, '/', chunks),
    /^HTTP\/1\.1 200 .*3000$/s,
  )
  all!.heads.length = 0
  const long = 'b'.repeat(5_000)
  assert.match(await ask('all', `${fail}content-length: 5000\r\n`, '/', long), /^HTTP\/1\.1 503 /)
  assert.equal(all!.heads.length, 1)
})

test('after a part of an answer has gone out nothing is repeated', async () => {
  const [all] = flaky
  const client = await mesh.client()
  client.send('GET / HTTP/1.1\r\nhost: all.test.localhost\r\nx-fail: half\r\nx-times: 1\r\n\r\n')
  const answer = await client.receive()
  assert.match(answer, /^HTTP\/1\.1 200 .*half$/s)
  assert.equal(all!.heads.length, 1)
})

test('connections that are refused are retried elsewhere, with and without a policy', async () => {
  for (let i = 0; i < 8; i++) assert.match(await ask('half', ''), /^HTTP\/1\.1 200 /)
})

test('no more retries are under way than maxRetries allows: then the answer goes on, flagged UO', async () => {
  const client = await mesh.client()
  client.send('GET / HTTP/1.1\r\nhost: few.test.localhost\r\nx-fail: stall\r\nx-times: 9\r\n\r\n')
  const [, , , , , few] = flaky
  while (few!.heads.length < 2) await new Promise(setImmediate)
  assert.match(await ask('few', 'x-fail: 503\r\nx-times: 1\r\n', '/spent'), /^HTTP\/1\.1 503 /)
  assert.match(await mesh.line('stdout', /"\/spent"/), /"response_flags":"UO"/)
  client.socket.resetAndDestroy()
  await mesh.counted({ requestsInFlight: 0 })
  assert.match(await ask('few', 'x-fail: 503\r\nx-times: 1\r\n'), /^HTTP\/1\.1 200 /)
})

test('without a route an answer is never retried', async () => {
  const [, , , , , plain] = flaky
  assert.match(await ask('plain', 'x-fail: 503\r\nx-times: 1\r\n'), /^HTTP\/1\.1 503 /)
  assert.equal(plain!.heads.length, 1)
  assert.equal(attemptOf(plain!.heads[0]!), undefined)
})

test('an injected delay comes before the time of the route begins to run', async () => {
  const [, , , , slow] = flaky
  const startedAt = performance.now()
  assert.match(await ask('slow', '', '/delayed'), /^HTTP\/1\.1 200 /)
  assert.ok(performance.now() - startedAt >= 149)
  assert.match(await mesh.line('stdout', /"\/delayed"/), /"response_flags":"DI"/)
  assert.match(await ask('slow', 'x-fail: silence\r\nx-times: 1\r\n', '/late'), /^HTTP\/1\.1 504 /)
  assert.ok(performance.now() - startedAt >= 500)
  assert.match(await mesh.line('stdout', /"\/late"/), /"response_flags":"UT,DI"/)
  assert.equal(slow!.heads.length, 2)
})

test('a client that goes away while an attempt is held back leaves nothing behind', async () => {
  const client = await mesh.client()
  client.send('GET / HTTP/1.1\r\nhost: slow.test.localhost\r\n\r\n')
  await mesh.counted({ requestsInFlight: 1 })
  client.socket.resetAndDestroy()
  await mesh.counted({ requestsInFlight: 0 })
  assert.equal(flaky[4]!.heads.length, 0)
})

const attemptOf = (head: string) => /x-envoy-attempt-count: (\d+)/.exec(head)?.[1]

/** One request to a function, and the whole answer. */
async function ask(fn: string, fields: string, path = '/', body = ''): Promise<string> {
  const client = await mesh.client()
  client.send(
    `GET ${path} HTTP/1.1\r\nhost: ${fn}.test.localhost\r\nconnection: close\r\n${fields}\r\n${body}`,
  )
  const answer = await client.receive()
  client.close()
  return answer
}

/** Counts the requests with the same target over all instances, so that `x-times` of them fail. */
const failures = new Map<string, number>()

async function startFlaky(): Promise<Flaky> {
  const heads: string[] = []
  const instance: Instance = await startInstance((received) => {
    const end = received.indexOf('\r\n\r\n')
    if (end < 0) return null
    const head = received.slice(0, end + 4)
    const body = readBody(head, received.slice(end + 4))
    if (body === null) return null
    heads.push(head)
    const id = /x-request-id: (\S+)/.exec(head)![1]!
    const failed = failures.get(id) ?? 0
    const fail = /x-fail: (\S+)/.exec(head)?.[1]
    if (fail === undefined || failed >= Number(/x-times: (\d+)/.exec(head)![1])) return ok(String(body))
    failures.set(id, failed + 1)
    if (fail === 'silence' || (fail === 'stall' && failed > 0)) return ''
    if (fail === 'stall') return 'HTTP/1.1 503 Bad\r\ncontent-length: 0\r\n\r\n'
    if (fail === 'garbage') return 'nonsense\r\n\r\n'
    if (fail === 'half') {
      setImmediate(() => instance.connections.at(-1)!.socket.end())
      return 'HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf'
    }
    if (fail === 'close') {
      instance.connections.at(-1)!.socket.destroy()
      return ''
    }
    return `HTTP/1.1 ${fail} Bad\r\ncontent-length: 0\r\n\r\n`
  })
  return { instance, heads }
}

const ok = (body: string) => `HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n\r\n${body}`

/** Length of the body, null where it has not come whole. */
function readBody(head: string, rest: string): number | null {
  const length = Number(/content-length: (\d+)/.exec(head)?.[1] ?? 0)
  if (!head.includes('chunked')) return rest.length < length ? null : rest.length
  if (!rest.endsWith('0\r\n\r\n')) return null
  let bytes = 0
  for (let at = 0; ; ) {
    const size = Number.parseInt(rest.slice(at), 16)
    if (size === 0) return bytes
    bytes += size
    at = rest.indexOf('\r\n', at) + 2 + size + 2
  }
}

/** An address at which nobody listens. */
async function deadAddress(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as { port: number }
  await new Promise((resolve) => server.close(resolve))
  return `127.0.0.1:${port}`
}
