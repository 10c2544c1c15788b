import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { before, describe, test } from 'node:test'
import type { Sidecars } from '../src/dataplane/sidecar.ts'
import { QUOTA_REFUSED, QUOTA_UNAVAILABLE, QUOTA_UNTOUCHED } from '../src/sidecar/layout/rate-limit.ts'
import { DIRECTION_OUTBOUND, RESPONSE_FLAG_RL } from '../src/sidecar/layout/record.ts'
import { errorsOf, type LimitedRequest, limitPolicy, RateLimitJudge } from './rate-limit-judge.ts'
import { realSidecars } from './sidecar-phases.ts'

const LIMIT = { name: 'one', requests: 100, unit: 'minute' }

let sidecars: Sidecars

before(async () => {
  sidecars = await realSidecars()
})

describe('which limits judge a request', () => {
  const names = (request: LimitedRequest, limits: object[], spec: object = {}) => {
    const judge = new RateLimitJudge(sidecars, [
      limitPolicy(
        limits.map((one) => ({ ...LIMIT, ...one })),
        'limits',
        spec,
      ),
    ])
    return judge.judge(request).counters.map(([name]) => name)
  }
  const match = (rule: object, name: string) => ({ name, match: [rule] })

  test('those that match: any rule, and all of its sides', () => {
    const limits = [
      match({ to: [{ operation: { methods: ['POST'], paths: ['/cart/*'] } }] }, 'post'),
      match({ to: [{ operation: { paths: ['/u/{*}/orders'] } }] }, 'orders'),
      {
        name: 'two',
        match: [{ to: [{ operation: { methods: ['PUT'] } }] }, { to: [{ operation: { paths: ['/two'] } }] }],
      },
      match({ from: [{ source: { notPrincipals: ['*/sa/robot'] } }] }, 'people'),
      match({ when: [{ key: 'request.headers[x-plan]', values: ['free'] }] }, 'free'),
      match({}, 'all'),
      { name: 'plain' },
    ]
    assert.deepEqual(names({}, limits), ['people', 'all', 'plain'])
    assert.deepEqual(names({ method: 'POST', path: '/cart/1' }, limits), ['post', 'people', 'all', 'plain'])
    assert.deepEqual(names({ method: 'POST', path: '/x' }, limits), ['people', 'all', 'plain'])
    assert.deepEqual(names({ path: '/u/7/orders' }, limits), ['orders', 'people', 'all', 'plain'])
    assert.deepEqual(names({ path: '/two' }, limits), ['two', 'people', 'all', 'plain'])
    assert.deepEqual(names({ peer: 'cluster.local/ns/shop/sa/robot' }, limits), ['all', 'plain'])
    assert.deepEqual(names({ headers: [['x-plan', 'free']] }, limits), ['people', 'free', 'all', 'plain'])
  })

  test('those whose policy selects the function, also from the root namespace', () => {
    const selecting = (tier: string) => ({ selector: { matchLabels: { tier } } })
    assert.deepEqual(names({}, [{}], selecting('front')), ['one'])
    assert.deepEqual(names({}, [{}], selecting('back')), [])
    const limitsOf = (namespace: string) =>
      new RateLimitJudge(sidecars, [limitPolicy([LIMIT], 'limits', {}, namespace)]).limits.length
    assert.equal(limitsOf('mayfly-system'), 1)
    assert.equal(limitsOf('bank'), 0)
  })

  test('none of them judges what a function calls', () => {
    const judge = new RateLimitJudge(sidecars, [limitPolicy([LIMIT])])
    assert.deepEqual(judge.judge({ direction: DIRECTION_OUTBOUND }).counters, [])
  })
})

