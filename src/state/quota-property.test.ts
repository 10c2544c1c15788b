import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import type { QuotaLimit } from '../policy/quota-limit.ts'
import { QuotaWorld, quotaLimit, seededRandom, violation } from './quota-testing.ts'

const START = 1_790_000_000_123

const limits = fc
  .record({
    requests: fc.oneof(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 6, max: 300 })),
    windowMs: fc.constantFrom(1_000, 2_000, 3_000),
    window: fc.constantFrom('fixed' as const, 'sliding' as const),
    burstPart: fc.constantFrom(null, 0.1, 0.5, 1),
  })
  .map(({ burstPart, ...rest }): QuotaLimit => {
    const burst = burstPart === null ? null : Math.max(1, Math.ceil(rest.requests * burstPart))
    return quotaLimit({ ...rest, burst })
  })

const worlds = fc.record({
  engines: fc.integer({ min: 1, max: 5 }),
  seed: fc.nat(),
  delayMs: fc.constantFrom(0.5, 5, 60, 300),
  loseEvery: fc.constantFrom(0, 3, 20),
  skewMs: fc.constantFrom(0, 500),
  drift: fc.constantFrom(0, 0.001),
  startAt: fc.constant(START),
})

test('no more than a limit is let through in any window, whatever is late, lost, askew or dies', () => {
  fc.assert(
    fc.property(fc.tuple(limits, limits), worlds, fc.nat(), ([one, other], options, seed) => {
      const both = [one, { ...other, id: 'other' }]
      const world = new QuotaWorld(both, options)
      const random = seededRandom(seed)
      const heavy = Math.floor(random() * options.engines)
      const rate = random() * 3 * Math.max(...both.map(({ requests, windowMs }) => requests / windowMs))
      for (let at = START; at < START + 6_000; at += Math.max(0.2, (random() * 2) / rate)) {
        const engine = random() < 0.7 ? heavy : Math.floor(random() * options.engines)
        const claims = both
          .filter((_, i) => random() < [0.9, 0.5][i]!)
          .map((limit) => ({ limit, descriptor: random() < 0.8 ? 'a' : 'b' }))
        if (claims.length > 0) world.at(at, () => world.request(engine, claims))
        if (random() < 0.001) world.at(at, () => world.crashEngine(heavy))
        if (random() < 0.001) world.at(at, () => world.crashAuthority(random() * 1_500))
      }
      world.runUntil(START + 9_000)
      for (const limit of both) {
        for (const descriptor of ['a', 'b']) {
          const times = world.passed
            .filter(({ counters }) => counters.includes(limit.id + descriptor))
            .map(({ at }) => at)
          assert.equal(violation(limit, times), null)
        }
      }
    }),
    { numRuns: Number(process.env.QUOTA_RUNS ?? 150) },
  )
})

test('the check of the test above finds what is one too many', () => {
  const fixed = quotaLimit({ requests: 2 })
  assert.equal(violation(fixed, [0, 999, 1000, 1999]), null)
  assert.match(violation(fixed, [0, 1, 999])!, /3 requests in one window/)
  const sliding = quotaLimit({ requests: 2, window: 'sliding' })
  assert.equal(violation(sliding, [0, 999, 1000, 1999]), null)
  assert.match(violation(sliding, [0, 999, 999.5])!, /3 requests/)
  assert.match(violation(quotaLimit({ requests: 10, burst: 2 }), [0, 0, 50])!, /2.5 in a bucket of 2/)
})

for (const [name, limit] of Object.entries({
  'fixed, 1000 a second': quotaLimit({ requests: 1_000 }),
  'sliding, 1000 a second': quotaLimit({ requests: 1_000, window: 'sliding' }),
  'sliding, 300 in 3 s': quotaLimit({ requests: 300, windowMs: 3_000, window: 'sliding' }),
  'fixed with a burst of 50 ms': quotaLimit({ requests: 1_000, burst: 50 }),
  'sliding with a burst of a fifth': quotaLimit({ requests: 1_000, burst: 200, window: 'sliding' }),
  'fixed, 20 a second': quotaLimit({ requests: 20 }),
  'fixed, 1 a second': quotaLimit({ requests: 1 }),
  'fixed, 3 in 3 s': quotaLimit({ requests: 3, windowMs: 3_000 }),
})) {
  test(`at least 95 % of a limit can be used under skewed demand: ${name}`, () => {
    const options = {
      engines: 4,
      seed: 7,
      delayMs: 2,
      loseEvery: 0,
      skewMs: 500,
      drift: 0.001,
      startAt: START,
    }
    const world = new QuotaWorld([limit], options)
    const random = seededRandom(11)
    const demand = (2 * limit.requests) / limit.windowMs
    const windows = 8
    const from = (Math.floor(START / limit.windowMs) + 1) * limit.windowMs
    const end = from + windows * limit.windowMs
    // Most demand is at one engine, and at another one after each two thirds of a window.
    for (let at = START; at < end; at += (random() * 2) / Math.max(demand, 0.02)) {
      const heavy = Math.floor((at / limit.windowMs) * 1.5) % 4
      const engine = random() < 0.9 ? heavy : Math.floor(random() * 4)
      world.at(at, () => world.request(engine, [{ limit, descriptor: 'a' }]))
    }
    world.runUntil(end + 1_000)
    const times = world.passed.map(({ at }) => at)
    assert.equal(violation(limit, times), null)
    const used = times.filter((at) => at >= from && at < end).length
    const usable = windows * limit.requests
    assert.ok(used >= 0.95 * usable, `${used} of ${usable} were let through`)
    if (limit.requests <= 20 && limit.window === 'fixed') assert.equal(used, usable)
  })
}
