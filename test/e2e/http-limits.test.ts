// What is too large or too many is refused with the status that says so, and a connection goes on where it safely can.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { RawClient } from '../raw-client.ts'
import { echoPath, type HttpMesh, type Instance, startHttpMesh, startInstance } from './http-world.ts'

const MAX_HEAD = 2_048
const MAX_FIELDS = 128
const HOST = 'host: echo.test.localhost'

let mesh: HttpMesh
let echo: Instance
let silent: Instance
before(async () => {
  echo = await startInstance(echoPath)
  silent = await startInstance()
  mesh = await startHttpMesh(
    { echo: echo.address, silent: silent.address },
    { limits: { maxHeadBytes: MAX_HEAD, maxConnections: 8, maxRequestsInFlight: 3 } },
  )
})
after(async () => {
  await mesh?.stop()
  echo?.close()
  silent?.close()
})

/** A request whose head has `bytes` bytes. */
function headOf(bytes: number): string {
  const head = `GET /x HTTP/1.1\r\n${HOST}\r\nx-fill: \r\n\r\n`
  return head.replace('x-fill: ', `x-fill: ${'a'.repeat(bytes - head.length)}`)
}

test('a head of the largest size is served; one byte more gets 431', async () => {
  const client = await mesh.client()
  client.send(headOf(MAX_HEAD))
  assert.match(await client.receive(/\/x$/), /^HTTP\/1\.1 200 /)
  client.clear()
  client.send(headOf(MAX_HEAD + 1))
  assert.match(await client.receive(), /^HTTP\/1\.1 431 [\s\S]*connection: close/i)
})

test('a head that grows without end gets 431 long before its end', async () => {
  const client = await mesh.client()
  client.send(`GET / HTTP/1.1\r\n${HOST}\r\nx: ${'a'.repeat(4 * MAX_HEAD)}`)
  assert.match(await client.receive(), /^HTTP\/1\.1 431 /)
})

test('a target longer than a head may be is refused', async () => {
  const client = await mesh.client()
  client.send(`GET /${'a'.repeat(2 * MAX_HEAD)} HTTP/1.1\r\n${HOST}\r\n\r\n`)
  assert.match(await client.receive(), /^HTTP\/1\.1 4(14|31) /)
})

test(`${MAX_FIELDS} fields are served; one more gets 431`, async () => {
  for (const [count, status] of [
    [MAX_FIELDS, 200],
    [MAX_FIELDS + 1, 431],
  ] as const) {
    const client = await mesh.client()
    const fields = Array.from({ length: count - 2 }, (_, i) => `a${i}: b\r\n`).join('')
    client.send(`GET /x HTTP/1.1\r\n${HOST}\r\n${fields}connection: close\r\n\r\n`)
    assert.match(await client.receive(), new RegExp(`^HTTP/1\\.1 ${status} `))
  }
})

test('a connection above maxConnections is closed, and one is accepted again when another has ended', async () => {
  await mesh.counted({ connectionsOpen: 0 })
  const clients = await Promise.all(Array.from({ length: 8 }, () => mesh.client()))
  await mesh.counted({ connectionsOpen: 8 })
  const ninth = await mesh.client()
  assert.equal(await ninth.receive(), '')
  await mesh.counted({ connectionsRefused: 1 })
  clients.pop()!.close()
  await mesh.counted({ connectionsOpen: 7 })
  const tenth = await mesh.client()
  tenth.send(`GET /x HTTP/1.1\r\n${HOST}\r\n\r\n`)
  assert.match(await tenth.receive(/\/x$/), /^HTTP\/1\.1 200 /)
  for (const client of [...clients, tenth]) client.close()
  await mesh.counted({ connectionsOpen: 0 })
})

test('a request above maxRequestsInFlight gets 503 with retry-after, and its connection serves the next one', async () => {
  const held = await Promise.all([0, 1, 2].map(() => mesh.client()))
  for (const client of held) client.send('GET / HTTP/1.1\r\nhost: silent.test.localhost\r\n\r\n')
  await mesh.counted({ requestsInFlight: 3 })
  const client = await mesh.client()
  const request = `GET /x HTTP/1.1\r\n${HOST}\r\n\r\n`
  client.send(request)
  assert.match(await client.receive(/may have/), /^HTTP\/1\.1 503 [\s\S]*retry-after: 1\r\n/i)
  await mesh.counted({ requestsOverLimit: 1 })
  held.pop()!.close()
  await mesh.counted({ requestsInFlight: 2 })
  client.clear()
  client.send(request)
  assert.match(await client.receive(/\/x$/), /^HTTP\/1\.1 200 /)
  for (const one of [...held, client]) one.close()
  await mesh.counted({ requestsInFlight: 0 })
})

test('a connection goes on behind a refusal where nothing follows the head, and ends where a body does', async () => {
  const unknown = 'HTTP/1.1\r\nhost: nobody.test.localhost\r\n'
  const client = await mesh.client()
  client.send(`GET / ${unknown}\r\n`)
  assert.match(await client.receive(/nobody\.test\.localhost/), /^HTTP\/1\.1 404 /)
  client.clear()
  client.send(`GET /x HTTP/1.1\r\n${HOST}\r\n\r\n`)
  assert.match(await client.receive(/\/x$/), /^HTTP\/1\.1 200 /)
  client.clear()
  client.send(`POST / ${unknown}content-length: 3\r\n\r\nabc`)
  assert.match(await client.receive(), /^HTTP\/1\.1 404 [\s\S]*connection: close/i)
})

test('a function’s calls have the same bounds', async () => {
  const { hostname, port } = new URL(mesh.functions['test/silent']!.egress)
  const client = await RawClient.connect(Number(port), hostname)
  client.send(headOf(MAX_HEAD + 1))
  assert.match(await client.receive(), /^HTTP\/1\.1 431 /)
})
