import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { ValkeyServer } from '../../scripts/valkey.ts'
import type { QuotaLimit } from '../policy/quota-limit.ts'
import { QuotaClient } from './quota-client.ts'
import type { QuotaGrant, QuotaRequest } from './quota-message.ts'
import { quotaLimit, violation } from './quota-testing.ts'
import { steadyClock } from './steady-clock.ts'
import { ValkeyQuota } from './valkey-quota.ts'

const MINUTE = 60_000

let server: ValkeyServer

before(async () => {
  server = await ValkeyServer.start()
})

after(async () => {
  await server.close()
})

/** A mesh of one engine that shares the limits with all others here. */
class Mesh {
  readonly quota: ValkeyQuota
  readonly client: QuotaClient
  readonly notices: string[] = []
  known = ''
  readonly passed: { at: number; limit: QuotaLimit }[] = []
  readonly states = new Map<string, number>()
  readonly #ticker: NodeJS.Timeout

  constructor(limits: readonly QuotaLimit[], url = server.url) {
    this.quota = new ValkeyQuota(url, {
      mesh: 'one',
      known: {
        load: () => this.known,
        save: (run) => {
          this.known = run
        },
      },
      notice: (text) => this.notices.push(text),
    })
    this.quota.setLimits(limits)
    this.client = new QuotaClient({
      clock: steadyClock(),
      send: (request: QuotaRequest) =>
        void this.quota.answer('node', request).then((reply) => this.client.receive(reply)),
      flushSoon: () => setImmediate(() => this.client.flush()),
      hash: (descriptor) => descriptor,
    })
    this.#ticker = setInterval(() => this.client.tick(), 10)
  }

  request(limit: QuotaLimit, descriptor = 'a'): Promise<string> {
    return new Promise((resolve) => {
      const done = ([outcome]: { state: string }[]) => {
        const { state } = outcome!
        this.states.set(state, (this.states.get(state) ?? 0) + 1)
        if (state === 'taken') this.passed.push({ at: Date.now(), limit })
        resolve(state)
      }
      const outcomes = this.client.take([{ limit, descriptor }], done)
      if (outcomes) done(outcomes)
    })
  }

