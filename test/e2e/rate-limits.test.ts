// Rate limits through the real command: two engines, load, and whatever dies.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, type TestContext, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { ValkeyServer } from '../../scripts/valkey.ts'
import { endpointFunction, startTestMesh, type TestMesh } from '../start-mesh.ts'
import { askMesh, Client, type EngineRow } from './cluster.ts'
import { load } from './load.ts'

const MINUTE = 60_000

let app: Server
let address: string
/** When requests came to the function, by path. */
let arrivals: { at: number; path: string }[] = []

before(async () => {
  app = createServer((request, response) => {
    arrivals.push({ at: Date.now(), path: request.url! })
    request.resume().on('end', () => response.writeHead(200, { 'content-length': '2' }).end('ok'))
  }).listen(0, '127.0.0.1')
  await once(app, 'listening')
  address = `127.0.0.1:${(app.address() as AddressInfo).port}`
})

after(() => {
  app.closeAllConnections()
  app.close()
})

function manifests(limits: object[], engines = 2): string {
  const policy = {
    apiVersion: 'mayfly.dev/v1',
    kind: 'RateLimitPolicy',
    metadata: { name: 'limits', namespace: 'test' },
    spec: { limits },
  }
  const config = {
    apiVersion: 'mayfly.dev/v1',
    kind: 'MeshConfig',
    metadata: { name: 'mesh' },
    spec: {
      engines,
      enableTracing: false,
      defaultAuthorization: 'allow',
      accessLogFile: '/dev/stdout',
      accessLogFormat: '%REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS%',
    },
  }
  return [endpointFunction('app', address), JSON.stringify(policy), JSON.stringify(config)].join('\n---\n')
}

async function start(t: TestContext, limits: object[], args: string[] = []): Promise<TestMesh> {
  arrivals = []
  const mesh = await startTestMesh({ 'mesh.yaml': manifests(limits) }, args)
  t.after(() => mesh.stop())
  return mesh
}

/** Resolves when that is so. */
async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isSo())) await delay(20)
}

async function ask(mesh: TestMesh, path = '/', headers: Record<string, string> = {}) {
  const client = new Client(mesh)
  try {
    return await client.send({
      path,
      headers: { host: 'app.test.localhost', connection: 'close', ...headers },
    })
  } finally {
    client.close()
  }
}

function folder(t: TestContext): string {
  const made = mkdtempSync(join(tmpdir(), 'mayfly-limits-'))
  t.after(() => rmSync(made, { recursive: true, force: true }))
  return made
}

/** Far enough from a window's end that what follows is in the same one. */
async function awayFromEnd(windowMs: number, ms: number): Promise<void> {
  const left = windowMs - (Date.now() % windowMs)
  if (left < ms) await delay(left + 20)
}

/** No more than the limit in any of the windows: whoever arrived until then was let through in one that has begun. */
function holdAtMost(requests: number, windowMs: number): void {
  const first = Math.floor(arrivals[0]!.at / windowMs)
  for (const [index, { at }] of arrivals.entries()) {
    const windows = Math.floor(at / windowMs) - first + 1
    assert.ok(index + 1 <= requests * windows, `${index + 1} requests in ${windows} windows of ${requests}`)
  }
}

test('three a minute are three, over connections to both engines; who comes again is told when', async (t) => {
  const limits = [{ name: 'per-user', requests: 3, unit: 'minute', key: [{ header: 'x-user' }] }]
  const mesh = await start(t, limits)
  await awayFromEnd(MINUTE, 8_000)
  const answers = await Promise.all(Array.from({ length: 12 }, () => ask(mesh, '/a', { 'x-user': 'a' })))
  assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 200, 200, ...Array(9).fill(429)])
  assert.equal(arrivals.length, 3)
  const refused = answers.find(({ status }) => status === 429)!
  const seconds = Number(refused.headers['retry-after'])
  assert.ok(seconds >= 1 && seconds <= 60, `${seconds}`)
  assert.equal(refused.headers['ratelimit-policy'], '"per-user";q=3;w=60')
  assert.match(String(refused.headers.ratelimit), /^"per-user";r=0;t=\d+$/)
  assert.match(refused.body, /the limit test\/limits per-user is used up/)
  const other = await ask(mesh, '/b', { 'x-user': 'b' })
  assert.equal(other.status, 200)
  assert.match(String(other.headers.ratelimit), /^"per-user";r=2;t=\d+$/)
  assert.equal(await mesh.line('stdout', /^\/a 429 /), '/a 429 RL')
})

