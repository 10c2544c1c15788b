import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { QuotaLimit } from '../policy/quota-limit.ts'
import { QuotaAuthority } from './quota-authority.ts'
import { QuotaClient, type QuotaOutcome } from './quota-client.ts'
import type { QuotaReply, QuotaRequest } from './quota-message.ts'
import { quotaLimit } from './quota-testing.ts'

const START = 1_790_000_000_000

/** A client whose messages the test carries. */
class Desk {
  now = START
  readonly sent: QuotaRequest[] = []
  readonly client: QuotaClient
  readonly authority: QuotaAuthority

  constructor(limits: readonly QuotaLimit[]) {
    this.client = new QuotaClient({
      clock: () => this.now,
      send: (request) => this.sent.push(request),
      flushSoon: () => {},
      hash: (descriptor) => descriptor,
    })
    this.authority = new QuotaAuthority(() => this.now)
    this.authority.setLimits(limits)
  }

  take(...claims: (QuotaLimit | [QuotaLimit, string])[]): { outcomes: QuotaOutcome[] | null } {
    const taken: { outcomes: QuotaOutcome[] | null } = { outcomes: null }
    const all = claims.map((one) =>
      Array.isArray(one) ? { limit: one[0], descriptor: one[1] } : { limit: one, descriptor: 'a' },
    )
    const now = this.client.take(all, (outcomes) => {
      taken.outcomes = outcomes
    })
    if (now) taken.outcomes = now
    return taken
  }

  /** Lets the authority answer what was asked. */
  answer(): void {
    this.client.flush()
    for (const request of this.sent.splice(0)) this.client.receive(this.authority.answer('node', request))
  }

  /** What a request hears, with all answers there at once. */
  states(...claims: (QuotaLimit | [QuotaLimit, string])[]): string[] {
    const taken = this.take(...claims)
    this.answer()
    return taken.outcomes!.map(({ state }) => state)
  }
}

/** Of a request with one limit. */
const stateOf = ({ outcomes }: { outcomes: QuotaOutcome[] | null }) => outcomes?.[0]?.state

test('a request takes one from each of its limits, or from none where one refuses', () => {
  const wide = quotaLimit({ id: 'wide', requests: 5 })
  const narrow = quotaLimit({ id: 'narrow', requests: 2 })
  const desk = new Desk([wide, narrow])
  assert.deepEqual(desk.states(wide, narrow), ['taken', 'taken'])
  assert.deepEqual(desk.states(wide, narrow), ['taken', 'taken'])
  for (let i = 0; i < 5; i++) assert.deepEqual(desk.states(wide, narrow), ['untouched', 'refused'])
  for (let i = 0; i < 3; i++) assert.deepEqual(desk.states(wide), ['taken'])
  assert.deepEqual(desk.states(wide), ['refused'])
})

test('a limit that is only tried out refuses nobody, and counts only what passes', () => {
  const tried = quotaLimit({ id: 'tried', requests: 1, dryRun: true })
  const real = quotaLimit({ id: 'real', requests: 3 })
  const desk = new Desk([tried, real])
  assert.deepEqual(desk.states(tried, real), ['taken', 'taken'])
  assert.deepEqual(desk.states(tried, real), ['refused', 'taken'])
  assert.deepEqual(desk.states(tried, real), ['refused', 'taken'])
  desk.now += 20
  assert.deepEqual(desk.states(tried, real), ['refused', 'refused'])
})

test('what is left and when there is more', () => {
  const limit = quotaLimit({ requests: 3, windowMs: 60_000 })
  const desk = new Desk([limit])
  const left = 60_000 - (START % 60_000)
  const seen = Array.from({ length: 4 }, () => {
    const taken = desk.take(limit)
    desk.answer()
    return taken.outcomes![0]!
  })
  assert.deepEqual(
    seen.map(({ state, remaining }) => [state, remaining]),
    [
      ['taken', 2],
      ['taken', 1],
      ['taken', 0],
      ['refused', 0],
    ],
  )
  for (const { resetMs } of seen) assert.equal(resetMs, left)
  assert.equal(seen[3]!.retryMs, left)
})

test('requests that come together ask once, and are served in their order', () => {
  const limit = quotaLimit({ requests: 2 })
  const desk = new Desk([limit])
  const all = [desk.take(limit), desk.take(limit), desk.take(limit)]
  desk.answer()
  assert.deepEqual(all.map(stateOf), ['taken', 'taken', 'refused'])
  assert.equal(desk.client.counters.asks, 1)
})

test('who comes steadily waits only at first: a lease is renewed as it is used up', () => {
  const limit = quotaLimit({ requests: 100_000, windowMs: 3_600_000 })
  const desk = new Desk([limit])
  for (let i = 0; i < 100; i++) {
    desk.take(limit)
    desk.answer()
    desk.now += 100
    desk.client.tick()
  }
  const { taken, waited, asks } = desk.client.counters
  assert.equal(taken, 100)
  assert.equal(waited, 2)
  assert.ok(asks < 30, `${asks} asks`)
})