  async close(): Promise<void> {
    clearInterval(this.#ticker)
    this.client.close()
    await sleep(20)
    this.quota.close()
  }
}

function timesOf(limit: QuotaLimit, meshes: readonly Mesh[]): number[] {
  const passed = meshes.flatMap((mesh) => mesh.passed).filter((one) => one.limit === limit)
  return passed.map(({ at }) => at).sort((a, b) => a - b)
}

let serial = 0
const newLimit = (limit: Partial<QuotaLimit>) => quotaLimit({ id: `limit-${serial++}`, ...limit })

/** Far enough from a window's end that the test ends in the same one. */
async function awayFromEnd(windowMs: number, ms: number): Promise<void> {
  const left = windowMs - (Date.now() % windowMs)
  if (left < ms) await sleep(left + 5)
}

async function oneAsk(quota: ValkeyQuota, limit: QuotaLimit, key = 'a', waiting = 1): Promise<QuotaGrant> {
  const ask = { limit: limit.id, key, waiting, ahead: 0 }
  return (await quota.answer('node', { serial: 1, roundTripMs: 1, settlements: [], asks: [ask] })).grants[0]!
}

describe('limits that meshes share through a real server', () => {
  test('three a minute are three a minute, exactly, whichever mesh is asked', async () => {
    const limit = newLimit({ requests: 3, windowMs: MINUTE })
    const meshes = [new Mesh([limit]), new Mesh([limit]), new Mesh([limit])]
    await Promise.all(meshes.map(({ quota }) => quota.ready(5_000)))
    await awayFromEnd(MINUTE, 2_000)
    const states: string[] = []
    for (let i = 0; i < 9; i++) states.push(await meshes[i % 3]!.request(limit))
    await Promise.all(meshes.map((mesh) => mesh.close()))
    assert.deepEqual(states, [...Array(3).fill('taken'), ...Array(6).fill('refused')])
  })

  for (const window of ['fixed', 'sliding'] as const) {
    test(`no more than 200 a second by two meshes, and at least 95 % of it: ${window}`, async () => {
      const limit = newLimit({ requests: 200, window })
      const meshes = [new Mesh([limit]), new Mesh([limit])]
      await Promise.all(meshes.map(({ quota }) => quota.ready(5_000)))
      await sleep(1_000 - (Date.now() % 1_000))
      const from = Date.now()
      while (Date.now() < from + 4_000) {
        for (let i = 0; i < 6; i++) void meshes[i === 0 ? 1 : 0]!.request(limit)
        await sleep(8)
      }
      await Promise.all(meshes.map((mesh) => mesh.close()))
      const times = timesOf(limit, meshes)
      // The server's clock is this machine's, but moments are noted here a little after it has looked at it.
      const strict = window === 'fixed' ? limit : { ...limit, windowMs: 990 }
      assert.equal(violation(strict, times), null)
      assert.ok(times.length >= 0.95 * 800, `${times.length} of 800 were let through`)
    })
  }

  test('a limit has no more counters than it may have, and a key of its own again when one is over', async () => {
    const limit = newLimit({ requests: 1, windowMs: 1_000, maxKeys: 2 })
    const mesh = new Mesh([limit])
    await mesh.quota.ready(5_000)
    await awayFromEnd(1_000, 500)
    const kinds: string[] = []
    for (const key of ['a', 'b', 'c']) kinds.push((await oneAsk(mesh.quota, limit, key)).kind)
    assert.deepEqual(kinds, ['granted', 'granted', 'full'])
    await sleep(1_300)
    assert.equal((await oneAsk(mesh.quota, limit, 'c')).kind, 'granted')
    await mesh.close()
  })

  test('a server that is gone refuses by onUnavailable, and what it forgot is taken for spent', async () => {
    const own = await ValkeyServer.start()
    const limit = newLimit({ requests: 100, windowMs: 2_000 })
    const lasting = newLimit({ requests: 100, windowMs: 1_800_000 })
    const meshes = [new Mesh([limit, lasting], own.url), new Mesh([limit, lasting], own.url)]
    await Promise.all(meshes.map(({ quota }) => quota.ready(5_000)))
    let going = true
    const load = (async () => {
      while (going) {
        for (const mesh of meshes) for (let i = 0; i < 3; i++) void mesh.request(limit)
        await sleep(10)
      }
    })()
    await sleep(500)
    assert.equal(await meshes[0]!.request(lasting), 'taken')
    await own.stop()
    await sleep(700)
    assert.equal(await meshes[1]!.request(lasting, 'other'), 'unavailable')
    // One that has never seen this server and comes before all others.
    const young = new Mesh([limit, lasting], own.url)
    await own.start()
    await Promise.all([...meshes, young].map(({ quota }) => quota.ready(5_000)))
    await sleep(4_200)
    // Its window began before the loss.
    assert.equal((await oneAsk(meshes[0]!.quota, lasting, 'new')).kind, 'granted')
    assert.equal(((await oneAsk(meshes[0]!.quota, lasting, 'newer')) as { granted: number }).granted, 0)
    assert.equal(await young.request(lasting, 'young'), 'refused')
    own.freeze()
    await sleep(1_500)
    assert.equal(await meshes[0]!.request(limit, 'frozen'), 'unavailable')
    own.thaw()
    await sleep(2_500)
    going = false
    await load
    await Promise.all([...meshes, young].map((mesh) => mesh.close()))
    await own.close()
    const times = timesOf(limit, meshes)
    assert.equal(violation(limit, times), null)
    assert.ok(
      times.some((at) => at > Date.now() - 2_500),
      'nothing was let through when it was back',
    )
    assert.ok(meshes.every(({ notices }) => notices.some((text) => text.includes('is away'))))
  })

  test('a server that would forget counters unnoticed is not used', async () => {
    const own = await ValkeyServer.start()
    const { Redis } = await import('iovalkey')
    const admin = new Redis(own.url)
    await admin.config('SET', 'maxmemory', '10mb')
    await admin.config('SET', 'maxmemory-policy', 'allkeys-lru')
    const limit = newLimit({})
    const mesh = new Mesh([limit], own.url)
    await mesh.quota.ready(500)
    assert.equal(await mesh.request(limit), 'unavailable')
    assert.match(mesh.notices[0]!, /maxmemory-policy is allkeys-lru/)
    await mesh.close()
    admin.disconnect()
    await own.close()
  })
})
