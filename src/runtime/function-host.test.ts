import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, request } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { WebSocket } from 'ws'
import type { Instance } from './instance.ts'
import type { InstanceSet } from './instance-set.ts'
import type { LogBook } from './log-book.ts'
import { ended, folder, recorded, runtime, spec } from './testing.ts'

type Served = { port: number; instance: Instance; set: InstanceSet; logs: LogBook; path: string }

async function serve(t: TestContext, module: string, mesh: Record<string, string> = {}): Promise<Served> {
  const path = folder(t, { 'fn.ts': module })
  const made = runtime(t)
  const of = spec(
    { kind: 'file', path: join(path, 'fn.ts') },
    { env: [{ name: 'GREETING', value: 'hello $(K_SERVICE) $(TZ) $$' }] },
  )
  const { set, seen } = recorded(made, of, { environment: () => mesh })
  set.setDesired(1)
  const failed = seen.next('failed').then(({ reason }) => assert.fail(reason))
  const { instance } = await Promise.race([seen.next('ready'), failed])
  return { port: instance.address.port, instance, set, logs: made.logs, path }
}

/** The next line in the function's log that matches. */
function logged(logs: LogBook, pattern: RegExp): Promise<string> {
  return new Promise((resolve) => {
    const unsubscribe = logs.subscribe({}, ({ text }) => {
      if (!pattern.test(text)) return
      unsubscribe()
      resolve(text)
    })
  })
}

/** Sends bytes and gives all that comes back until the end, or until it matches. */
async function exchange(port: number, bytes: string, until?: RegExp): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  socket.write(bytes)
  const text = await read(socket, until)
  socket.destroy()
  return text
}

async function read(socket: Socket, until?: RegExp): Promise<string> {
  let text = ''
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    text += (chunk as Buffer).toString('latin1')
    if (until?.test(text)) break
  }
  return text
}

test('requests and responses pass with method, target, fields and bodies', async (t) => {
  const { port } = await serve(
    t,
    `export default async function (request: Request) {
      const { pathname, search, host } = new URL(request.url)
      const seen = { method: request.method, pathname, search, host, twice: request.headers.get('x-twice'),
        body: await request.text(), greeting: process.env.GREETING, port: process.env.PORT }
      const headers = new Headers({ 'x-kind': 'test' })
      headers.append('set-cookie', 'a=1')
      headers.append('set-cookie', 'b=2')
      return new Response(JSON.stringify(seen), { status: 201, statusText: 'Made', headers })
    }`,
  )
  const bytes =
    'PUT /a%2Fb?c=d HTTP/1.1\r\nHost: cart.shop:80\r\nX-Twice: 1\r\nX-Twice: 2\r\nContent-Length: 3\r\nConnection: close\r\n\r\nxyz'
  const [head, body] = (await exchange(port, bytes)).split('\r\n\r\n')
  assert.match(head!, /^HTTP\/1\.1 201 Made\r\n/)
  assert.match(head!, /x-kind: test\r\nset-cookie: a=1\r\nset-cookie: b=2|set-cookie: a=1\r\nset-cookie: b=2/)
  assert.match(head!, new RegExp(`content-length: ${body!.length}\r\n`))
  const { greeting, ...seen } = JSON.parse(body!)
  assert.deepEqual(seen, {
    method: 'PUT',
    pathname: '/a%2Fb',
    search: '?c=d',
    host: 'cart.shop',
    twice: '1, 2',
    body: 'xyz',
    port: String(port),
  })
  assert.equal(greeting, `hello $(K_SERVICE) ${process.env.TZ ?? '$(TZ)'} $`)
})

