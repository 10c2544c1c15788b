import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { toFunctionSpec } from '../api/function-spec.ts'
import { readManifests } from '../api/read-manifests.ts'
import { meshConfigOf, ofKind } from '../api/resource.ts'
import { compileAuthentication, jwtRulesFor } from './authentication.ts'
import { tokenKeysOf } from './token-keys.ts'

const jwk = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'jwk' })
const JWKS = JSON.stringify({ keys: [jwk] })

interface Policy {
  readonly name: string
  readonly namespace?: string
  readonly selector?: Record<string, string>
  readonly jwtRules: readonly object[]
}

function world(policies: readonly Policy[], mesh: object = {}) {
  const documents = [
    {
      apiVersion: 'serving.knative.dev/v1',
      kind: 'Service',
      metadata: { name: 'cart', namespace: 'shop', labels: { tier: 'web' } },
      spec: {
        template: {
          metadata: { labels: { tier: 'web' } },
          spec: { containers: [{ image: 'endpoint:127.0.0.1:9001' }] },
        },
      },
    },
    { apiVersion: 'mayfly.dev/v1', kind: 'MeshConfig', metadata: { name: 'mesh' }, spec: mesh },
    ...policies.map(({ name, namespace = 'shop', selector, jwtRules }) => ({
      apiVersion: 'security.istio.io/v1',
      kind: 'RequestAuthentication',
      metadata: { name, namespace },
      spec: { ...(selector && { selector: { matchLabels: selector } }), jwtRules },
    })),
  ]
  const reading = readManifests(documents.map((one, i) => ({ path: `${i}.yaml`, text: JSON.stringify(one) })))
  assert.ok(reading.ok, JSON.stringify(reading))
  const config = meshConfigOf(reading.resources)
  const fn = toFunctionSpec(ofKind(reading.resources, 'Service')[0]!, config)
  return { fn, input: { config, requestAuthentications: ofKind(reading.resources, 'RequestAuthentication') } }
}

test('policies of the own and of the root namespace apply, if their labels fit; their rules come by issuer', () => {
  const one = (issuer: string) => [{ issuer, jwks: JWKS }]
  const { fn, input } = world([
    { name: 'own', jwtRules: one('c') },
    { name: 'selected', selector: { tier: 'web' }, jwtRules: one('a') },
    { name: 'not-selected', selector: { tier: 'db' }, jwtRules: one('x') },
    { name: 'root', namespace: 'mayfly-system', jwtRules: one('b') },
    { name: 'elsewhere', namespace: 'other', jwtRules: one('y') },
  ])
  assert.deepEqual(
    jwtRulesFor(input, fn).map(({ rule, policy }) => `${policy.metadata.name} ${rule.issuer}`),
    ['selected a', 'root b', 'own c'],
  )
  const section = compileAuthentication(input, fn)
  assert.ok(section.ok)
  assert.deepEqual(
    section.rules.map(({ policy, index }) => `${policy}#${index}`),
    ['shop/selected#0', 'mayfly-system/root#0', 'shop/own#0'],
  )
})

test('without rules there is no section and there are no keys', () => {
  const { fn, input } = world([{ name: 'empty', jwtRules: [] }])
  const section = compileAuthentication(input, fn)
  assert.ok(section.ok)
  assert.equal(section.bytes.length, 0)
  assert.deepEqual(tokenKeysOf(input, fn), [])
})

test('rules with the same keys share a set, and each has its own time', () => {
  const { fn, input } = world(
    [
      {
        name: 'a',
        jwtRules: [
          { issuer: 'a', jwks: JWKS },
          { issuer: 'b', jwks: JWKS, timeout: '1s' },
          { issuer: 'c', jwksUri: 'https://keys.example/c' },
        ],
      },
    ],
    { jwksHosts: ['keys.example'] },
  )
  const keys = tokenKeysOf(input, fn)
  assert.equal(keys[0]?.source.id, keys[1]?.source.id)
  assert.deepEqual(
    keys.map(({ timeoutMs }) => timeoutMs),
    [5_000, 1_000, 5_000],
  )
  assert.deepEqual(keys[2]?.source, {
    kind: 'remote',
    id: 'https://keys.example/c',
    uri: 'https://keys.example/c',
  })
})

