// Expect: 100-continue (RFC 9110 10.1.1): the instance decides, the client need not wait, and other expectations fail.

import assert from 'node:assert/strict'
import { after, afterEach, before, test } from 'node:test'
import { type HttpMesh, type Instance, startHttpMesh, startInstance } from './http-world.ts'

const head = (fields: string, version = '1.1') =>
  `POST / HTTP/${version}\r\nhost: fn.test.localhost\r\ncontent-length: 3\r\n${fields}\r\n`
const EXPECT = 'expect: 100-continue\r\n'
const CONTINUE = 'HTTP/1.1 100 Continue\r\n\r\n'
const DONE = 'HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\ndone'

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

test('the instance is asked before the body is sent, and its 100 reaches the client', async () => {
  const client = await mesh.client()
  client.send(head(EXPECT))
  const connection = await instance.accepted()
  assert.match(await connection.receive(/\r\n\r\n$/), /^expect: 100-continue$/im)
  connection.socket.write(CONTINUE)
  assert.match(await client.receive(/\r\n\r\n$/), /^HTTP\/1\.1 100 /)
  client.clear()
  client.send('abc')
  await connection.receive(/\r\n\r\nabc$/)
  connection.socket.end(DONE)
  assert.match(await client.receive(/done$/), /^HTTP\/1\.1 200 /)
  client.close()
})

test('an instance that does not want the body: its answer reaches the client, and no 100', async () => {
  const client = await mesh.client()
  client.send(head(EXPECT))
  const connection = await instance.accepted()
  await connection.receive(/\r\n\r\n$/)
  connection.socket.write('HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\n\r\nbig')
  assert.match(await client.receive(), /^HTTP\/1\.1 413 [\s\S]*big$/)
  await connection.closed
})

test('a client that does not wait for the 100', async () => {
  const client = await mesh.client()
  client.send(`${head(EXPECT)}abc`)
  const connection = await instance.accepted()
  await connection.receive(/\r\n\r\nabc$/)
  connection.socket.end(CONTINUE + DONE)
  assert.match(await client.receive(/done$/), /^HTTP\/1\.1 100 [^\r]*\r\n\r\nHTTP\/1\.1 200 /)
  client.close()
})

test('an instance that never says 100 but answers', async () => {
  const client = await mesh.client()
  client.send(`${head(EXPECT)}abc`)
  const connection = await instance.accepted()
  await connection.receive(/\r\n\r\nabc$/)
  connection.socket.end(DONE)
  assert.match(await client.receive(/done$/), /^HTTP\/1\.1 200 /)
  client.close()
})

test('other interim answers pass too, but none reaches an HTTP/1.0 client', async () => {
  const hints = 'HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n\r\n'
  for (const version of ['1.1', '1.0']) {
    const client = await mesh.client()
    client.send(`${head('', version)}abc`)
    const connection = await instance.accepted()
    await connection.receive(/\r\n\r\nabc$/)
    connection.socket.end(hints + DONE)
    const text = await client.receive(/done$/)
    if (version === '1.1')
      assert.match(text, /^HTTP\/1\.1 103 [^\r]*\r\nlink: <\/a>; rel=preload\r\n\r\nHTTP\/1\.1 200 /i)
    else assert.match(text, /^HTTP\/1\.[01] 200 /)
    client.close()
  }
})

test('any other expectation gets 417, and the instance is not asked', async () => {
  const before = instance.connections.length
  const client = await mesh.client()
  client.send(`${head('expect: a-miracle\r\n')}abc`)
  assert.match(await client.receive(), /^HTTP\/1\.1 417 /)
  assert.equal(instance.connections.length, before)
})

test('an endless row of interim answers ends in 502 and with the connection of the instance', async () => {
  const client = await mesh.client()
  client.send('GET / HTTP/1.1\r\nhost: fn.test.localhost\r\n\r\n')
  const connection = await instance.accepted()
  await connection.receive(/\r\n\r\n$/)
  connection.socket.write('HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(33))
  const received = await client.receive(/HTTP\/1\.1 502 /)
  assert.equal(received.match(/HTTP\/1\.1 103 /g)?.length, 32)
  await connection.closed
  await mesh.counted({ upstreamBad: 1 })
  client.close()
})
