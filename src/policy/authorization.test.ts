import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { AuthorizationPolicy } from '../api/authorization-policy.ts'
import type { FunctionSpec } from '../api/function-spec.ts'
import { compileAuthorization, policiesFor } from './authorization.ts'

const config = {
  rootNamespace: 'mayfly-system',
  trustDomain: 'cluster.local',
  defaultAuthorization: 'deny' as const,
}
const fn = {
  namespace: 'shop',
  name: 'payment',
  key: 'shop/payment',
  labels: { app: 'payment', 'serving.knative.dev/service': 'payment' },
} as unknown as FunctionSpec

type Spec = Partial<AuthorizationPolicy['spec']>

function policy(name: string, spec: Spec, namespace = 'shop'): AuthorizationPolicy {
  return {
    apiVersion: 'security.istio.io/v1',
    kind: 'AuthorizationPolicy',
    metadata: { name, namespace, labels: {}, annotations: {} },
    spec: { action: 'ALLOW', rules: [], ...spec } as AuthorizationPolicy['spec'],
    source: { file: 'policies.yaml', line: 7 },
  }
}

function compile(...authorizationPolicies: AuthorizationPolicy[]) {
  return compileAuthorization({ config, authorizationPolicies }, fn)
}

function problemsOf(...policies: AuthorizationPolicy[]) {
  const section = compile(...policies)
  assert.ok(!section.ok)
  return section.problems.map(({ code, resource, field, message }) => ({ code, resource, field, message }))
}

test('policies apply by namespace and label, in the order AUDIT, DENY, ALLOW', () => {
  const all = [
    policy('z-allow', {}),
    policy('a-allow', { selector: { matchLabels: { app: 'payment' } } }),
    policy('deny', { action: 'DENY' }),
    policy('audit', { action: 'AUDIT' }, 'mayfly-system'),
    policy('other-label', { selector: { matchLabels: { app: 'cart' } } }),
    policy('no-such-label', { selector: { matchLabels: { toString: 'x' } } }),
    policy('other-namespace', {}, 'dev'),
  ]
  const names = policiesFor({ config, authorizationPolicies: all }, fn).map(({ metadata }) => metadata.name)
  assert.deepEqual(names, ['audit', 'deny', 'a-allow', 'z-allow'])
})

test('rules are numbered through, in the order of the policies', () => {
  const section = compile(policy('b', { rules: [{}, {}] }), policy('a', { action: 'DENY', rules: [{}] }))
  assert.ok(section.ok)
  const source = { file: 'policies.yaml', line: 7 }
  assert.deepEqual(section.rules, [
    { policy: 'shop/a', index: 0, source },
    { policy: 'shop/b', index: 0, source },
    { policy: 'shop/b', index: 1, source },
  ])
})

test('the same policies in another order compile to the same bytes', () => {
  const a = policy('a', { rules: [{ to: [{ operation: { methods: ['GET', 'PUT'] } }] }] })
  const b = policy('b', { rules: [{ to: [{ operation: { methods: ['PUT', 'GET'] } }] }] })
  const [one, other] = [compile(a, b), compile(b, a)]
  assert.ok(one.ok && other.ok)
  assert.deepEqual(one.bytes, other.bytes)
})

test('ten rules take less than 2 KiB', () => {
  const rules = Array.from({ length: 10 }, (_, index) => ({
    from: [{ source: { principals: [`cluster.local/ns/shop/sa/caller-${index}`] } }],
    to: [{ operation: { methods: ['GET'], paths: [`/api/v1/resource-${index}/*`] } }],
  }))
  const section = compile(policy('p', { rules }))
  assert.ok(section.ok)
  assert.ok(section.bytes.length < 2048, String(section.bytes.length))
})

describe('what cannot be compiled is refused with its place', () => {
  test('values', () => {
    const rules: AuthorizationPolicy['spec']['rules'] = [
      {},
      {
        from: [{ source: { notNamespaces: ['a*b'], ipBlocks: ['10.0.0.0/99'] } }],
        to: [{ operation: { methods: ['GET'] } }, { operation: { ports: ['x'], notPaths: ['/{**}/{*}'] } }],
        when: [
          { key: 'source.ip', values: ['?'] },
          { key: 'request.mood', values: ['good'] },
        ],
      },
    ]
    assert.deepEqual(
      problemsOf(policy('p', { rules })).map(({ code, resource, field }) => [code, resource, field]),
      [
        'from[0].source.notNamespaces',
        'from[0].source.ipBlocks',
        'to[1].operation.ports',
        'to[1].operation.notPaths',
        'when[1].key',
        'when[0].values',
      ].map((field) => ['bad-value', 'AuthorizationPolicy shop/p', `spec.rules[1].${field}`]),
    )
  })

  test('a value that is too long', () => {
    const [problem] = problemsOf(
      policy('p', { rules: [{ to: [{ operation: { paths: ['x'.repeat(70_000)] } }] }] }),
    )
    assert.equal(problem?.code, 'too-large')
    assert.equal(problem?.message, 'has a value of 70000 bytes, at most 65535 fit')
  })

  test('policies that are too large together', () => {
    const values = Array.from({ length: 4000 }, (_, index) => `/some/long/path/of/a/resource/number/${index}`)
    const large = (name: string) => policy(name, { rules: [{ to: [{ operation: { paths: values } }] }] })
    assert.ok(compile(large('a')).ok)
    const problems = problemsOf(large('a'), large('b'), large('c'), large('d'))
    assert.deepEqual(
      problems.map(({ code, resource }) => [code, resource]),
      [['too-large', 'AuthorizationPolicy shop/c']],
    )
    assert.match(
      problems[0]!.message,
      /^with this policy those of shop\/payment take \d+ bytes, at most 393216 fit/,
    )
  })

  test('more conditions on headers than can be judged in a phase', () => {
    const when = Array.from({ length: 251 }, () => ({
      key: 'request.headers[x]',
      values: ['a'],
      notValues: ['b'],
    }))
    const [problem] = problemsOf(policy('p', { rules: [{ when }] }))
    assert.equal(problem?.code, 'too-large')
    assert.match(problem.message, /have 502 conditions on headers, at most 500 can be judged/)
    assert.ok(compile(policy('p', { rules: [{ when: when.slice(1) }] })).ok)
  })
})
