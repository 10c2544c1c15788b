import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { openChildren } from './children.ts'
import { openLoop } from './open-loop.ts'

async function serve(
  t: TestContext,
  answer: (request: number) => { status: number; body: string },
): Promise<number> {
  let requests = 0
  const server = createServer((_, response) => {
    const { status, body } = answer(requests++)
    response.writeHead(status, { 'content-length': body.length }).end(body)
  })
  t.after(() => server.close())
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return (server.address() as AddressInfo).port
}

const head = 'GET / HTTP/1.1\r\nhost: a\r\n\r\n'

test('sends every planned request and times it', async (t) => {
  const children = openChildren()
  t.after(() => children.stopAll())
  const port = await serve(t, () => ({ status: 200, body: 'yes' }))
  const result = await openLoop(children, { port, heads: [head], body: 'yes', rate: 200, seconds: 0.5 })
  assert.equal(result.planned, 100)
  assert.equal(result.answered, 100)
  assert.deepEqual(result.failures, {})
  assert.ok(result.p50 > 0 && result.p50 <= result.p99)
  assert.ok(result.lateP50 <= result.p50)
})

test('a reply that is wrong is a failure, and the others still count', async (t) => {
  const children = openChildren()
  t.after(() => children.stopAll())
  const port = await serve(t, (request) =>
    request % 4 === 0
      ? { status: 500, body: 'yes' }
      : { status: 200, body: request % 4 === 1 ? 'not' : 'yes' },
  )
  const result = await openLoop(children, { port, heads: [head], body: 'yes', rate: 100, seconds: 0.4 })
  assert.equal(result.answered, 20)
  assert.deepEqual(result.failures, { 'status 500': 10, 'wrong body': 10 })
})
