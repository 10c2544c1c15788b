// A live engine under hostile bytes: it never dies, counts each refusal, and an instance gets only what is strictly HTTP.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { mutate, type Random, randomOf } from '../mutate-head.ts'
import { readStrictHead } from '../strict-head.ts'
import { type HttpMesh, startHttpMesh } from './http-world.ts'

const CORPUS = join(import.meta.dirname, '../corpus/heads')
const BATCH = 250
const GOOD = 'GET /good HTTP/1.1\r\nhost: fn.test.localhost\r\nconnection: close\r\n\r\n'

const seeds = readdirSync(CORPUS)
  .filter((name) => name.startsWith('request-'))
  .sort()
  .map((name) =>
    readFileSync(join(CORPUS, name), 'latin1').replaceAll('a.shop.localhost', 'fn.test.localhost'),
  )
  .map((text) => Buffer.from(text, 'latin1'))

let mesh: HttpMesh
let instance: StrictInstance
before(async () => {
  instance = await startStrictInstance()
  mesh = await startHttpMesh({ fn: instance.address })
})
after(async () => {
  await mesh?.stop()
  instance?.server.close()
})

const pick = (random: Random) => seeds[random(seeds.length)]!

const inputs: Record<string, (random: Random) => Buffer> = {
  'mutated heads': (random) => mutate(pick(random), pick(random), random),
  'mutated heads behind a good one': (random) =>
    Buffer.concat([
      Buffer.from('GET / HTTP/1.1\r\nhost: fn.test.localhost\r\n\r\n'),
      mutate(pick(random), pick(random), random),
    ]),
  'mutated chunked bodies': (random) =>
    Buffer.concat([
      Buffer.from('POST / HTTP/1.1\r\nhost: fn.test.localhost\r\ntransfer-encoding: chunked\r\n\r\n'),
      mutate(Buffer.from('3\r\nabc\r\n0A;x=y\r\n0123456789\r\n0\r\nx-sum: 1\r\n\r\n'), pick(random), random),
    ]),
  'random bytes': (random) => Buffer.from(Array.from({ length: 1 + random(400) }, () => random(256))),
}

const BATCHES = {
  'mutated heads': 5,
  'mutated heads behind a good one': 2,
  'mutated chunked bodies': 1,
  'random bytes': 2,
}

for (const [what, batches] of Object.entries(BATCHES)) {
  test(`${batches * BATCH} connections with ${what}`, async () => {
    const pid = await mesh.enginePid()
    const random = randomOf(what.length)
    for (let batch = 0; batch < batches; batch++) {
      const before = await mesh.counters()
      const sent = Array.from({ length: BATCH }, () => inputs[what]!(random))
      const answers = await Promise.all(sent.map(exchange))
      await mesh.counted({ requestsInFlight: 0 })
      const now = await mesh.counters()
      assert.equal(refusals(now) - refusals(before), refusalsSeen(answers))
      assert.equal(now.sidecarsFailed, 0)
      assert.deepEqual(instance.violations, [])
      assert.equal(await mesh.enginePid(), pid)
      assert.match(await exchange(Buffer.from(GOOD)), /^HTTP\/1\.1 200 /)
    }
  })
}

test('of all these, some were refused and some were served', async () => {
  const counters = await mesh.counters()
  assert.ok(refusals(counters) > 500, `${refusals(counters)} refused`)
  assert.ok(instance.requests > 500, `${instance.requests} served`)
})

function refusals(counters: Record<string, number>): number {
  return ['headsRefused', 'hostsUnknown', 'denied', 'bodiesBad', 'sidecarsFailed'].reduce(
    (sum, name) => sum + counters[name]!,
    0,
  )
}

/** Replies that refuse; the instance gives none. */
function refusalsSeen(answers: string[]): number {
  return answers.reduce((sum, text) => sum + [...text.matchAll(/^HTTP\/1\.1 [45]\d\d /gm)].length, 0)
}

/** Sends the bytes and then the end; gives all that comes back. */
async function exchange(bytes: Buffer): Promise<string> {
  const client = await mesh.client()
  client.send(bytes)
  client.socket.end()
  const text = await client.receive()
  client.close()
  return text
}

interface StrictInstance {
  server: Server
  address: string
  requests: number
  /** What it got that is not strictly HTTP. */
  violations: string[]
}

/** Reads requests by a parser of its own and answers each when it is whole. */
async function startStrictInstance(): Promise<StrictInstance> {
  const server = createServer({ noDelay: true }, (socket) => serve(socket))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`
  const strict: StrictInstance = { server, address, requests: 0, violations: [] }
  const serve = (socket: Socket) => {
    let received: Buffer = Buffer.alloc(0)
    socket.on('error', () => socket.destroy())
    socket.on('data', (bytes: Buffer) => {
      received = Buffer.concat([received, bytes])
      try {
        for (let length = wholeRequest(received); length > 0; length = wholeRequest(received)) {
          strict.requests++
          const isHead = received.toString('latin1', 0, 5) === 'HEAD '
          received = received.subarray(length)
          socket.write(`HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n${isHead ? '' : 'ok\n'}`)
          if (received.length > 0) throw new Error('bytes behind a request that was not answered yet')
        }
      } catch (error) {
        strict.violations.push(`${error}: ${JSON.stringify(received.toString('latin1'))}`)
        socket.destroy()
      }
    })
  }
  return strict
}

/** Length of the whole request at the start, 0 where more is to come. */
function wholeRequest(received: Buffer): number {
  if (!received.includes('\r\n\r\n')) return 0
  const { length, framing } = readStrictHead(received, 'request')
  if (framing.kind === 'none') return length
  if (framing.kind === 'length')
    return received.length >= length + framing.length ? length + framing.length : 0
  const text = received.toString('latin1')
  for (let at = length; ; ) {
    const lineEnd = text.indexOf('\r\n', at)
    if (lineEnd < 0) return 0
    const line = text.slice(at, lineEnd)
    if (!/^[0-9a-f]+$/i.test(line)) throw new Error(`chunk size ${JSON.stringify(line)}`)
    const size = Number.parseInt(line, 16)
    if (size === 0) return trailersEnd(text, lineEnd + 2)
    at = lineEnd + 2 + size
    if (text.length < at + 2) return 0
    if (text.slice(at, at + 2) !== '\r\n') throw new Error('no CRLF behind a chunk')
    at += 2
  }
}

function trailersEnd(text: string, start: number): number {
  for (let at = start; ; ) {
    const end = text.indexOf('\r\n', at)
    if (end < 0) return 0
    if (end === at) return end + 2
    const line = text.slice(at, end)
    if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*$/.test(line))
      throw new Error(`trailer ${line}`)
    at = end + 2
  }
}
