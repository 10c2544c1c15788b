import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { fetchKeySet } from './fetch-key-set.ts'

async function served(listener: RequestListener, run: (uri: string) => Promise<void>): Promise<void> {
  const server = createServer(listener).listen(0, '127.0.0.1')
  await once(server, 'listening')
  try {
    await run(`http://127.0.0.1:${(server.address() as AddressInfo).port}/keys`)
  } finally {
    server.closeAllConnections()
    server.close()
  }
}

const soon = () => AbortSignal.timeout(5_000)

const LIVES: readonly (readonly [cacheControl: string | undefined, maxAgeMs: number | null])[] = [
  [undefined, null],
  ['public, max-age=300', 300_000],
  ['MAX-AGE="60"', 60_000],
  ['no-store, max-age=300', 0],
  ['no-cache', 0],
  ['max-age=soon', null],
]

for (const [cacheControl, maxAgeMs] of LIVES) {
  test(`a key set is fetched with ${cacheControl ?? 'no Cache-Control'}`, async () => {
    await served(
      (_request, response) => {
        if (cacheControl !== undefined) response.setHeader('cache-control', cacheControl)
        response.end('{"keys":[]}')
      },
      async (uri) =>
        assert.deepEqual(await fetchKeySet(uri, soon()), { ok: true, text: '{"keys":[]}', maxAgeMs }),
    )
  })
}

test('a redirect is not followed', async () => {
  let followed = false
  await served(
    (request, response) => {
      if (request.url !== '/keys') followed = true
      response.writeHead(302, { location: '/elsewhere' }).end()
    },
    async (uri) =>
      assert.deepEqual(await fetchKeySet(uri, soon()), {
        ok: false,
        problem: 'the server answers with status 302',
      }),
  )
  assert.equal(followed, false)
})

test('an answer that does not end is cut off', async () => {
  await served(
    (_request, response) => {
      const more = () => {
        while (response.write('a'.repeat(65_536)));
        response.once('drain', more)
      }
      more()
    },
    async (uri) =>
      assert.deepEqual(await fetchKeySet(uri, soon()), {
        ok: false,
        problem: 'the answer is longer than 262144 bytes',
      }),
  )
})

test('an error of the server, silence and a closed port are told', async () => {
  await served(
    (_request, response) => response.writeHead(503).end(),
    async (uri) =>
      assert.deepEqual(await fetchKeySet(uri, soon()), {
        ok: false,
        problem: 'the server answers with status 503',
      }),
  )
  let silent = ''
  await served(
    () => {},
    async (uri) => {
      silent = uri
      const fetched = await fetchKeySet(uri, AbortSignal.timeout(20))
      assert.deepEqual(fetched, { ok: false, problem: 'the server did not answer in time' })
    },
  )
  const closed = await fetchKeySet(silent, soon())
  assert.ok(!closed.ok)
  assert.match(closed.problem, /ECONNREFUSED/)
})
