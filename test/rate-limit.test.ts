import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { before, describe, test } from 'node:test'
import fc from 'fast-check'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import type { Sidecars } from '../src/dataplane/sidecar.ts'
import { QUOTA_REFUSED, QUOTA_UNAVAILABLE, QUOTA_UNTOUCHED } from '../src/sidecar/layout/rate-limit.ts'
import { DIRECTION_INGRESS, DIRECTION_OUTBOUND, RESPONSE_FLAG_RL } from '../src/sidecar/layout/record.ts'
import { errorsOf, type LimitedRequest, limitPolicy, RateLimitJudge } from './rate-limit-judge.ts'
import { realSidecars } from './sidecar-phases.ts'

const LIMIT = { name: 'one', requests: 100, unit: 'minute' }

let sidecars: Sidecars

before(async () => {
  sidecars = await realSidecars()
})

/** Whether two requests count for the same counter of a limit with this key. */
function sameCounter(key: object[], a: LimitedRequest, b: LimitedRequest): boolean {
  const judge = new RateLimitJudge(sidecars, [limitPolicy([{ ...LIMIT, key }])])
  const descriptorOf = (request: LimitedRequest) => {
    const { counters } = judge.judge(request)
    assert.equal(counters.length, 1)
    return counters[0]![1]
  }
  return descriptorOf(a) === descriptorOf(b)
}

describe('whose counter a request counts for', () => {
  const caller = (name: string) => ({ peer: `cluster.local/ns/shop/sa/${name}` })
  const header = (...values: string[]) => ({ headers: values.map((value) => ['x-user', value] as const) })
  const from = (address: string) => ({ sourceIp: address })
  const rows: [what: string, key: object[], a: LimitedRequest, b: LimitedRequest, same: boolean][] = [
    ['a limit without a key has one counter', [], caller('a'), { path: '/x', ...header('u') }, true],
    ['callers', [{ caller: {} }], caller('a'), caller('b'), false],
    ['one caller', [{ caller: {} }], caller('a'), { ...caller('a'), path: '/other' }, true],
    ['clients without identity share one', [{ caller: {} }], from('192.0.2.1'), from('192.0.2.2'), true],
    ['a caller and none', [{ caller: {} }], caller('a'), {}, false],
    ['headers', [{ header: 'X-User' }], header('a'), header('b'), false],
    ['header values differ by case', [{ header: 'x-user' }], header('a'), header('A'), false],
    ['one header value', [{ header: 'x-user' }], header('a'), header('a'), true],
    ['a header and none', [{ header: 'x-user' }], header('a'), {}, false],
    ['an empty header and none', [{ header: 'x-user' }], header(''), {}, false],
    ['requests without the header share one', [{ header: 'x-user' }], {}, { path: '/x' }, true],
    ['a header twice is not its first', [{ header: 'x-user' }], header('a', 'b'), header('a'), false],
    ['a header twice is its list', [{ header: 'x-user' }], header('a', 'b'), header('a,b'), true],
    ['methods', [{ method: {} }], {}, { method: 'POST' }, false],
    ['addresses', [{ clientAddress: {} }], from('192.0.2.1'), from('192.0.2.2'), false],
    ['networks', [{ clientAddress: { ipv4Prefix: 24 } }], from('192.0.2.1'), from('192.0.2.254'), true],
    ['other networks', [{ clientAddress: { ipv4Prefix: 24 } }], from('192.0.2.1'), from('192.0.3.1'), false],
    ['bits of an octet', [{ clientAddress: { ipv4Prefix: 30 } }], from('192.0.2.4'), from('192.0.2.7'), true],
    [
      'other bits of it',
      [{ clientAddress: { ipv4Prefix: 30 } }],
      from('192.0.2.4'),
      from('192.0.2.8'),
      false,
    ],
    ['IPv6 counts by /64', [{ clientAddress: {} }], from('2001:db8::1'), from('2001:db8::ffff:1'), true],
    ['and not beyond', [{ clientAddress: {} }], from('2001:db8:0:1::1'), from('2001:db8:0:2::1'), false],
    [
      'unless told otherwise',
      [{ clientAddress: { ipv6Prefix: 128 } }],
      from('2001:db8::1'),
      from('2001:db8::2'),
      false,
    ],
    ['one template', [{ pathTemplates: ['/u/{*}'] }], { path: '/u/1' }, { path: '/u/2' }, true],
    ['templates', [{ pathTemplates: ['/u/{*}', '/o/*'] }], { path: '/u/1' }, { path: '/o/1' }, false],
    [
      'the first that fits',
      [{ pathTemplates: ['/u/{*}', '/*'] }],
      { path: '/u/1' },
      { path: '/u/1/2' },
      false,
    ],
    ['no template', [{ pathTemplates: ['/u/{*}'] }], { path: '/x' }, { path: '/y' }, true],
    [
      'paths as they are judged',
      [{ pathTemplates: ['/u/{*}'] }],
      { path: '/u/../u/1' },
      { path: '/u/%31' },
      true,
    ],
  ]
  for (const [what, key, a, b, same] of rows) {
    test(what, () => assert.equal(sameCounter(key.length > 0 ? key : [{ header: 'x-none' }], a, b), same))
  }

  test('parts cannot be moved from one value into the next', () => {
    const value = fc
      .string({ unit: fc.constantFrom('a', 'b', ',', '"', '\\'), maxLength: 4 })
      .filter((text) => !/^\s|\s$/.test(text))
    const pair = fc.record({
      x: fc.option(value, { nil: undefined }),
      y: fc.option(value, { nil: undefined }),
    })
    const key = [{ header: 'x' }, { header: 'y' }]
    const judge = new RateLimitJudge(sidecars, [limitPolicy([{ ...LIMIT, key }])])
    const descriptorOf = ({ x, y }: { x?: string | undefined; y?: string | undefined }) => {
      const headers = [
        ...(x === undefined ? [] : [['x', x] as const]),
        ...(y === undefined ? [] : [['y', y] as const]),
      ]
      return judge.judge({ headers }).counters[0]![1]
    }
    fc.assert(
      fc.property(pair, pair, (a, b) => {
        assert.equal(descriptorOf(a) === descriptorOf(b), a.x === b.x && a.y === b.y)
      }),
      { numRuns: 500 },
    )
  })

  test('long values differ by their beginning, their length and a hash', () => {
    const key = [{ header: 'x-user' }]
    const long = (end: string) => header('u'.repeat(3_000) + end)
    assert.equal(sameCounter(key, long('a'), long('b')), false)
    assert.equal(sameCounter(key, long('a'), long('a')), true)
    const judge = new RateLimitJudge(sidecars, [limitPolicy([{ ...LIMIT, key }])])
    assert.ok(judge.judge(long('a')).counters[0]![1].length < 1_100)
  })

  test('the client behind a trusted proxy, and nobody whom a client claims to be', () => {
    const policy = limitPolicy([{ ...LIMIT, key: [{ clientAddress: {} }] }])
    const judge = new RateLimitJudge(sidecars, [policy])
    const claimed = (address: string) =>
      judge.judge({ direction: DIRECTION_INGRESS, headers: [['x-forwarded-for', address]] }).counters
    assert.deepEqual(claimed('10.0.0.1'), claimed('10.0.0.2'))
  })
})

