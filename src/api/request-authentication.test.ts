import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { test } from 'node:test'
import { readManifests } from './read-manifests.ts'
import { ofKind } from './resource.ts'

const jwk = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'jwk' })
const JWKS = JSON.stringify({ keys: [{ ...jwk, kid: 'a', use: 'sig' }] })

function read(spec: unknown, apiVersion = 'security.istio.io/v1') {
  const text = JSON.stringify({
    apiVersion,
    kind: 'RequestAuthentication',
    metadata: { name: 'tokens' },
    spec,
  })
  return readManifests([{ path: 'a.yaml', text }])
}

function rule(fields: object) {
  return read({ jwtRules: [{ issuer: 'https://i.example', jwks: JWKS, ...fields }] })
}

test('what is left out has its default', () => {
  const reading = rule({})
  assert.ok(reading.ok)
  assert.deepEqual(ofKind(reading.resources, 'RequestAuthentication')[0]?.spec, {
    jwtRules: [
      {
        issuer: 'https://i.example',
        audiences: [],
        jwks: JWKS,
        fromHeaders: [],
        fromParams: [],
        fromCookies: [],
        outputClaimToHeaders: [],
        forwardOriginalToken: false,
        timeout: 5_000,
        spaceDelimitedClaims: [],
      },
    ],
  })
})

const GOOD: readonly (readonly [name: string, spec: object])[] = [
  ['no rules', {}],
  ['a selector', { selector: { matchLabels: { app: 'a' } }, jwtRules: [] }],
  ['a URI', { jwtRules: [{ issuer: 'i', jwksUri: 'https://keys.example:8443/a?b=c' }] }],
  ['no issuer with a URI', { jwtRules: [{ jwksUri: 'http://keys.example/' }] }],
]

for (const [name, spec] of GOOD) {
  test(`taken: ${name}`, () => {
    const reading = read(spec, 'security.istio.io/v1beta1')
    assert.ok(reading.ok, JSON.stringify(reading))
  })
}

test('every field of a rule has its meaning', () => {
  const fields = {
    audiences: ['a', 'b'],
    fromHeaders: [{ name: 'Authorization', prefix: 'Bearer ' }, { name: 'x-jwt' }],
    fromParams: ['token'],
    fromCookies: ['session'],
    outputPayloadToHeader: 'x-payload',
    outputClaimToHeaders: [{ header: 'x-sub', claim: 'sub' }],
    forwardOriginalToken: true,
    timeout: '1.5s',
    spaceDelimitedClaims: ['groups'],
  }
  const reading = rule(fields)
  assert.ok(reading.ok, JSON.stringify(reading))
  const [read] = ofKind(reading.resources, 'RequestAuthentication')[0]!.spec.jwtRules
  assert.equal(read?.timeout, 1_500)
  assert.deepEqual(read?.fromHeaders, [fields.fromHeaders[0], { name: 'x-jwt', prefix: '' }])
})

const rsa1024 = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({ format: 'jwk' })
const privateJwk = generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' })
const keys = (...all: object[]) => ({ jwks: JSON.stringify({ keys: all }) })

const BAD: readonly (readonly [name: string, fields: object, code: string, message: RegExp])[] = [
  ['no keys', { jwks: undefined }, 'missing-field', /expected jwks or jwksUri/],
  ['keys twice', { jwksUri: 'https://k.example/' }, 'conflict', /cannot stand beside/],
  ['no issuer with its own keys', { issuer: '' }, 'missing-field', /needed where there is no jwksUri/],
  ['an unknown field', { jwks_uri: 'https://k.example/' }, 'unknown-field', /jwks_uri/],
  [
    'a URI that is none',
    { jwks: undefined, jwksUri: 'keys.example/jwks' },
    'bad-value',
    /not an http or https URL/,
  ],
  ['a file', { jwks: undefined, jwksUri: 'file:///etc/passwd' }, 'bad-value', /not an http or https URL/],
  [
    'a URI with a password',
    { jwks: undefined, jwksUri: 'https://a:b@k.example/' },
    'bad-value',
    /user name or password/,
  ],
  ['keys that are no JSON', { jwks: 'keys' }, 'bad-value', /is not JSON/],
  ['no key set', { jwks: '{"key":[]}' }, 'bad-value', /not a JSON Web Key Set/],
  ['an empty key set', keys(), 'bad-value', /no key that can verify/],
  ['a private key', keys(privateJwk), 'bad-value', /is a secret/],
  ['a shared secret', keys({ kty: 'oct', k: 'AAAA' }), 'bad-value', /is a secret/],
  ['a short key', keys(rsa1024), 'bad-value', /1024 bits: expected 2048/],
  ['a point that is on no curve', keys({ ...jwk, x: jwk.y, y: jwk.y }), 'bad-value', /no key of its kind/],
  ['another curve', keys({ ...jwk, crv: 'secp256k1' }), 'bad-value', /another curve/],
  ['an algorithm of another kind', keys({ ...jwk, alg: 'RS256' }), 'bad-value', /expected ES256/],
  ['only keys for encryption', keys({ ...jwk, use: 'enc' }), 'bad-value', /no key that can verify/],
  ['an empty audience', { audiences: [''] }, 'bad-value', /is empty/],
  ['a header that is none', { fromHeaders: [{ name: 'a b' }] }, 'bad-value', /not a header name/],
  [
    'a header of the mesh',
    { fromHeaders: [{ name: 'x-request-id' }] },
    'bad-value',
    /does not reach policies/,
  ],
  [
    'a prefix that nobody can send',
    { fromHeaders: [{ name: 'a', prefix: ' Bearer' }] },
    'bad-value',
    /begin with/,
  ],
  ['a parameter without name', { fromParams: [''] }, 'bad-value', /is empty/],
  ['a cookie that is none', { fromCookies: ['a;b'] }, 'bad-value', /not the name of a cookie/],
  ['an output of the mesh', { outputPayloadToHeader: 'X-Forwarded-For' }, 'bad-value', /written by the mesh/],
  [
    'an output that frames',
    { outputClaimToHeaders: [{ header: 'Content_Length', claim: 'a' }] },
    'bad-value',
    /written by the mesh/,
  ],
  [
    'one output twice',
    { outputPayloadToHeader: 'x-a', outputClaimToHeaders: [{ header: 'X_A', claim: 'a' }] },
    'conflict',
    /another output/,
  ],
  ['an output where tokens are', { outputPayloadToHeader: 'Authorization' }, 'conflict', /reads tokens/],
  ['a claim without name', { outputClaimToHeaders: [{ header: 'x-a', claim: '' }] }, 'bad-value', /is empty/],
  ['a time that is none', { timeout: '5' }, 'bad-value', /not a duration/],
  ['a time that is too long', { timeout: '2m' }, 'bad-value', /expected a time/],
]

for (const [name, fields, code, message] of BAD) {
  test(`refused: ${name}`, () => {
    const reading = rule(fields)
    assert.ok(!reading.ok)
    assert.ok(
      reading.errors.some((error) => error.code === code && message.test(`${error.field} ${error.message}`)),
      JSON.stringify(reading.errors),
    )
  })
}

test('keys for encryption beside others are left out, as a provider publishes them', () => {
  assert.ok(rule(keys({ ...rsa1024, use: 'enc' }, { ...jwk, kid: 'a' })).ok)
})

for (const field of ['targetRef', 'targetRefs']) {
  test(`refused: ${field}`, () => {
    const reading = read({ [field]: [{ kind: 'Gateway', name: 'g' }], jwtRules: [] })
    assert.ok(!reading.ok)
    assert.equal(reading.errors[0]?.code, 'unsupported')
  })
}
