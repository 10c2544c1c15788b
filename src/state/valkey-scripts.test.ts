import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { Redis } from 'iovalkey'
import { ValkeyServer } from '../../scripts/valkey.ts'
import { grantQuota, newQuotaCounter, type QuotaUse, settleQuota } from './quota-counter.ts'
import { quotaLimit, seededRandom } from './quota-testing.ts'
import { VALKEY_QUOTA_SCRIPT } from './valkey-scripts.ts'

// The script and quota-counter.ts are the same rules written twice: with a clock that is set, they must give the same.

let server: ValkeyServer
let redis: Redis

before(async () => {
  server = await ValkeyServer.start()
  redis = new Redis(server.url)
})

after(async () => {
  redis.disconnect()
  await server.close()
})

const CLOCK = "local time = redis.call('TIME')\nlocal clock = time[1] * 1000 + math.floor(time[2] / 1000)\n"
/** Keys do not expire by a clock that does not move. */
const EXPIRY = "redis.call('SET', counterKey, cmsgpack.pack(counter), 'PX', left)"

test('the script counts as quota-counter.ts does', async () => {
  assert.ok(VALKEY_QUOTA_SCRIPT.includes(CLOCK) && VALKEY_QUOTA_SCRIPT.includes(EXPIRY))
  const script = VALKEY_QUOTA_SCRIPT.replace(CLOCK, 'local clock = tonumber(ARGV[3])\n')
    .replace(EXPIRY, "redis.call('SET', counterKey, cmsgpack.pack(counter))")
    .replace("redis.call('PEXPIRE', indexKey, left)", '')
  const random = seededRandom(5)
  const below = (n: number) => Math.floor(random() * n)
  await redis.hset('epoch', { run: 'r', gen: '1', unknown: '', opens: '0', fresh: '0' })
  let compared = 0
  for (let world = 0; world < 40; world++) {
    const requests = 1 + below(random() < 0.5 ? 5 : 400)
    const limit = quotaLimit({
      requests,
      windowMs: [1_000, 7_000, 60_000][below(3)]!,
      window: random() < 0.5 ? 'fixed' : 'sliding',
      burst: random() < 0.5 ? null : 1 + below(requests),
    })
    const unknown = random() < 0.2 ? 1_790_000_000_000 : null
    await redis.hset('epoch', 'unknown', unknown === null ? '' : String(unknown))
    const counter = newQuotaCounter(limit, unknown)
    const rule = {
      requests,
      windowMs: limit.windowMs,
      fixed: limit.window === 'fixed',
      maxKeys: 10,
      ...(limit.burst !== null && { burst: limit.burst }),
    }
    const run = async (now: number, op: object, roundTripMs = 0) =>
      JSON.parse(
        (await redis.eval(
          script,
          3,
          'epoch',
          `c${world}`,
          `i${world}`,
          'r',
          JSON.stringify({ roundTripMs, ops: [{ rule, ...op }] }),
          String(now),
        )) as string,
      )
    let now = 1_790_000_000_000 + below(1_000_000)
    const leases: { until: number; granted: number }[] = []
    for (let step = 0; step < 60; step++) {
      now += random() < 0.3 ? 0 : below(random() < 0.1 ? 3 * limit.windowMs : 60)
      const lease = leases[below(leases.length)]
      if (lease && random() < 0.4) {
        const used = below(lease.granted + 1)
        const returned = random() < 0.9 ? lease.granted - used : below(5)
        const use: QuotaUse = { until: lease.until, used, returned, ageMs: below(50) }
        settleQuota(counter, limit, now, use)
        await run(now, { use })
        continue
      }
      const ask = { waiting: below(6), ahead: below(random() < 0.5 ? 2 : 50) }
      const roundTripMs = below(3)
      const mine = grantQuota(counter, limit, now, { ...ask, roundTripMs })
      const [given] = await run(now, { ask }, roundTripMs)
      const { kind, validMs, ...theirs } = given
      const { validMs: _, ...expected } = mine
      assert.equal(kind, 'granted')
      for (const [name, value] of Object.entries(expected)) {
        assert.ok(
          Math.abs(theirs[name] - value) < 1e-3,
          `${name}: ${theirs[name]}, not ${value} (world ${world}, step ${step})`,
        )
      }
      assert.equal(validMs, theirs.until - Math.max(now, counter.at) - 1)
      if (mine.granted > 0) leases.push({ until: mine.until, granted: mine.granted })
      compared++
    }
  }
  assert.ok(compared > 1_000)
})
