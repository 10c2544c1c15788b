// Clients that people use, 200 requests each, on kept-alive connections.

import assert from 'node:assert/strict'
import { execFile, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { Agent, createServer, request, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import { Client as Undici } from 'undici'
import { type HttpMesh, startHttpMesh } from './http-world.ts'

const COUNT = 200
const HOST = 'fn.test.localhost'
const paths = Array.from({ length: COUNT }, (_, i) => `/${i}`)
const run = promisify(execFile)

let mesh: HttpMesh
let server: Server
before(async () => {
  server = createServer(async (incoming, answer) => {
    let body = ''
    for await (const part of incoming) body += part
    const text = `${incoming.method} ${incoming.url} ${body}\n`
    // Every other answer is chunked.
    if (Number(incoming.url!.slice(1)) % 2 === 0) answer.setHeader('content-length', text.length)
    answer.end(text)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  mesh = await startHttpMesh({ fn: `127.0.0.1:${(server.address() as AddressInfo).port}` })
})
after(async () => {
  await mesh?.stop()
  server?.closeAllConnections()
  server?.close()
})

/** Runs `ask`, which must bring COUNT good answers over at most `connections` connections. */
async function served(connections: number, ask: () => Promise<void>): Promise<void> {
  const before = await mesh.counters()
  await ask()
  const now = await mesh.counters()
  assert.equal(now.responses2xx! - before.responses2xx!, COUNT)
  assert.equal(now.requests! - before.requests!, COUNT)
  const made = now.connections! - before.connections!
  assert.ok(made <= connections, `${made} connections`)
}

const skipWithout = (command: string) =>
  spawnSync(command, ['--version']).status === 0 ? false : `${command} is not installed`

test('curl, on one connection', { skip: skipWithout('curl') }, () =>
  served(1, async () => {
    const url = `http://127.0.0.1:${mesh.port}/[0-${COUNT - 1}]`
    const { stdout } = await run('curl', ['-sS', '--fail', '-H', `host: ${HOST}`, url])
    assert.equal(stdout, paths.map((path) => `GET ${path} \n`).join(''))
  }),
)

test('node:http with a keep-alive agent, posting, 10 at once', () =>
  served(10, async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 10 })
    const answers = await Promise.all(paths.map((path) => post(agent, path)))
    assert.deepEqual(
      answers,
      paths.map((path) => `POST ${path} body of ${path}\n`),
    )
    agent.destroy()
  }))

test('undici, pipelining 10 on one connection', () =>
  served(1, async () => {
    const client = new Undici(mesh.gateway, { pipelining: 10 })
    const answers = await Promise.all(
      paths.map(async (path) => {
        const { statusCode, body } = await client.request({ method: 'GET', path, headers: { host: HOST } })
        return `${statusCode} ${await body.text()}`
      }),
    )
    assert.deepEqual(
      answers,
      paths.map((path) => `200 GET ${path} \n`),
    )
    await client.close()
  }))

const PYTHON = `
import http.client, sys
connection = http.client.HTTPConnection('127.0.0.1', int(sys.argv[1]))
for i in range(${COUNT}):
    connection.request('PUT', '/%d' % i, body=b'abc', headers={'Host': '${HOST}'})
    answer = connection.getresponse()
    assert answer.status == 200, answer.status
    sys.stdout.write(answer.read().decode())
`

test('python’s http.client, on one connection', { skip: skipWithout('python3') }, () =>
  served(1, async () => {
    const { stdout } = await run('python3', ['-c', PYTHON, String(mesh.port)])
    assert.equal(stdout, paths.map((path) => `PUT ${path} abc\n`).join(''))
  }),
)

async function post(agent: Agent, path: string): Promise<string> {
  const sent = request({ port: mesh.port, path, method: 'POST', agent, headers: { host: HOST } })
  sent.end(`body of ${path}`)
  const [answer] = await once(sent, 'response')
  assert.equal(answer.statusCode, 200)
  let text = ''
  for await (const part of answer) text += part
  return text
}
