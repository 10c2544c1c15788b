import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { AuthorizationPolicy } from '../api/authorization-policy.ts'
import type { FunctionSpec } from '../api/function-spec.ts'
import { defaultMeshConfig, type MeshConfigSpec, meshConfigManifest } from '../api/mesh-config.ts'
import { ACTION_CUSTOM, AUTHZ_POLICY_ACTION } from '../sidecar/layout/authorization.ts'
import {
  EXTERNAL_ASKED,
  EXTERNAL_FAIL_OPEN,
  EXTERNAL_FIRST_POLICY,
  EXTERNAL_LINES,
  EXTERNAL_ON_DENY,
  EXTERNAL_POLICIES,
  EXTERNAL_PROVIDER,
  EXTERNAL_STATUS,
} from '../sidecar/layout/external-authorization.ts'
import { compileAuthorization } from './authorization.ts'
import { checkServiceOf, compileExternalAuthorization } from './external-authorization.ts'

const fn = {
  namespace: 'shop',
  name: 'payment',
  key: 'shop/payment',
  labels: { app: 'payment' },
} as unknown as FunctionSpec

function configWith(...providers: object[]): MeshConfigSpec {
  const checked = meshConfigManifest.safeParse({
    apiVersion: 'mayfly.dev/v1',
    kind: 'MeshConfig',
    metadata: { name: 'mesh' },
    spec: { extensionProviders: providers },
  })
  assert.ok(checked.success, JSON.stringify(checked.error?.issues))
  return (checked.data as { spec: MeshConfigSpec }).spec
}

function policy(name: string, provider: string | null, more: object = {}): AuthorizationPolicy {
  const custom = provider === null ? {} : { action: 'CUSTOM', provider: { name: provider } }
  return {
    apiVersion: 'security.istio.io/v1',
    kind: 'AuthorizationPolicy',
    metadata: { name, namespace: 'shop', labels: {}, annotations: {} },
    spec: { action: 'ALLOW', rules: [{}], ...custom, ...more } as AuthorizationPolicy['spec'],
    source: { file: 'policies.yaml', line: 7 },
  }
}

const A = { name: 'a', envoyExtAuthzHttp: { service: 'ns/check.example', port: 80, timeout: '2s' } }
const B = { name: 'b', envoyExtAuthzHttp: { service: '127.0.0.1', port: 81 } }

test('a function without CUSTOM policies has no section and no check service', () => {
  const input = { config: configWith(A), authorizationPolicies: [policy('open', null)] }
  const section = compileExternalAuthorization(input, fn)
  assert.deepEqual(section, { ok: true, bytes: Buffer.alloc(0), rules: [] })
  assert.equal(checkServiceOf(input, fn), null)
  const elsewhere = policy('ask', 'a', { selector: { matchLabels: { app: 'cart' } } })
  assert.equal(checkServiceOf({ ...input, authorizationPolicies: [elsewhere] }, fn), null)
})

test('CUSTOM policies are in their own section, with the provider, and in no other', () => {
  const full = {
    name: 'a',
    envoyExtAuthzHttp: {
      service: 'check.example',
      port: 80,
      failOpen: true,
      statusOnError: '503',
      includeRequestHeadersInCheck: ['X-A'],
      includeAdditionalHeadersInCheck: { 'X-B': 'c' },
    },
  }
  const policies = [policy('z', 'a', { rules: [{}, {}] }), policy('y', 'a'), policy('open', null)]
  const input = { config: configWith(full), authorizationPolicies: policies }
  const section = compileExternalAuthorization(input, fn)
  assert.ok(section.ok)
  const { bytes, rules } = section
  const u32 = (at: number) => bytes.readUInt32LE(at)
  assert.deepEqual([u32(EXTERNAL_FAIL_OPEN), u32(EXTERNAL_STATUS), u32(EXTERNAL_POLICIES)], [1, 503, 2])
  const text = (at: number) => bytes.toString('utf8', u32(at), u32(at) + u32(at + 4))
  assert.deepEqual([text(EXTERNAL_PROVIDER), text(EXTERNAL_LINES)], ['a', 'x-b: c\r\n'])
  assert.ok(u32(EXTERNAL_ASKED) > 0)
  assert.equal(u32(EXTERNAL_ON_DENY), 0)
  assert.equal(u32(u32(EXTERNAL_FIRST_POLICY) + AUTHZ_POLICY_ACTION), ACTION_CUSTOM)
  assert.deepEqual(
    rules.map((rule) => `${rule.policy}#${rule.index}`),
    ['shop/y#0', 'shop/z#0', 'shop/z#1'],
  )
  const authorization = compileAuthorization(input, fn)
  assert.ok(authorization.ok)
  assert.deepEqual(
    authorization.rules.map((rule) => rule.policy),
    ['shop/open'],
  )
})

test('conditions on headers are bounded for CUSTOM and all other policies together', () => {
  const when = (count: number) =>
    Array.from({ length: count }, (_, i) => ({ key: `request.headers[x-${i}]`, values: ['a'] }))
  const many = (name: string, provider: string | null) =>
    policy(name, provider, { rules: [{ when: when(260) }] })
  const input = { config: configWith(A), authorizationPolicies: [many('ask', 'a'), many('open', null)] }
  assert.ok(compileAuthorization(input, fn).ok)
  const section = compileExternalAuthorization(input, fn)
  assert.ok(!section.ok)
  assert.match(section.problems[0]!.message, /have 520 conditions on headers, at most 500 can be judged/)
})

test('the check service is its address without the namespace, and its time-out', () => {
  const input = { config: configWith(A), authorizationPolicies: [policy('ask', 'a')] }
  assert.deepEqual(checkServiceOf(input, fn), {
    name: 'a',
    host: 'check.example',
    port: 80,
    timeoutMs: 2_000,
  })
})

test('two check services for one function are refused, and one that does not exist', () => {
  const two = { config: configWith(A, B), authorizationPolicies: [policy('p', 'a'), policy('q', 'b')] }
  const section = compileExternalAuthorization(two, fn)
  assert.ok(!section.ok)
  assert.deepEqual(
    section.problems.map(({ resource, field, message }) => `${resource} ${field}: ${message}`),
    [
      'AuthorizationPolicy shop/q spec.provider.name: shop/payment has the check service "a" by shop/p, and a function has one: name the same, or select other functions',
    ],
  )
  const none = { config: defaultMeshConfig, authorizationPolicies: [policy('p', 'a')] }
  const missing = compileExternalAuthorization(none, fn)
  assert.ok(!missing.ok)
  assert.match(missing.problems[0]!.message, /"a" is no check service/)
})
