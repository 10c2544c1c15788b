import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import type { Probe } from '../api/probe.ts'
import { TCP_PROBE, untilReady } from './readiness.ts'

const http = (path: string, more: Partial<Probe> = {}): Probe => ({
  ...TCP_PROBE,
  handler: {
    kind: 'http',
    path,
    headers: [
      { name: 'Host', value: 'cart.shop' },
      { name: 'X-Probe', value: 'yes' },
    ],
  },
  ...more,
})

async function target(t: TestContext, listener: RequestListener) {
  const server = createServer(listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close().closeAllConnections())
  return { host: '127.0.0.1', port: (server.address() as AddressInfo).port, exec: () => assert.fail() }
}

test('an HTTP probe wants 2xx or 3xx, with the fields of the manifest', async (t) => {
  const seen: string[] = []
  const statuses = [500, 404, 302]
  const at = await target(t, (request, response) => {
    seen.push(`${request.url} ${request.headers.host} ${request.headers['x-probe']}`)
    response.writeHead(statuses.shift()!, { location: '/elsewhere' }).end()
  })
  assert.deepEqual(await untilReady(http('/ready?now'), at, AbortSignal.timeout(5_000)), { ok: true })
  assert.deepEqual(seen, Array(3).fill('/ready?now cart.shop yes'))
})

test('several successes in a row may be wanted', async (t) => {
  const statuses = [200, 500, 200, 200, 200]
  const at = await target(t, (_, response) => void response.writeHead(statuses.shift()!).end())
  const probe = http('/', { successThreshold: 3, periodMs: 1 })
  assert.deepEqual(await untilReady(probe, at, AbortSignal.timeout(5_000)), { ok: true })
  assert.deepEqual(statuses, [])
})

test('what is never ready says what the last attempt met', async (t) => {
  const at = await target(t, (request, response) => {
    if (request.url === '/bad') response.writeHead(503).end()
  })
  const end = () => AbortSignal.timeout(150)
  assert.deepEqual(await untilReady(http('/bad'), at, end()), { ok: false, problem: 'GET /bad answered 503' })
  const silent = await untilReady(http('/silent', { timeoutMs: 40 }), at, end())
  assert.deepEqual(silent, { ok: false, problem: 'no answer within 40 ms' })
  const closed = await untilReady(TCP_PROBE, { ...at, port: 1 }, end())
  assert.deepEqual(closed, { ok: false, problem: 'connect ECONNREFUSED 127.0.0.1:1' })
})

test('the first attempt waits for the initial delay', async (t) => {
  const at = await target(t, (_, response) => void response.end())
  const begun = performance.now()
  await untilReady(http('/', { initialDelayMs: 120 }), at, AbortSignal.timeout(5_000))
  assert.ok(performance.now() - begun >= 119)
})