const HOSTS: readonly (readonly [uri: string, hosts: readonly string[], allowed: boolean])[] = [
  ['https://keys.example/a', [], false],
  ['https://keys.example/a', ['keys.example'], true],
  ['https://KEYS.example/a', ['keys.Example'], true],
  ['https://keys.example/a', ['keys.example:443'], true],
  ['https://keys.example:8443/a', ['keys.example'], false],
  ['https://keys.example:8443/a', ['keys.example:8443'], true],
  ['http://keys.example/a', ['keys.example:443'], false],
  ['https://evil.keys.example/a', ['keys.example'], false],
  ['https://keys.example.evil/a', ['keys.example'], false],
  ['http://[::1]:80/a', ['[::1]'], true],
]

for (const [uri, hosts, allowed] of HOSTS) {
  test(`keys from ${uri} are ${allowed ? '' : 'not '}allowed by ${JSON.stringify(hosts)}`, () => {
    const { fn, input } = world([{ name: 'a', jwtRules: [{ issuer: 'a', jwksUri: uri }] }], {
      jwksHosts: hosts,
    })
    const section = compileAuthentication(input, fn)
    assert.equal(section.ok, allowed)
    if (section.ok) return
    assert.match(section.problems[0]!.message, /jwksHosts/)
    assert.equal(section.problems[0]!.field, 'spec.jwtRules[0].jwksUri')
  })
}

test('no rule may output where another one reads tokens', () => {
  const { fn, input } = world([
    { name: 'a', jwtRules: [{ issuer: 'a', jwks: JWKS, fromHeaders: [{ name: 'x-token' }] }] },
    { name: 'b', jwtRules: [{ issuer: 'b', jwks: JWKS, outputPayloadToHeader: 'X_Token' }] },
  ])
  const section = compileAuthentication(input, fn)
  assert.ok(!section.ok)
  assert.match(section.problems[0]!.message, /another rule for the same function reads tokens/)
})

test('more rules than can be judged are refused', () => {
  const jwtRules = (prefix: string) =>
    Array.from({ length: 33 }, (_, i) => ({ issuer: `${prefix}${i}`, jwks: JWKS }))
  const { fn, input } = world([
    { name: 'a', jwtRules: jwtRules('a') },
    { name: 'b', jwtRules: jwtRules('b') },
  ])
  const section = compileAuthentication(input, fn)
  assert.ok(!section.ok)
  assert.equal(section.problems[0]?.code, 'too-large')
})

test('a host that is none is refused in the MeshConfig', () => {
  for (const host of ['https://keys.example', 'a b', 'user@host', 'host/path', '']) {
    const text = JSON.stringify({
      apiVersion: 'mayfly.dev/v1',
      kind: 'MeshConfig',
      metadata: { name: 'm' },
      spec: { jwksHosts: [host] },
    })
    assert.equal(readManifests([{ path: 'm.yaml', text }]).ok, false, host)
  }
})

test('the example is valid and compiles', () => {
  const file = new URL('../../examples/policies/request-authentication.yaml', import.meta.url)
  const reading = readManifests([{ path: 'example.yaml', text: readFileSync(file, 'utf8') }])
  assert.ok(reading.ok, JSON.stringify(reading))
  const requestAuthentications = ofKind(reading.resources, 'RequestAuthentication')
  const { fn } = world([])
  const section = compileAuthentication(
    { config: meshConfigOf(reading.resources), requestAuthentications },
    fn,
  )
  assert.ok(section.ok && section.bytes.length > 0)
})
