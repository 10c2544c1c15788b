// Keep-alive and pipelining: requests of one connection are answered once each, in their order.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { echoPath, type HttpMesh, type Instance, startHttpMesh, startInstance } from './http-world.ts'

let mesh: HttpMesh
let echo: Instance
let slow: Instance
before(async () => {
  echo = await startInstance(echoPath)
  slow = await startInstance()
  const one = `apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: slow, namespace: test}
spec: {template: {spec: {containerConcurrency: 1, containers: [{image: 'endpoint:${slow.address}'}]}}}`
  mesh = await startHttpMesh({ echo: echo.address }, { more: one })
})
after(async () => {
  await mesh?.stop()
  echo?.close()
  slow?.close()
})

const get = (path: string, host = 'echo.test.localhost', fields = '') =>
  `GET ${path} HTTP/1.1\r\nhost: ${host}\r\n${fields}\r\n`

const bodies = (text: string) => [...text.matchAll(/\r\n\r\n(\/[^H]*)/g)].map((match) => match[1])

test('a connection carries one request after the other, on one connection to the instance', async () => {
  const client = await mesh.client()
  for (const path of ['/a', '/b', '/c']) {
    client.clear()
    client.send(get(path))
    assert.match(await client.receive(new RegExp(`${path}$`)), /^HTTP\/1\.1 200 /)
  }
  client.close()
  assert.equal(echo.connections.length, 1)
})

test('a burst of 100 requests in one packet is answered in order', async () => {
  const paths = Array.from({ length: 100 }, (_, i) => `/${i}`)
  const client = await mesh.client()
  client.send(paths.map((path) => get(path)).join(''))
  assert.deepEqual(bodies(await client.receive(/\/99$/)), paths)
  client.close()
})

test('a refused request in the middle is answered in its place, and the connection goes on', async () => {
  const client = await mesh.client()
  client.send(get('/first') + get('/lost', 'nobody.test.localhost') + get('/last'))
  const text = await client.receive(/\/last$/)
  assert.deepEqual(
    [...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map((match) => match[1]),
    ['200', '404', '200'],
  )
  client.close()
})

test('requests that come in two packets while the first one waits for an instance keep their order', async () => {
  const holder = await mesh.client()
  holder.send(get('/held', 'slow.test.localhost'))
  const instance = await slow.accepted()
  await instance.receive(/\r\n\r\n$/)
  const client = await mesh.client()
  const asks = ['/one', '/two', '/three']
  client.send(get(asks[0]!, 'slow.test.localhost') + get(asks[1]!))
  await mesh.counted({ requestsInFlight: 2 })
  client.send(get(asks[2]!))
  // The engine has read the third once it has read this, which came later.
  const later = await mesh.client()
  later.send(get('/later'))
  await later.receive(/\/later$/)
  instance.received = ''
  instance.socket.write('HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n/held')
  await instance.receive(/GET \/one [\s\S]*\r\n\r\n$/)
  instance.socket.write('HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n/one')
  assert.deepEqual(bodies(await client.receive(/\/(two|three)[\s\S]*\/(two|three)$/)), asks)
  for (const one of [holder, client, later]) one.close()
})

test('connection: close ends it after that answer; what follows is not served', async () => {
  const client = await mesh.client()
  client.send(get('/last', undefined, 'connection: close\r\n') + get('/never'))
  const text = await client.receive()
  assert.deepEqual(bodies(text), ['/last'])
  assert.match(text, /connection: close/i)
})

test('a request cut into single bytes is one request', async () => {
  const client = await mesh.client()
  for (const byte of get('/bytes')) client.send(byte)
  assert.match(await client.receive(/\/bytes$/), /^HTTP\/1\.1 200 /)
  client.close()
})

test('a malformed request behind a good one is refused in its place with 400 and ends the connection', async () => {
  const client = await mesh.client()
  client.send(`${get('/good')}GET  / HTTP/1.1\r\nhost: x\r\n\r\n${get('/never')}`)
  const text = await client.receive()
  assert.deepEqual(
    [...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map((match) => match[1]),
    ['200', '400'],
  )
})
