// Nothing waits for ever: the deadlines of heads, idle connections, whole requests and standing streams.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { echoPath, type HttpMesh, type Instance, startHttpMesh, startInstance } from './http-world.ts'

let mesh: HttpMesh
let echo: Instance
let silent: Instance
before(async () => {
  echo = await startInstance(echoPath)
  silent = await startInstance()
  const slow = `apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: slow, namespace: test}
spec: {template: {spec: {timeoutSeconds: 1, containers: [{image: 'endpoint:${silent.address}'}]}}}`
  mesh = await startHttpMesh(
    { echo: echo.address, silent: silent.address },
    { limits: { headTimeoutMs: 300, idleTimeoutMs: 300, streamIdleTimeoutMs: 300 }, more: slow },
  )
})
after(async () => {
  await mesh?.stop()
  echo?.close()
  silent?.close()
})

test('a head that does not end gets 408 and the connection ends', async () => {
  const client = await mesh.client()
  client.send('GET / HTTP/1.1\r\nhost: echo')
  assert.match(await client.receive(), /^HTTP\/1\.1 408 [\s\S]*connection: close/i)
  await mesh.counted({ headsTimedOut: 1 })
})

test('a connection without a request ends without a word', async () => {
  const fresh = await mesh.client()
  assert.equal(await fresh.receive(), '')
  const used = await mesh.client()
  used.send('GET /x HTTP/1.1\r\nhost: echo.test.localhost\r\n\r\n')
  assert.match(await used.receive(), /^HTTP\/1\.1 200 [\s\S]*\/x$/)
})

test('a request that is not answered in its function’s time gets 504, and its instance’s connection is closed', async () => {
  const client = await mesh.client()
  client.send('GET / HTTP/1.1\r\nhost: slow.test.localhost\r\n\r\n')
  const instance = await silent.accepted()
  assert.match(await client.receive(/did not answer/), /^HTTP\/1\.1 504 /)
  await instance.closed
  await mesh.counted({ timedOut: 1, requestsInFlight: 0 })
  client.close()
})

test('a request body that stands still gets 408, soon and not at the end of the whole time', async () => {
  const client = await mesh.client()
  client.send('POST / HTTP/1.1\r\nhost: silent.test.localhost\r\ncontent-length: 10\r\n\r\nabc')
  const instance = await silent.accepted()
  assert.match(await client.receive(), /^HTTP\/1\.1 408 /)
  await instance.closed
})

test('an answer that stands still is cut', async () => {
  const client = await mesh.client()
  client.send('GET / HTTP/1.1\r\nhost: silent.test.localhost\r\n\r\n')
  const instance = await silent.accepted()
  instance.socket.write('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc')
  assert.match(await client.receive(), /\r\n\r\nabc$/)
  await instance.closed
})

test('an upgraded connection without bytes is cut', async () => {
  const client = await mesh.client()
  client.send('GET / HTTP/1.1\r\nhost: silent.test.localhost\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n')
  const instance = await silent.accepted()
  instance.socket.write('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\nhello')
  assert.match(await client.receive(), /\r\n\r\nhello$/)
  await instance.closed
  await mesh.counted({ streamsIdle: 3, requestsInFlight: 0 })
})
