// Whose counter a request counts for, as the real guest names it.

import assert from 'node:assert/strict'
import { before, describe, test } from 'node:test'
import fc from 'fast-check'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import type { Sidecars } from '../src/dataplane/sidecar.ts'
import { DIRECTION_INGRESS } from '../src/sidecar/layout/record.ts'
import { type LimitedRequest, limitPolicy, RateLimitJudge } from './rate-limit-judge.ts'
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