describe('what a client is told', () => {
  const limits = [
    { ...LIMIT, name: 'a', requests: 100, unit: 'minute' },
    { ...LIMIT, name: 'b', requests: 5, unit: 'hour', per: 2 },
  ]

  test('of a request that passes: what is left of each limit', () => {
    const judge = new RateLimitJudge(sidecars, [limitPolicy(limits)])
    const { status, response, verdicts } = judge.judge(
      {},
      { remaining: 99, reset: 60 },
      { remaining: 4, reset: 7_000 },
    )
    assert.equal(status, 200)
    assert.equal(
      response,
      'ratelimit-policy: "a";q=100;w=60, "b";q=5;w=7200\nratelimit: "a";r=99;t=60, "b";r=4;t=7000',
    )
    assert.deepEqual(verdicts, ['allow'])
  })

  test('of one that does not: 429, which limit, and when to come again', () => {
    const judge = new RateLimitJudge(sidecars, [limitPolicy(limits)])
    const refused = judge.judge(
      {},
      { state: QUOTA_UNTOUCHED, remaining: 9 },
      { state: QUOTA_REFUSED, remaining: 0, retry: 61 },
    )
    assert.equal(refused.status, 429)
    assert.equal(refused.text, 'the limit shop/limits b is used up: try again in 61 s')
    assert.equal(refused.fields, 'retry-after: 61\r\n')
    assert.equal(refused.responseFlags, RESPONSE_FLAG_RL)
    assert.deepEqual(refused.verdicts, ['deny 1'])
    assert.match(refused.response, /^ratelimit: "a";r=9;t=30, "b";r=0;t=30$/m)
  })

  test('the latest moment, where several refuse', () => {
    const judge = new RateLimitJudge(sidecars, [limitPolicy(limits)])
    const refused = judge.judge({}, { state: QUOTA_REFUSED, retry: 100 }, { state: QUOTA_REFUSED, retry: 7 })
    assert.equal(refused.fields, 'retry-after: 100\r\n')
    assert.match(refused.text, /shop\/limits a/)
  })

  test('of a limit that nobody can count: 503, or nothing where the policy lets pass', () => {
    const judge = new RateLimitJudge(sidecars, [limitPolicy([LIMIT])])
    const refused = judge.judge({}, { state: QUOTA_UNAVAILABLE, retry: 1 })
    assert.equal(refused.status, 503)
    assert.equal(refused.text, 'the limit shop/limits one cannot be counted now: try again in 1 s')
    const open = new RateLimitJudge(sidecars, [limitPolicy([{ ...LIMIT, onUnavailable: 'allow' }])])
    const passed = open.judge({}, { state: QUOTA_UNAVAILABLE })
    assert.deepEqual([passed.status, passed.response, passed.verdicts], [200, '', ['allow']])
  })

  test('nothing of a limit that is only tried out, whose refusal is noted', () => {
    const judge = new RateLimitJudge(sidecars, [
      limitPolicy([
        { ...LIMIT, dryRun: true },
        { ...LIMIT, name: 'real' },
      ]),
    ])
    const passed = judge.judge({}, { state: QUOTA_REFUSED }, {})
    assert.equal(passed.status, 200)
    assert.deepEqual(passed.verdicts, ['audit 0', 'allow'])
    assert.match(passed.response, /^ratelimit-policy: "real";q=100;w=60\nratelimit: "real";r=7;t=30$/)
  })

  test('limits of one name by the names of their policies', () => {
    const judge = new RateLimitJudge(sidecars, [limitPolicy([LIMIT], 'x'), limitPolicy([LIMIT], 'y')])
    assert.match(judge.judge({}).response, /"shop\/x\/one";q=100;w=60, "shop\/y\/one";q=100;w=60/)
  })
})

test('limits keep their counters when their size changes, and not when their window does', () => {
  const idOf = (limit: object) =>
    new RateLimitJudge(sidecars, [limitPolicy([{ ...LIMIT, ...limit }])]).limits[0]!.id
  const id = idOf({})
  assert.equal(idOf({ requests: 7, burst: 3, maxKeys: 5, dryRun: true }), id)
  for (const change of [
    { name: 'x' },
    { unit: 'hour' },
    { per: 2 },
    { window: 'sliding' },
    { scope: 'node' },
  ]) {
    assert.notEqual(idOf(change), id)
  }
})

test('what does not fit a sidecar is refused where it is compiled', () => {
  const many = Array.from({ length: 9 }, (_, i) => ({ ...LIMIT, name: `l${i}` }))
  assert.match(
    errorsOf(limitPolicy(many, 'a'), limitPolicy(many, 'b'))[0]!,
    /has 18 limits, at most 16 can be judged/,
  )
  const key = Array.from({ length: 8 }, (_, i) => ({ header: `x-${i}` }))
  const wide = Array.from({ length: 9 }, (_, i) => ({ ...LIMIT, name: `l${i}`, key }))
  assert.match(errorsOf(limitPolicy(wide))[0]!, /have 72 parts, at most 64 can be judged/)
})

test('the dearest requests are judged within their bounds', () => {
  const names = Array.from({ length: 100 }, (_, i) => `x-${i}`)
  const limits = Array.from({ length: 16 }, (_, limit) => ({
    ...LIMIT,
    name: `l${limit}`,
    key: names.slice(limit * 4, limit * 4 + 4).map((header) => ({ header })),
    match: [
      ...names.slice(limit * 6, limit * 6 + 6).map((name) => ({
        when: [{ key: `request.headers[${name}]`, values: ['*nowhere'] }],
      })),
      { to: [{ operation: { paths: ['/{*}/{*}/{**}/end', '/a*'] } }] },
    ],
  }))
  const judge = new RateLimitJudge(sidecars, [limitPolicy(limits)])
  const headers = names.map((name) => [name, 'v'.repeat(140)] as const)
  const seen = judge.judge({ path: `/a${'/b'.repeat(200)}`, headers })
  assert.equal(seen.status, 200)
  assert.equal(seen.counters.length, 16)
})

test('the example compiles', () => {
  const file = new URL('../examples/policies/rate-limit.yaml', import.meta.url)
  assert.deepEqual(errorsOf(readFileSync(file, 'utf8')), [])
})