test('bodies stream both ways at once', async (t) => {
  const { port } = await serve(
    t,
    'export default { fetch: (request: Request) => new Response(request.body) }',
  )
  const sent = request({ port, host: '127.0.0.1', method: 'POST', path: '/', agent: false })
  sent.write('one')
  const [response] = await once(sent, 'response')
  const chunks = response[Symbol.asyncIterator]()
  assert.equal(String((await chunks.next()).value), 'one')
  sent.write('two')
  assert.equal(String((await chunks.next()).value), 'two')
  sent.end()
  assert.ok((await chunks.next()).done)
})

test('a body that nobody reads is not read from the connection', async (t) => {
  const { port, logs } = await serve(
    t,
    `export default { async fetch(request: Request) {
      console.log('waiting')
      await new Promise((resolve) => setTimeout(resolve, 300))
      let length = 0
      for await (const chunk of request.body!) length += chunk.length
      return new Response(String(length))
    } }`,
  )
  const socket = connect(port, '127.0.0.1')
  const waiting = logged(logs, /waiting/)
  const length = 64 * 1024 * 1024
  socket.write(`POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: ${length}\r\n\r\n`)
  socket.write(Buffer.alloc(length))
  await waiting
  await delay(150)
  assert.ok(
    socket.bytesWritten > 0 && socket.writableLength > 0,
    'the kernel holds a few MB; the rest waits here',
  )
  assert.match(await read(socket), new RegExp(`\r\n\r\n${length}$`))
})

test('an endless response is made no faster than the client reads it, and ends when the client goes', async (t) => {
  const { port, logs } = await serve(
    t,
    `let made = 0
    export default { fetch: (request: Request) => {
      request.signal.addEventListener('abort', () => console.log('aborted', request.signal.reason.name))
      return new Response(new ReadableStream({
        pull(controller) { made += 65536; controller.enqueue(new Uint8Array(65536)) },
        cancel() { console.log('cancelled after', made) },
      }))
    } }`,
  )
  const socket = connect(port, '127.0.0.1')
  socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  await once(socket, 'readable')
  await delay(200)
  const aborted = logged(logs, /aborted AbortError/)
  const cancelled = logged(logs, /cancelled after/)
  socket.destroy()
  await aborted
  assert.ok(Number((await cancelled).split(' ').at(-1)) < 64 * 1024 * 1024)
})

test('what a function throws is logged and answered by 500, and the function goes on', async (t) => {
  const { port, logs } = await serve(
    t,
    `export default { async fetch(request: Request) {
      switch (new URL(request.url).pathname) {
        case '/throw': throw new Error('what a mess')
        case '/nothing': return undefined
        case '/status': return Response.error()
        case '/late': return new Response(new ReadableStream({ start(c) { c.enqueue(new TextEncoder().encode('begun')) },
          async pull() { await new Promise((resolve) => setTimeout(resolve, 30)); throw new Error('too late') } }))
        case '/short': return new Response('abc', { headers: { 'content-length': '10' } })
        case '/text': return new Response(new ReadableStream({ start(c) { c.enqueue('text') } }))
      }
      return new Response('fine')
    } }`,
  )
  const get = (path: string) => exchange(port, `GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`)
  const mess = logged(logs, /what a mess/)
  const answer = await get('/throw')
  assert.match(answer, /^HTTP\/1\.1 500 /)
  assert.doesNotMatch(answer, /mess/)
  await mess
  const nothing = logged(logs, /returned no Response/)
  assert.match(await get('/nothing'), /^HTTP\/1\.1 500 /)
  await nothing
  assert.match(await get('/status'), /^HTTP\/1\.1 500 /)
  const late = await get('/late').catch((error) => error.code)
  assert.doesNotMatch(late, /\r\n0\r\n\r\n$/)
  const short = await get('/short').catch((error) => error.code)
  assert.doesNotMatch(short, /\r\n\r\nabc$/)
  assert.match(await get('/text'), /^HTTP\/1\.1 500 /)
  assert.match(await get('/'), /fine$/)
})

