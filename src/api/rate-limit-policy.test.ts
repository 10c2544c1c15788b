import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatManifestError } from './manifest-error.ts'
import type { RateLimitPolicy } from './rate-limit-policy.ts'
import { readManifests } from './read-manifests.ts'

function read(spec: object, metadata: object = { name: 'limits', namespace: 'shop' }) {
  const manifest = { apiVersion: 'mayfly.dev/v1', kind: 'RateLimitPolicy', metadata, spec }
  return readManifests([{ path: 'm.yaml', text: JSON.stringify(manifest) }])
}

function errorsOf(spec: object): string[] {
  const reading = read(spec)
  return reading.ok
    ? []
    : reading.errors.map(formatManifestError).map((line) => line.replace(/^m\.yaml:\d+:\d+: /, ''))
}

const LIMIT = { name: 'one', requests: 100, unit: 'minute' }

test('a limit by itself, with its defaults', () => {
  const reading = read({ limits: [LIMIT] })
  assert.ok(reading.ok)
  const { spec } = reading.resources[0] as RateLimitPolicy
  const defaults = {
    per: 1,
    window: 'fixed',
    scope: 'cluster',
    dryRun: false,
    onUnavailable: 'deny',
    maxKeys: 10_000,
  }
  assert.deepEqual(spec.limits, [{ ...LIMIT, ...defaults }])
})

test('a limit with everything is kept as it is written', () => {
  const limit = {
    ...{ name: 'all', requests: 1_000, unit: 'hour', per: 6, burst: 50, window: 'sliding', scope: 'node' },
    key: [
      ...[{ caller: {} }, { claim: 'sub' }, { claim: '[realm_access][roles]' }, { header: 'X-Api-Key' }],
      ...[{ pathTemplates: ['/u/{*}', '/files/{**}', '/x*'] }, { method: {} }],
      { clientAddress: { ipv4Prefix: 24, ipv6Prefix: 48 } },
    ],
    match: [
      {
        from: [{ source: { notPrincipals: ['cluster.local/ns/shop/sa/robot'] } }],
        to: [{ operation: { methods: ['GET'], paths: ['/u/{*}'] } }],
        when: [{ key: 'request.headers[x-plan]', values: ['free'] }],
      },
    ],
    dryRun: true,
    onUnavailable: 'allow',
    maxKeys: 7,
  }
  const selector = { matchLabels: { app: 'cart' } }
  const reading = read({ selector, limits: [limit] })
  assert.ok(reading.ok, JSON.stringify(reading))
  assert.deepEqual((reading.resources[0] as RateLimitPolicy).spec, { selector, limits: [limit] })
})

