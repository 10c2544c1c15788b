// WebSockets pass through the gateway and from function to function, and whichever side ends, the other learns it.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, afterEach, before, test } from 'node:test'
import { WebSocket, WebSocketServer } from 'ws'
import { type HttpMesh, startHttpMesh } from './http-world.ts'

const MB = 1_000_000

let mesh: HttpMesh
let server: Server
let sockets: WebSocketServer
before(async () => {
  server = createServer((_, answer) => {
    answer.writeHead(426, { connection: 'upgrade', upgrade: 'websocket' }).end('no')
  })
  sockets = new WebSocketServer({ noServer: true, maxPayload: 20 * MB })
  server.on('upgrade', (request, socket, head) => {
    if (request.url === '/refused') {
      socket.end('HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno')
      return
    }
    sockets.handleUpgrade(request, socket, head, (ws) => {
      ws.on('message', (data, isBinary) => ws.send(data, { binary: isBinary }))
      if (request.url === '/greets') ws.send('hello')
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`
  mesh = await startHttpMesh({ fn: address, caller: '127.0.0.1:9' })
})
afterEach(() => mesh.counted({ requestsInFlight: 0 }))
after(async () => {
  await mesh?.stop()
  server?.closeAllConnections()
  server?.close()
})

const ways: Record<string, (path: string) => WebSocket> = {
  'through the gateway': (path) => {
    return new WebSocket(`ws://127.0.0.1:${mesh.port}${path}`, { headers: { host: 'fn.test.localhost' } })
  },
  'from a function': (path) => {
    const { host } = new URL(mesh.functions['test/caller']!.egress)
    return new WebSocket(`ws://${host}${path}`, { headers: { host: 'fn' } })
  },
}

for (const [way, connect] of Object.entries(ways)) {
  test(`${way}: messages go both ways, and the client’s close reaches the instance`, async () => {
    const client = connect('/')
    await once(client, 'open')
    const [atInstance] = sockets.clients
    const instanceClosed = once(atInstance!, 'close')
    for (const text of ['one', 'two', '']) {
      client.send(text)
      assert.equal(String((await once(client, 'message'))[0]), text)
    }
    client.close(4001, 'enough')
    const [code, reason] = await once(client, 'close')
    assert.deepEqual([code, String(reason)], [4001, 'enough'])
    assert.equal((await instanceClosed)[0], 4001)
  })

  test(`${way}: a message of 10 MB comes back whole`, async () => {
    const message = Buffer.from(Array.from({ length: 10 * MB }, (_, i) => (i * i) >> 7))
    const client = connect('/')
    await once(client, 'open')
    client.send(message)
    const [echoed] = await once(client, 'message')
    assert.ok(message.equals(echoed))
    client.close()
    await once(client, 'close')
  })

  test(`${way}: what the instance sends right behind its 101 arrives, and so does its close`, async () => {
    const client = connect('/greets')
    const closed = once(client, 'close')
    assert.equal(String((await once(client, 'message'))[0]), 'hello')
    for (const ws of sockets.clients) ws.close(4002, 'done')
    const [code, reason] = await closed
    assert.deepEqual([code, String(reason)], [4002, 'done'])
  })

  test(`${way}: a side that vanishes takes the other with it`, async () => {
    const first = connect('/')
    await once(first, 'open')
    const [atInstance] = sockets.clients
    const gone = once(atInstance!, 'close')
    first.terminate()
    assert.equal((await gone)[0], 1006)
    const second = connect('/')
    await once(second, 'open')
    const closed = once(second, 'close')
    for (const ws of sockets.clients) ws.terminate()
    assert.equal((await closed)[0], 1006)
  })

  test(`${way}: an instance that refuses to switch is heard, and its answer is whole`, async () => {
    const client = connect('/refused')
    client.on('error', () => {})
    const [, response] = await once(client, 'unexpected-response')
    assert.equal(response.statusCode, 400)
    let text = ''
    for await (const part of response) text += part
    assert.equal(text, 'no')
    client.terminate()
  })
}

test('an instance that asks for an upgrade: 426 with its Upgrade field', async () => {
  const client = await mesh.client()
  client.send('GET / HTTP/1.1\r\nhost: fn.test.localhost\r\nconnection: close\r\n\r\n')
  const text = await client.receive()
  assert.match(text, /^HTTP\/1\.1 426 [\s\S]*\r\nupgrade: websocket\r\n/i)
})