test('responses without a body are framed so that the connection stays usable', async (t) => {
  const { port } = await serve(
    t,
    `export default { fetch: (request: Request) => {
      const status = Number(new URL(request.url).pathname.slice(1))
      return status === 200 ? new Response('twelve bytes') : new Response(null, { status })
    } }`,
  )
  const one = (method: string, status: number) => `${method} /${status} HTTP/1.1\r\nHost: a\r\n\r\n`
  const bytes = one('HEAD', 200) + one('GET', 204) + one('GET', 304) + one('GET', 404) + one('GET', 200)
  const text = await exchange(port, bytes, /twelve bytes$/)
  assert.deepEqual(text.match(/HTTP\/1\.1 \d+/g), [
    'HTTP/1.1 200',
    'HTTP/1.1 204',
    'HTTP/1.1 304',
    'HTTP/1.1 404',
    'HTTP/1.1 200',
  ])
  assert.equal(text.match(/content-length: 0\r\n/gi)?.length, 1)
})

test('requests that Fetch does not know are answered by 400', async (t) => {
  const { port } = await serve(t, 'export default () => new Response("never")')
  for (const bytes of ['TRACE / HTTP/1.1\r\nHost: a\r\n', 'GET / HTTP/1.1\r\nHost: a b\r\n']) {
    assert.match(await exchange(port, `${bytes}Connection: close\r\n\r\n`), /^HTTP\/1\.1 400 /)
  }
  assert.match(await exchange(port, 'OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'), /never$/)
})

test('an unread body does not spoil the connection for the next request', async (t) => {
  const { port } = await serve(t, 'export default (r: Request) => new Response(r.method + ".")')
  const body = 'x'.repeat(300_000)
  const bytes = `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${body.length}\r\n\r\n${body}GET / HTTP/1.1\r\nHost: a\r\n\r\n`
  const text = await exchange(port, bytes, /GET\.$/)
  assert.equal(text.match(/HTTP\/1\.1 200/g)?.length, 2)
})

test('on SIGTERM requests in flight end first, and idle connections do not hold the process', async (t) => {
  const { port, instance, set, logs } = await serve(
    t,
    `export default async () => {
      console.log('begun')
      await new Promise((resolve) => setTimeout(resolve, 300))
      return new Response('done')
    }`,
  )
  const begun = logged(logs, /begun/)
  const idle = connect(port, '127.0.0.1')
  idle.on('error', () => {})
  await once(idle, 'connect')
  const socket = connect(port, '127.0.0.1')
  socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  await begun
  const drained = set.drain()
  assert.match(await read(socket, /done$/), /done$/)
  await drained
  await ended(instance.pid!)
})

test('a module may take upgrades itself', async (t) => {
  const ws = JSON.stringify(import.meta.resolve('ws'))
  const { port } = await serve(
    t,
    `import { WebSocketServer } from ${ws}
    const server = new WebSocketServer({ noServer: true })
    server.on('connection', (socket) => socket.on('message', (data) => socket.send('echo ' + data)))
    export const upgrade = (request, socket, head) =>
      server.handleUpgrade(request, socket, head, (client) => server.emit('connection', client, request))
    export default () => new Response('plain')`,
  )
  const client = new WebSocket(`ws://127.0.0.1:${port}/`)
  await once(client, 'open')
  client.send('hi')
  const [message] = await once(client, 'message')
  assert.equal(String(message), 'echo hi')
  client.terminate()
})

test('fetch inside a function goes through the proxy of its environment', async (t) => {
  const proxy = createServer((request, response) => response.end(`proxied ${request.url}`))
  proxy.listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  t.after(() => proxy.close().closeAllConnections())
  const url = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`
  const mesh = { HTTP_PROXY: url, http_proxy: url, NO_PROXY: '' }
  const { port } = await serve(
    t,
    'export default async () => new Response(await (await fetch("http://pay.shop/x?y")).text())',
    mesh,
  )
  const text = await exchange(port, 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
  assert.match(text, /proxied http:\/\/pay\.shop\/x\?y$/)
})
