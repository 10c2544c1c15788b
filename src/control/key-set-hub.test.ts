import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { mock, test } from 'node:test'
import type { ToEngine } from '../dataplane/engine-messages.ts'
import type { KeySetMessage } from '../dataplane/key-sets.ts'
import type { KeySetSource } from '../policy/token-keys.ts'
import type { FetchedKeySet } from '../runtime/fetch-key-set.ts'
import { KeySetHub } from './key-set-hub.ts'

const jwk = generateKeyPairSync('ed25519').publicKey.export({ format: 'jwk' })
const keySet = (kid: string) => JSON.stringify({ keys: [{ ...jwk, kid }] })
const remote = (uri: string): KeySetSource => ({ kind: 'remote', id: uri, uri })
const inline = (kid: string): KeySetSource => ({ kind: 'inline', id: `inline:${kid}`, jwks: keySet(kid) })

const A = 'https://keys.example/a'
const MINUTE = 60_000

/** A hub whose server and clock the test holds. */
function world() {
  mock.timers.enable({ apis: ['setTimeout'] })
  let now = 1_000_000
  let answer: FetchedKeySet = { ok: true, text: keySet('one'), maxAgeMs: null }
  const fetched: string[] = []
  const told: { upsert: KeySetMessage[]; remove: string[] }[] = []
  const notices: string[] = []
  const hub = new KeySetHub({
    broadcast: (message: ToEngine) => {
      if (message.type === 'key-sets') told.push(message)
    },
    notice: (text) => notices.push(text),
    fetch: async (uri) => {
      fetched.push(uri)
      return answer
    },
    now: () => now,
  })
  return {
    hub,
    fetched,
    notices,
    follow: (...sources: KeySetSource[]) =>
      hub.follow([{ tokenKeys: sources.map((source) => ({ source })) }]),
    serve: (next: FetchedKeySet) => {
      answer = next
    },
    /** What engines were told since the last time: the first kid of each set. */
    told: () =>
      told
        .splice(0)
        .flatMap(({ upsert, remove }) => [
          ...upsert.map(({ id, keys }) => `${id} ${keys === null ? 'failed' : keys[0]!.kid}`),
          ...remove.map((id) => `-${id}`),
        ]),
    pass: async (ms: number) => {
      now += ms
      mock.timers.tick(ms)
      await settled()
    },
    close: () => {
      hub.close()
      mock.timers.reset()
    },
  }
}

/** Promises that are there have been followed to their ends. */
async function settled(): Promise<void> {
  for (let i = 0; i < 10; i++) await Promise.resolve()
}

test('written keys are told at once, fetched ones when they are there, and both to a new engine', async () => {
  const { hub, follow, told, fetched, close } = world()
  follow(inline('w'), remote(A))
  assert.deepEqual(told(), ['inline:w w'])
  await settled()
  assert.deepEqual(told(), [`${A} one`])
  assert.deepEqual(fetched, [A])
  assert.deepEqual(
    hub
      .messages()
      .flatMap((message) =>
        message.type === 'key-sets' ? message.upsert.map(({ id, remote }) => [id, remote]) : [],
      ),
    [
      ['inline:w', false],
      [A, true],
    ],
  )
  close()
})

test('keys are fetched anew before their 20 minutes are over, or what the server says', async () => {
  const { follow, fetched, pass, serve, told, close } = world()
  follow(remote(A))
  await settled()
  await pass(15 * MINUTE)
  assert.equal(fetched.length, 1)
  serve({ ok: true, text: keySet('two'), maxAgeMs: 100_000 })
  await pass(MINUTE)
  assert.equal(fetched.length, 2)
  assert.deepEqual(told(), [`${A} one`, `${A} two`])
  await pass(79_000)
  assert.equal(fetched.length, 2)
  serve({ ok: true, text: keySet('two'), maxAgeMs: 0 })
  await pass(1_000)
  assert.equal(fetched.length, 3)
  await pass(7_999)
  assert.equal(fetched.length, 3, 'a server that forbids keeping is asked each 8 s, not all the time')
  await pass(1)
  assert.equal(fetched.length, 4)
  close()
})

test('while a server fails its last good keys stay, and it is asked at growing distances', async () => {
  const { follow, fetched, pass, serve, told, notices, close } = world()
  follow(remote(A))
  await settled()
  told()
  serve({ ok: false, problem: 'it burns' })
  await pass(16 * MINUTE)
  assert.deepEqual(told(), [`${A} one`])
  assert.deepEqual(notices, [`the keys at ${A} cannot be fetched, so the last ones stay in use: it burns`])
  for (const seconds of [1, 2, 4, 8, 16, 32, 60, 60]) {
    const before = fetched.length
    await pass(seconds * 1_000 - 1)
    assert.equal(fetched.length, before, `before ${seconds} s`)
    await pass(1)
    assert.equal(fetched.length, before + 1, `after ${seconds} s`)
  }
  assert.equal(notices.length, 1)
  serve({ ok: true, text: keySet('two'), maxAgeMs: null })
  await pass(60_000)
  assert.equal(told().at(-1), `${A} two`)
  assert.equal(notices.at(-1), `the keys at ${A} can be fetched again`)
  close()
})

test('an answer that is no key set is a failure, and engines hear of the first one', async () => {
  const { follow, serve, told, notices, pass, close } = world()
  serve({ ok: true, text: '{"keys":[]}', maxAgeMs: null })
  follow(remote(A))
  await settled()
  assert.deepEqual(told(), [`${A} failed`])
  assert.match(notices[0]!, /tokens that need them are refused: holds no key/)
  serve({ ok: true, text: keySet('one'), maxAgeMs: null })
  await pass(1_000)
  assert.deepEqual(told(), [`${A} one`])
  close()
})

test('a key that an engine does not know has the set fetched anew, but not twice in 5 s', async () => {
  const { hub, follow, fetched, serve, told, pass, close } = world()
  follow(remote(A), inline('w'))
  await settled()
  told()
  hub.wanted(A)
  assert.deepEqual([fetched.length, told()], [1, [`${A} one`]], 'it is told again, so that nobody waits')
  serve({ ok: true, text: keySet('two'), maxAgeMs: null })
  await pass(5_000)
  hub.wanted(A)
  hub.wanted(A)
  await settled()
  assert.deepEqual([fetched.length, told()], [2, [`${A} two`]])
  hub.wanted('inline:w')
  hub.wanted('https://keys.example/unknown')
  await settled()
  assert.deepEqual([fetched.length, told()], [2, ['inline:w w']])
  await pass(15 * MINUTE)
  assert.equal(fetched.length, 2, 'its life begins anew')
  close()
})

test('a set that no function needs any more is taken away and not fetched again', async () => {
  const { hub, follow, fetched, told, pass, close } = world()
  follow(remote(A), inline('w'))
  await settled()
  told()
  follow(inline('w'))
  assert.deepEqual(told(), [`-${A}`])
  await pass(60 * MINUTE)
  assert.equal(fetched.length, 1)
  assert.equal(hub.messages().length, 1)
  close()
})