test('who comes once asks once', () => {
  const limit = quotaLimit({ requests: 100_000 })
  const desk = new Desk([limit])
  desk.take(limit)
  desk.answer()
  desk.answer()
  assert.equal(desk.client.counters.asks, 1)
})

test('a refusal is known without asking, until there may be more', () => {
  const limit = quotaLimit({ requests: 1, windowMs: 1_000 })
  const desk = new Desk([limit])
  desk.states(limit)
  desk.client.tick()
  desk.answer()
  desk.now += 21
  desk.states(limit)
  const { asks } = desk.client.counters
  for (let i = 0; i < 100; i++) assert.deepEqual(desk.states(limit), ['refused'])
  assert.equal(desk.client.counters.asks, asks)
  desk.now += 1_000
  assert.deepEqual(desk.states(limit), ['taken'])
})

test('without an answer requests wait for long once, and then for a moment until somebody answers', () => {
  const strict = quotaLimit({ id: 'strict' })
  const open = quotaLimit({ id: 'open', onUnavailable: 'allow' })
  const desk = new Desk([strict, open])
  const first = desk.take(strict, open)
  desk.client.flush()
  desk.now += 3_001
  desk.client.tick()
  assert.deepEqual(
    first.outcomes?.map(({ state }) => state),
    ['unavailable', 'unavailable'],
  )
  desk.now += 500
  desk.sent.splice(0)
  const second = desk.take([strict, 'b'])
  desk.client.flush()
  assert.equal(desk.sent.length, 1, 'it asks on')
  desk.now += 51
  desk.client.tick()
  assert.equal(stateOf(second), 'unavailable')
  assert.equal(stateOf(desk.take([strict, 'b'])), 'unavailable')
  desk.answer()
  assert.deepEqual(desk.states([strict, 'b']), ['taken'])
})

test('a lease that comes too late is given back and asked for again, not used', () => {
  const limit = quotaLimit({ requests: 1 })
  const desk = new Desk([limit])
  const taken = desk.take(limit)
  desk.client.flush()
  const [request] = desk.sent.splice(0)
  const reply: QuotaReply = desk.authority.answer('node', request!)
  desk.now += 30
  desk.client.receive(reply)
  assert.equal(taken.outcomes, null)
  desk.client.flush()
  const [again] = desk.sent
  assert.deepEqual([again?.settlements[0]?.returned, again?.asks[0]?.waiting, again?.roundTripMs], [1, 1, 30])
  desk.answer()
  assert.equal(stateOf(taken), 'taken')
})

test('a holding in use is not given up for another, and where there is no room requests are refused and counted', () => {
  const limit = quotaLimit({ requests: 1_000_000, maxKeys: 1_000_000 })
  const desk = new Desk([limit])
  for (let i = 0; i < 16_384; i++) desk.take([limit, `k${i}`])
  assert.equal(stateOf(desk.take([limit, 'more'])), 'refused')
  assert.ok(desk.client.counters.full > 0)
  desk.answer()
  desk.now += 1_100
  desk.client.tick()
  desk.answer()
  assert.deepEqual(desk.states([limit, 'more']), ['taken'])
})

test('keys beyond what the limit may have are refused and counted, and get theirs when others are over', () => {
  const limit = quotaLimit({ requests: 5, windowMs: 1_000, maxKeys: 2 })
  const desk = new Desk([limit])
  assert.deepEqual(desk.states([limit, 'a']), ['taken'])
  assert.deepEqual(desk.states([limit, 'b']), ['taken'])
  assert.deepEqual(desk.states([limit, 'c']), ['refused'])
  assert.equal(desk.authority.counters.full, 1)
  desk.now += 2_000
  assert.deepEqual(desk.states([limit, 'c']), ['taken'])
})

test('a limit for each node is one for each', () => {
  const limit = quotaLimit({ requests: 1, scope: 'node' })
  const authority = new QuotaAuthority(() => START)
  authority.setLimits([limit])
  const ask = (node: string) => {
    const asks = [{ limit: limit.id, key: 'a', waiting: 1, ahead: 0 }]
    const [grant] = authority.answer(node, { serial: 1, roundTripMs: 0, settlements: [], asks }).grants
    return grant?.kind === 'granted' ? grant.granted : 0
  }
  assert.deepEqual([ask('one'), ask('one'), ask('other')], [1, 0, 1])
})

test('where nobody answers it asks again a second later, so that an authority that is back is found', () => {
  const limit = quotaLimit({ requests: 1_000 })
  const desk = new Desk([limit])
  const pass = (ms: number) => {
    desk.now += ms
    desk.client.tick()
    const taken = desk.take(limit)
    desk.client.flush()
    return taken
  }
  pass(0)
  pass(3_000)
  assert.equal(desk.sent.length, 1)
  pass(100)
  assert.equal(desk.sent.length, 2)
  pass(900)
  assert.equal(desk.sent.length, 2)
  pass(100)
  const waiting = pass(100)
  assert.equal(desk.sent.length, 3)
  for (const request of desk.sent.slice(-1)) desk.client.receive(desk.authority.answer('node', request))
  assert.equal(stateOf(waiting), 'taken')
})
