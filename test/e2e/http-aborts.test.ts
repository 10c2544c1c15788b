// Whoever goes away, the other side learns it soon, and nothing is left behind.

import assert from 'node:assert/strict'
import { after, afterEach, before, test } from 'node:test'
import { type HttpMesh, type Instance, startHttpMesh, startInstance } from './http-world.ts'

const GET = 'GET / HTTP/1.1\r\nhost: fn.test.localhost\r\n\r\n'

let mesh: HttpMesh
let instance: Instance
before(async () => {
  instance = await startInstance()
  mesh = await startHttpMesh({ fn: instance.address })
})
afterEach(() => mesh.counted({ requestsInFlight: 0 }))
after(async () => {
  await mesh?.stop()
  instance?.close()
})

test('a client that goes away while it waits takes the instance’s connection with it', async () => {
  const client = await mesh.client()
  client.send(GET)
  const connection = await instance.accepted()
  await connection.receive(/\r\n\r\n$/)
  client.close()
  await connection.closed
  await mesh.counted({ clientsAborted: 1 })
})

test('a client that goes away inside its body', async () => {
  const client = await mesh.client()
  client.send('POST / HTTP/1.1\r\nhost: fn.test.localhost\r\ncontent-length: 10\r\n\r\nabc')
  const connection = await instance.accepted()
  await connection.receive(/abc$/)
  client.close()
  await connection.closed
  await mesh.counted({ clientsAborted: 2 })
})

test('a client that goes away inside the answer', async () => {
  const client = await mesh.client()
  client.send(GET)
  const connection = await instance.accepted()
  connection.socket.write('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc')
  await client.receive(/abc$/)
  client.close()
  await connection.closed
  await mesh.counted({ clientsAborted: 3 })
})

test('an instance that dies before its head: 502', async () => {
  const client = await mesh.client()
  client.send(GET)
  const connection = await instance.accepted()
  await connection.receive(/\r\n\r\n$/)
  connection.socket.destroy()
  assert.match(await client.receive(/before it answered/), /^HTTP\/1\.1 502 /)
  await mesh.counted({ upstreamAborted: 1 })
  client.close()
})

test('an instance that dies inside its body: the answer is cut, never ended', async () => {
  const client = await mesh.client()
  client.send(GET)
  const connection = await instance.accepted()
  connection.socket.write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n')
  await client.receive(/abc\r\n$/)
  connection.socket.destroy()
  assert.match(await client.receive(), /abc\r\n$/)
  await mesh.counted({ upstreamAborted: 2 })
})

test('an early answer to an unfinished body reaches the client, and the connection ends', async () => {
  const client = await mesh.client()
  client.send('POST / HTTP/1.1\r\nhost: fn.test.localhost\r\ncontent-length: 10\r\n\r\nabc')
  const connection = await instance.accepted()
  await connection.receive(/abc$/)
  connection.socket.write('HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\n\r\nbig')
  assert.match(await client.receive(), /^HTTP\/1\.1 413 [\s\S]*big$/)
})

test('an answer that is not HTTP: 502', async () => {
  const client = await mesh.client()
  client.send(GET)
  const connection = await instance.accepted()
  await connection.receive(/\r\n\r\n$/)
  connection.socket.write('SSH-2.0-x\r\n\r\n')
  assert.match(await client.receive(/not acceptable/), /^HTTP\/1\.1 502 /)
  await connection.closed
  await mesh.counted({ upstreamBad: 1 })
  client.close()
})