const ROWS: [what: string, spec: object, ...errors: RegExp[]][] = [
  ['no limits', {}, /^spec\.limits: is missing/],
  ['an empty list', { limits: [] }, /^spec\.limits: is empty/],
  [
    'too many',
    { limits: Array.from({ length: 17 }, (_, i) => ({ ...LIMIT, name: `l${i}` })) },
    /has 17 elements, at most 16/,
  ],
  [
    'gateways',
    { targetRefs: [{ kind: 'Gateway', name: 'x' }], limits: [LIMIT] },
    /^spec\.targetRefs: gateways and waypoints are not/,
  ],
  ['a gateway', { targetRef: { kind: 'Gateway', name: 'x' }, limits: [LIMIT] }, /^spec\.targetRef: gateways/],
  [
    'one name twice',
    { limits: [LIMIT, LIMIT] },
    /^spec\.limits\[1\]\.name: another limit has the name "one" \(conflict\)$/,
  ],
  [
    'a name that is none',
    { limits: [{ ...LIMIT, name: 'A b' }] },
    /limits\[0\]\.name: "A b" is not a DNS label/,
  ],
  ['unknown fields', { limits: [{ ...LIMIT, rate: 5 }] }, /limits\[0\]\.rate: is not a field here/],
  ['no number', { limits: [{ name: 'x', unit: 'minute' }] }, /limits\[0\]\.requests: is missing/],
  [
    'no requests at all',
    { limits: [{ ...LIMIT, requests: 0 }] },
    /requests: expected a whole number from 1 to/,
  ],
  [
    'a part of a request',
    { limits: [{ ...LIMIT, requests: 1.5 }] },
    /requests: expected a whole number, got 1.5/,
  ],
  [
    'a month',
    { limits: [{ ...LIMIT, unit: 'month' }] },
    /unit: expected second or minute or hour or day, got "month"/,
  ],
  ['no unit', { limits: [{ name: 'x', requests: 5 }] }, /unit: is missing/],
  [
    'too long a window',
    { limits: [{ ...LIMIT, unit: 'day', per: 32 }] },
    /per: 32 days are more than 31 days/,
  ],
  [
    'a burst above the limit',
    { limits: [{ ...LIMIT, burst: 101 }] },
    /burst: 101 is more than requests \(100\)/,
  ],
  [
    'a burst that slows the limit down',
    { limits: [{ ...LIMIT, unit: 'second', requests: 1_000, burst: 49 }] },
    /burst: 49 is less than what the limit lets through in 50 ms, .* write at least 50/,
  ],
  ['an unknown window', { limits: [{ ...LIMIT, window: 'rolling' }] }, /window: expected fixed or sliding/],
  ['an unknown scope', { limits: [{ ...LIMIT, scope: 'mesh' }] }, /scope: expected cluster or node/],
  ['words for a switch', { limits: [{ ...LIMIT, dryRun: 'yes' }] }, /dryRun: expected true or false/],
  [
    'an unknown outcome',
    { limits: [{ ...LIMIT, onUnavailable: 'ignore' }] },
    /onUnavailable: expected deny or allow/,
  ],
  ['no keys at all', { limits: [{ ...LIMIT, maxKeys: 0 }] }, /maxKeys: expected a whole number from 1/],
  ['an empty key', { limits: [{ ...LIMIT, key: [] }] }, /key: is empty/],
  [
    'a key part of two',
    { limits: [{ ...LIMIT, key: [{ header: 'x', claim: 'y' }] }] },
    /key\[0\]: expected exactly one of .*, got 2/,
  ],
  [
    'a key part of none',
    { limits: [{ ...LIMIT, key: [{}] }] },
    /key\[0\]: expected exactly one of .*, got none/,
  ],
  [
    'a header that is none',
    { limits: [{ ...LIMIT, key: [{ header: 'a b' }] }] },
    /"a b" is not a header name/,
  ],
  [
    'a claim that is none',
    { limits: [{ ...LIMIT, key: [{ claim: 'a[b]' }] }] },
    /"a\[b\]" is not a claim: write NAME/,
  ],
  [
    'a template that is none',
    { limits: [{ ...LIMIT, key: [{ pathTemplates: ['/a/{*}b'] }] }] },
    /is not a path template/,
  ],
  [
    'a network that is none',
    { limits: [{ ...LIMIT, key: [{ clientAddress: { ipv4Prefix: 33 } }] }] },
    /from 1 to 32, got 33/,
  ],
  [
    'a rule that is none',
    { limits: [{ ...LIMIT, match: [{ to: [{ operation: {} }] }] }] },
    /match\[0\]\.to\[0\]\.operation: is empty/,
  ],
  [
    'several at once',
    { limits: [{ ...LIMIT, window: 'x', key: [{ header: '' }] }, { name: 'b' }] },
    /window/,
    /header/,
    /limits\[1\]\.requests: is missing/,
    /limits\[1\]\.unit: is missing/,
  ],
]

for (const [what, spec, ...errors] of ROWS) {
  test(`refused: ${what}`, () => {
    const found = errorsOf(spec)
    for (const error of errors)
      assert.ok(
        found.some((line) => error.test(line)),
        `${error} is not among\n${found.join('\n')}`,
      )
    assert.equal(found.length, errors.length, found.join('\n'))
  })
}
