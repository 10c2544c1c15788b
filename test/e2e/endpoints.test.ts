// Functions that somebody else serves, at several addresses.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { startTestMesh, type TestMesh } from '../start-mesh.ts'
import {
  Client,
  counted,
  freePort,
  functionManifest,
  meshConfig,
  settled,
  startServer,
  type TestServer,
  until,
} from './cluster.ts'

let mesh: TestMesh
let client: Client
let servers: TestServer[]
let alone: TestServer
let deadPort: number

before(async () => {
  servers = await Promise.all([0, 1, 2].map((i) => startServer((_, answer) => answer.end(String(i)))))
  alone = await startServer((_, answer) => answer.end('alive'))
  deadPort = await freePort()
  const addresses = servers.map(({ address }) => address).join(',')
  const dead = `127.0.0.1:${deadPort}`
  mesh = await startTestMesh({
    'mesh.yaml': meshConfig({ engines: 2 }),
    'balanced.yaml': functionManifest({ name: 'balanced', image: `endpoint:${addresses}` }),
    'half-dead.yaml': functionManifest({ name: 'half-dead', image: `endpoint:${dead},${alone.address}` }),
    'dead.yaml': functionManifest({ name: 'dead', image: `endpoint:${dead},127.0.0.1:${await freePort()}` }),
  })
  client = new Client(mesh)
})

after(async () => {
  await settled(mesh)
  client.close()
  await mesh.stop()
  await Promise.all([...servers, alone].map((server) => server.close()))
})

test('requests are spread over all addresses', async () => {
  for (let i = 0; i < 60; i++) assert.equal((await client.get('/', 'balanced')).status, 200)
  // Two engines take turns of their own.
  for (const server of servers) assert.ok(server.requests >= 15, `${server.requests} of 60 requests`)
})

test('requests at once are spread by load', async () => {
  const answers = await Promise.all(Array.from({ length: 30 }, () => client.get('/', 'balanced')))
  assert.deepEqual([...new Set(answers.map(({ body }) => body))].sort(), ['0', '1', '2'])
})

test('an address that refuses connections costs no request', async () => {
  for (let i = 0; i < 40; i++) {
    const { status, body } = await client.get(`/${i}`, 'half-dead')
    assert.deepEqual({ status, body }, { status: 200, body: 'alive' })
  }
  assert.ok((await counted(mesh, 'upstreamConnectFailed')) > 0)
})

test('a body goes to the address that accepts', async () => {
  for (let i = 0; i < 10; i++) {
    const headers = { host: 'half-dead.test.localhost', connection: 'close' }
    const { status } = await client.send({ path: '/', method: 'POST', headers, body: 'x'.repeat(10_000) })
    assert.equal(status, 200)
  }
})

test('where no address accepts, the answer is 503 at once, and service begins when one does', async () => {
  const startedAt = performance.now()
  for (let i = 0; i < 10; i++) {
    const { status, body, headers } = await client.get('/', 'dead')
    assert.equal(status, 503)
    assert.match(body, /no connection to .*127\.0\.0\.1:/)
    assert.equal(headers['retry-after'], '1')
  }
  assert.ok(performance.now() - startedAt < 1_000)
  const risen = await startServer((_, answer) => answer.end('risen'), deadPort)
  await until(
    () => client.get('/', 'dead'),
    ({ status, body }) => status === 200 && body === 'risen',
  )
  await risen.close()
})

test('an engine that has no slot of a function that comes later waits for one instead of refusing', async () => {
  mesh.write(
    'limited.yaml',
    functionManifest({ name: 'limited', image: `endpoint:${alone.address}`, concurrency: 1 }),
  )
  const ask = () =>
    // Each over a connection of its own, so that both engines get some.
    client.send({ path: '/', headers: { host: 'limited.test.localhost', connection: 'close' } })
  await until(ask, ({ status }) => status !== 404)
  const answers = []
  for (let i = 0; i < 20; i++) answers.push(await ask())
  answers.push(...(await Promise.all(Array.from({ length: 40 }, ask))))
  assert.deepEqual([...new Set(answers.map(({ status, body }) => `${status} ${body}`))], ['200 alive'])
})