test('a request passes by all limits or counts for none', async (t) => {
  const limits = [
    { name: 'wide', requests: 10, unit: 'hour' },
    { name: 'narrow', requests: 2, unit: 'hour', match: [{ to: [{ operation: { paths: ['/narrow'] } }] }] },
  ]
  const mesh = await start(t, limits)
  await awayFromEnd(60 * MINUTE, 10_000)
  const statuses: number[] = []
  for (let i = 0; i < 6; i++) statuses.push((await ask(mesh, '/narrow')).status)
  for (let i = 0; i < 10; i++) statuses.push((await ask(mesh)).status)
  assert.deepEqual(statuses, [200, 200, 429, 429, 429, 429, ...Array(8).fill(200), 429, 429])
})

test('under load and with an engine killed no window lets more through, and nearly all of it is used', async (t) => {
  const mesh = await start(t, [{ name: 'all', requests: 300, unit: 'second' }])
  const running = load(t, mesh, 'app', 12)
  await until(() => arrivals.length > 0)
  await delay(2_500)
  const engines = await askMesh<EngineRow[]>(mesh, 'engines')
  process.kill(engines[0]!.pid, 'SIGKILL')
  await delay(2_500)
  const outcomes = await running.stop()
  holdAtMost(300, 1_000)
  const statuses = new Set(outcomes.map((one) => (one.kind === 'answered' ? one.status : 'broken')))
  for (const status of statuses)
    assert.ok(status === 200 || status === 429 || status === 'broken', `${status}`)
  // Seconds that no kill falls into, and that are whole.
  const perSecond = Map.groupBy(arrivals, ({ at }) => Math.floor(at / 1_000))
  const counts = [...perSecond.values()].map((list) => list.length).slice(1, -1)
  const full = counts.filter((count) => count >= 285).length
  assert.ok(full >= counts.length - 2, `of 300 a second there were ${counts.join(', ')}`)
})

test('a mesh that is killed and started anew does not begin anew', async (t) => {
  const state = folder(t)
  const limits = [{ name: 'all', requests: 4, unit: 'hour' }]
  await awayFromEnd(60 * MINUTE, 15_000)
  const first = await start(t, limits, ['--state', state])
  assert.deepEqual([(await ask(first)).status, (await ask(first)).status], [200, 200])
  first.process.kill('SIGKILL')
  await once(first.process, 'exit')
  const second = await start(t, limits, ['--state', state])
  const statuses: number[] = []
  for (let i = 0; i < 4; i++) statuses.push((await ask(second)).status)
  assert.deepEqual(statuses, [200, 200, 429, 429])
})

test('two meshes share a limit through Valkey, which is stopped and started under load', async (t) => {
  const server = await ValkeyServer.start()
  t.after(() => server.close())
  const limits = [{ name: 'all', requests: 200, unit: 'second', per: 2 }]
  const [one, other] = [
    await start(t, limits, ['--state', server.url]),
    await start(t, limits, ['--state', server.url]),
  ]
  const runs = [load(t, one, 'app', 4), load(t, other, 'app', 4)]
  await until(() => arrivals.length > 0)
  await delay(3_000)
  await server.stop()
  const stoppedAt = Date.now()
  await one.line('stderr', /the state store .* is away/)
  await until(async () => (await ask(one)).status === 503)
  await delay(500)
  const whileAway = arrivals.filter(({ at }) => at > stoppedAt + 1_200).length
  assert.equal(whileAway, 0, 'requests passed without anybody to count them')
  await server.start()
  const startedAt = Date.now()
  await one.line('stderr', /is back/)
  await delay(7_000)
  const outcomes = (await Promise.all(runs.map((run) => run.stop()))).flat()
  holdAtMost(200, 2_000)
  const backAt = arrivals.filter(({ at }) => at > startedAt).length
  assert.ok(backAt >= 300, `${backAt} were let through when it was back`)
  // Whether one of these had waited long enough for its 503 when the store came back is chance.
  const statuses = new Set(outcomes.map((run) => (run.kind === 'answered' ? run.status : run.error)))
  statuses.delete(503)
  assert.deepEqual([...statuses].sort(), [200, 429])
})

test('limits that are changed while the mesh runs keep what was counted', async (t) => {
  const limit = { name: 'all', requests: 2, unit: 'hour' }
  const mesh = await start(t, [limit])
  await awayFromEnd(60 * MINUTE, 10_000)
  const statuses = [(await ask(mesh)).status, (await ask(mesh)).status, (await ask(mesh)).status]
  mesh.write('mesh.yaml', manifests([{ ...limit, requests: 3 }]))
  await mesh.line('stderr', /^mayfly: applied/)
  await until(async () => (await ask(mesh, '/again')).status === 200)
  statuses.push((await ask(mesh)).status)
  assert.deepEqual(statuses, [200, 200, 429, 429])
})
