import assert from 'node:assert/strict'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { runLoad } from './load.ts'
import type { Load, LoadProgress } from './load-protocol.ts'
import work from './work-function.ts'

interface Backend extends AsyncDisposable {
  readonly url: string
  connections(): number
}

async function backend(listener: RequestListener): Promise<Backend> {
  const server = createServer(listener)
  let connections = 0
  server.on('connection', () => connections++)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    connections: () => connections,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

const hosts: string[] = []

/** The work function behind node:http, noting the Host of each request. */
const working: RequestListener = async (request, response) => {
  hosts.push(request.headers.host ?? '')
  const answer = await work.fetch(new Request(`http://${request.headers.host}${request.url}`))
  response.writeHead(answer.status, { 'content-type': 'application/json' }).end(await answer.text())
}

function load(gateway: string, fireMs: readonly number[], askedMs: number, timeoutMs = 5_000): Load {
  return {
    kind: 'load',
    gateway,
    targets: [
      { host: 'f-a.trace.localhost', name: 'f-a' },
      { host: 'f-b.trace.localhost', name: 'f-b' },
    ],
    work: 'sleep',
    memory: false,
    timeoutMs,
    functionAt: Uint32Array.from(fireMs, (_, i) => i % 2),
    fireUs: Float64Array.from(fireMs, (ms) => ms * 1000),
    askedMs: new Uint32Array(fireMs.length).fill(askedMs),
    memoryMb: new Uint32Array(fireMs.length),
  }
}

const never = new AbortController().signal
const quiet = () => {}

test('sends every invocation at its time over kept connections, with the Host of its function', async () => {
  await using server = await backend(working)
  hosts.length = 0
  const times = Array.from({ length: 100 }, (_, i) => i * 5)
  const seen: LoadProgress[] = []
  const result = await runLoad(load(server.url, times, 2), (progress) => seen.push(progress), never)
  assert.deepEqual(result.end, { kind: 'complete' })
  assert.equal(result.sent, 100)
  assert.equal(hosts.length, 100)
  assert.deepEqual(new Set(hosts), new Set(['f-a.trace.localhost', 'f-b.trace.localhost']))
  assert.deepEqual(
    result.outcomes.map((one) => one.index).sort((a, b) => a - b),
    times.map((_, i) => i),
  )
  for (const one of result.outcomes) {
    assert.equal(one.failure, undefined)
    assert.equal(one.status, 200)
    assert.ok(one.firedUs >= times[one.index]! * 1000, 'never early')
    assert.ok(one.executedUs >= 2_000 && one.latencyUs >= one.executedUs)
  }
  assert.equal(result.outcomes.filter((one) => one.cold).length, 1)
  assert.ok(server.connections() < 50, `${server.connections()} connections for 100 invocations`)
  assert.deepEqual({ ...seen.at(-1), late: 0 }, { sent: 100, done: 100, failed: 0, late: 0 })
  assert.ok(result.generatorCpuUs > 0)
})

test('is open loop: later invocations go out while earlier ones have no answer', async () => {
  let waiting = 0
  let most = 0
  await using server = await backend(async (request, response) => {
    most = Math.max(most, ++waiting)
    await working(request, response)
    waiting--
  })
  const result = await runLoad(
    load(
      server.url,
      Array.from({ length: 30 }, (_, i) => i),
      600,
    ),
    quiet,
    never,
  )
  assert.equal(result.end.kind, 'complete')
  assert.equal(most, 30)
  assert.ok(result.outcomes.every((one) => one.failure === undefined))
})

test('failures are told apart: status, foreign answer, wrong function, too little work, reset, time-out', async () => {
  const answers: RequestListener[] = [
    (_, response) => response.writeHead(503).end('no\ninstance'),
    (_, response) => response.end('hello'),
    (_, response) =>
      response.end(JSON.stringify({ function: 'f-x', pid: 1, cold: false, executedUs: 9_000 })),
    (_, response) => response.end(JSON.stringify({ function: 'f-b', pid: 1, cold: false, executedUs: 999 })),
    (request) => request.socket.destroy(),
    () => {},
    (request, response) =>
      response.writeHead(200, { 'content-length': '100' }).write('half', () => request.socket.destroy()),
    (_, response) => response.end('x'.repeat(100_000)),
  ]
  let next = 0
  await using server = await backend((request, response) => void answers[next++]!(request, response))
  const result = await runLoad(
    load(
      server.url,
      answers.map((_, i) => i * 40),
      1,
      700,
    ),
    quiet,
    never,
  )
  assert.equal(result.end.kind, 'complete')
  const failures = result.outcomes
    .toSorted((a, b) => a.index - b.index)
    .map((one) => `${one.status} ${one.failure?.kind} ${one.failure?.detail}`)
  assert.deepEqual(failures.slice(0, 4), [
    '503 status 503 no instance',
    "200 answer is not the work function's: hello",
    '200 answer came from f-x, not from f-a',
    '200 answer worked 999 us, less than the 1 ms asked for',
  ])
  assert.match(failures[4]!, /^0 connection ECONNRESET/)
  assert.equal(failures[5], '0 timeout no whole answer within 700 ms')
  assert.match(failures[6]!, /^0 connection /)
  assert.match(failures[7]!, /^0 answer is longer/)
})

test('a gateway that is not there: each invocation fails, none is left out', async () => {
  const closed = await backend(working)
  await closed[Symbol.asyncDispose]()
  const result = await runLoad(load(closed.url, [0, 10, 20], 1), quiet, never)
  assert.equal(result.end.kind, 'complete')
  assert.deepEqual(
    result.outcomes.map((one) => one.failure?.kind),
    ['connection', 'connection', 'connection'],
  )
})

test('stopped: sends no more, gives up what is under way, and says both', async () => {
  await using server = await backend((request, response) => {
    if (request.url!.includes('ms=1&')) void working(request, response)
  })
  const controller = new AbortController()
  const progress = (now: LoadProgress) => {
    if (now.done >= 1) controller.abort()
  }
  // 0 is answered at once, 1 never, 2 is due much later.
  const planned = load(server.url, [0, 1, 60_000], 1)
  planned.askedMs[1] = 50
  const result = await runLoad(planned, progress, controller.signal)
  assert.deepEqual(result.end, { kind: 'stopped' })
  assert.equal(result.sent, 2)
  assert.deepEqual(
    result.outcomes.map((one) => [one.index, one.failure?.kind]),
    [
      [0, undefined],
      [1, 'aborted'],
    ],
  )
})

test('stopped before it began', async () => {
  await using server = await backend(working)
  const result = await runLoad(load(server.url, [10_000], 1), quiet, AbortSignal.abort())
  assert.deepEqual([result.end, result.sent, result.outcomes], [{ kind: 'stopped' }, 0, []])
})

test('a generator that dies is a result that says so, not silence', async () => {
  const result = await runLoad(load('no address', [0], 1), quiet, never)
  assert.deepEqual(result.end, { kind: 'crashed', reason: 'the load generator ended with exit code 1' })
  assert.deepEqual([result.sent, result.outcomes], [0, []])
})
