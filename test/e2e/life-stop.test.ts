// The end of a mesh on SIGTERM: requests under way end, nothing new begins, nothing is left.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { test } from 'node:test'
import { descendants, isThere } from '../cli/process-family.ts'
import { RawClient } from '../raw-client.ts'
import { startTestMesh } from '../start-mesh.ts'
import { counted, functionManifest, meshConfig, startServer, until } from './cluster.ts'

/** Answers in two parts, the second when the file named `go` beside it is there; calls a function for `/call` then. */
const SLOW = `
import { existsSync } from 'node:fs'
export default {
  fetch(request) {
    const { pathname } = new URL(request.url)
    if (pathname === '/') return new Response('quick')
    const parts = async function* () {
      yield 'begun '
      while (!existsSync(new URL('./go', import.meta.url))) await new Promise((resolve) => setTimeout(resolve, 5))
      yield pathname === '/call' ? 'called ' + await fetch('http://slow/').then((answer) => answer.text()) : 'ended'
    }
    return new Response(ReadableStream.from(parts()).pipeThrough(new TextEncoderStream()))
  },
}`

test('on SIGTERM requests under way end, new connections are refused, and nothing is left', async () => {
  const server = await startServer((incoming, answer) => {
    if (incoming.url === '/held') held = () => answer.end('held until now')
    else answer.end('quick')
  })
  let held: () => void = () => assert.fail('the request has not arrived')
  const mesh = await startTestMesh({
    'slow.ts': SLOW,
    'mesh.yaml': meshConfig({ engines: 2 }),
    'slow.yaml': functionManifest({ name: 'slow', image: 'file:./slow.ts', concurrency: 20 }),
    'outside.yaml': functionManifest({
      name: 'outside',
      image: `endpoint:${server.address}`,
      concurrency: 1,
    }),
  })
  const head = (name: string, path: string) => `GET ${path} HTTP/1.1\r\nhost: ${name}.test.localhost\r\n\r\n`
  const slow = await RawClient.connect(mesh.port)
  slow.send(head('slow', '/slow'))
  await slow.receive(/begun/)
  const calling = []
  // Enough of them that both engines have some; what they call may be the other's to serve.
  for (let i = 0; i < 6; i++) {
    const one = await RawClient.connect(mesh.port)
    one.send(head('slow', '/call'))
    await one.receive(/begun/)
    calling.push(one)
  }
  const outside = await RawClient.connect(mesh.port)
  outside.send(head('outside', '/held'))
  await until(
    () => counted(mesh, 'requestsInFlight'),
    (count) => count === 8,
  )
  // This one waits for the slot that the one before it holds.
  const queued = await RawClient.connect(mesh.port)
  queued.send(head('outside', '/quick'))
  await until(
    () => counted(mesh, 'requestsInFlight'),
    (count) => count === 9,
  )
  const idle = await RawClient.connect(mesh.port)
  idle.send(head('slow', '/'))
  await idle.receive(/quick/)
  const family = descendants(mesh.process.pid!)
  assert.ok(family.length >= 4, 'two engines, an instance, the keeper')

  const exited = once(mesh.process, 'exit')
  mesh.process.kill('SIGTERM')
  await mesh.line('stderr', /SIGTERM/)
  await idle.receive()
  await until(
    () => isOpen(mesh.port),
    (open) => !open,
  )
  assert.equal(mesh.process.exitCode, null, 'it waits for the requests under way')
  mesh.write('go', '')
  assert.match(await slow.receive(), /^HTTP\/1\.1 200 .*begun .*ended\r\n0\r\n\r\n$/s)
  for (const one of calling) assert.match(await one.receive(), /^HTTP\/1\.1 200 .*called quick\r\n/s)
  held()
  assert.match(await outside.receive(), /^HTTP\/1\.1 200 .*held until now$/s)
  assert.match(await queued.receive(), /^HTTP\/1\.1 200 .*quick$/s)
  assert.deepEqual(await exited, [0, null])
  await until(
    async () => family.filter(isThere),
    (left) => left.length === 0,
  )
  for (const client of [slow, ...calling, outside, queued, idle]) client.close()
  await mesh.stop()
  await server.close()
})

test('after the drain time-out the rest is cut, and the mesh ends', async () => {
  const mesh = await startTestMesh({
    'slow.ts': SLOW,
    'mesh.yaml': meshConfig({ engines: 1, limits: { drainTimeoutMs: 200 } }),
    'slow.yaml': functionManifest({ name: 'slow', image: 'file:./slow.ts' }),
  })
  const slow = await RawClient.connect(mesh.port)
  slow.send('GET /slow HTTP/1.1\r\nhost: slow.test.localhost\r\n\r\n')
  await slow.receive(/begun/)
  const exited = once(mesh.process, 'exit')
  mesh.process.kill('SIGTERM')
  assert.doesNotMatch(await slow.receive(), /ended/)
  assert.deepEqual(await exited, [0, null])
  slow.close()
  await mesh.stop()
})

test('a second signal ends it at once, and nothing is left', async () => {
  const mesh = await startTestMesh({
    'slow.ts': SLOW,
    'mesh.yaml': meshConfig({ engines: 2 }),
    'slow.yaml': functionManifest({ name: 'slow', image: 'file:./slow.ts' }),
  })
  const slow = await RawClient.connect(mesh.port)
  slow.send('GET /slow HTTP/1.1\r\nhost: slow.test.localhost\r\n\r\n')
  await slow.receive(/begun/)
  const family = descendants(mesh.process.pid!)
  const exited = once(mesh.process, 'exit')
  mesh.process.kill('SIGTERM')
  await mesh.line('stderr', /SIGTERM/)
  mesh.process.kill('SIGINT')
  assert.deepEqual(await exited, [130, null])
  await until(
    async () => family.filter(isThere),
    (left) => left.length === 0,
  )
  slow.close()
  await mesh.stop()
})

function isOpen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' })
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