test('claims: texts, lists, claims inside others, and none', async () => {
  const { privateKey, publicKey } = await generateKeyPair('ES256')
  const jwks = JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: 'k', alg: 'ES256' }] })
  const rules = JSON.stringify({
    apiVersion: 'security.istio.io/v1',
    kind: 'RequestAuthentication',
    metadata: { name: 'tokens', namespace: 'shop' },
    spec: { jwtRules: [{ issuer: 'https://issuer.example', jwks }] },
  })
  const limits = [
    { ...LIMIT, name: 'sub', key: [{ claim: 'sub' }] },
    { ...LIMIT, name: 'roles', key: [{ claim: '[realm][roles]' }] },
  ]
  const judge = new RateLimitJudge(sidecars, [rules, limitPolicy(limits)], jwks)
  const countersOf = async (claims: Record<string, unknown> | null) => {
    const token =
      claims &&
      (await new SignJWT({ iss: 'https://issuer.example', ...claims })
        .setProtectedHeader({ alg: 'ES256', kid: 'k' })
        .sign(privateKey))
    const { counters } = judge.judge({ headers: token ? [['authorization', `Bearer ${token}`]] : [] })
    return counters.map(([, descriptor]) => descriptor)
  }
  const [a, b] = [await countersOf({ sub: 'a' }), await countersOf({ sub: 'b' })]
  assert.notEqual(a[0], b[0])
  assert.equal(a[1], b[1], 'neither has roles')
  assert.equal((await countersOf({ sub: 'a', realm: { roles: ['x'] } }))[0], a[0])
  const roles = async (...list: string[]) => (await countersOf({ realm: { roles: list } }))[1]
  assert.notEqual(await roles('x', 'y'), await roles('x'))
  assert.notEqual(await roles('xy'), await roles('x', 'y'))
  assert.equal(await roles('x', 'y'), await roles('x', 'y'))
  assert.equal((await countersOf(null))[0], (await countersOf({}))[0])
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
