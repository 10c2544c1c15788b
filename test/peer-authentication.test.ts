import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import { formatManifestError } from '../src/api/manifest-error.ts'
import { readManifests } from '../src/api/read-manifests.ts'
import { compilePolicy } from '../src/policy/compile-policy.ts'
import { DIRECTION_INBOUND, DIRECTION_INGRESS, REASON_MUTUAL_TLS } from '../src/sidecar/layout/record.ts'
import { compileWorld, Judge, type Question, readWorld } from './sidecar-judge.ts'

let judge: Judge
before(async () => {
  judge = await Judge.load()
})

const PEER = 'cluster.local/ns/shop/sa/frontend'

const WORLD = `
apiVersion: mayfly.dev/v1
kind: MeshConfig
metadata: {name: mesh, namespace: mayfly-system}
spec: {defaultAuthorization: allow}
---
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: cart, namespace: shop}
spec:
  template:
    metadata: {labels: {app: cart}}
    spec: {containers: [{image: 'endpoint:127.0.0.1:1', ports: [{containerPort: 8080}]}]}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: cart, namespace: shop}
spec:
  workloadSelector: {labels: {app: cart}}
  ingress:
    - {port: {number: 8080, protocol: HTTP}}
    - {port: {number: 9090, protocol: HTTP}}
`

interface Written {
  namespace?: string
  name?: string
  spec: string
}

function policies(written: Written[]): string {
  return written
    .map(
      ({ namespace = 'shop', name = 'policy', spec }, index) => `---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: ${name}-${index}, namespace: ${namespace}}
spec: ${spec}
`,
    )
    .join('')
}

function ask(written: Written[], question: Question) {
  const { world, fn } = readWorld(WORLD + policies(written), 'shop/cart')
  return judge.judge(compileWorld(world, fn), fn, { authority: 'cart.shop', ...question })
}

const MESH = (mode: string): Written => ({
  namespace: 'mayfly-system',
  name: 'mesh',
  spec: `{mtls: {mode: ${mode}}}`,
})
const NAMESPACE = (mode: string): Written => ({ name: 'namespace', spec: `{mtls: {mode: ${mode}}}` })
const WORKLOAD = (mode: string, ports = ''): Written => ({
  name: 'workload',
  spec: `{selector: {matchLabels: {app: cart}}, mtls: {mode: ${mode}}${ports}}`,
})

/** Whether a caller without identity is let in, by Istio's inheritance; a mesh without policy is STRICT. */
const INHERITED: [name: string, written: Written[], admits: boolean][] = [
  ['no policy', [], false],
  ['mesh', [MESH('PERMISSIVE')], true],
  ['mesh UNSET', [MESH('UNSET')], false],
  ['namespace over mesh', [MESH('PERMISSIVE'), NAMESPACE('STRICT')], false],
  ['namespace UNSET inherits', [MESH('PERMISSIVE'), NAMESPACE('UNSET')], true],
  ['workload over namespace', [NAMESPACE('PERMISSIVE'), WORKLOAD('STRICT')], false],
  ['workload UNSET inherits', [MESH('STRICT'), NAMESPACE('DISABLE'), WORKLOAD('UNSET')], true],
  [
    'workload without mtls',
    [NAMESPACE('PERMISSIVE'), { spec: '{selector: {matchLabels: {app: cart}}}' }],
    true,
  ],
  ['other namespace', [{ namespace: 'other', spec: '{mtls: {mode: PERMISSIVE}}' }], false],
  ['other workload', [{ spec: '{selector: {matchLabels: {app: x}}, mtls: {mode: PERMISSIVE}}' }], false],
  ['DISABLE', [WORKLOAD('DISABLE')], true],
  ['empty spec', [{ spec: '{}' }], false],
]

for (const [name, written, admits] of INHERITED) {
  test(`inheritance: ${name}`, () => {
    const judged = ask(written, { plaintext: true })
    assert.equal(judged.allowed, admits)
    if (!admits) {
      assert.equal(judged.status, 403)
      assert.equal(judged.reason, REASON_MUTUAL_TLS)
      assert.equal(judged.text, 'shop/cart accepts only mutual TLS on port 8080')
    }
    assert.ok(ask(written, { peer: PEER }).allowed)
    assert.ok(ask(written, { direction: DIRECTION_INGRESS }).allowed)
  })
}

test('a port has a mode of its own, which UNSET takes from the workload', () => {
  const written = [WORKLOAD('STRICT', ', portLevelMtls: {9090: {mode: PERMISSIVE}, 8080: {mode: UNSET}}')]
  const admits = (authority: string) => ask(written, { plaintext: true, authority }).allowed
  assert.ok(!admits('cart.shop'))
  assert.ok(!admits('cart.shop:8080'))
  assert.ok(admits('cart.shop:9090'))
  const other = [WORKLOAD('PERMISSIVE', ', portLevelMtls: {"9090": {mode: STRICT}}')]
  assert.ok(ask(other, { plaintext: true, authority: 'cart.shop' }).allowed)
  assert.ok(!ask(other, { plaintext: true, authority: 'cart.shop:9090' }).allowed)
})

test('without TLS nobody has an identity, so that a policy by principal does not hold', () => {
  const deny = `---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: known, namespace: shop}
spec: {action: ALLOW, rules: [{from: [{source: {principals: ['*']}}]}]}
`
  const judged = (mode: string) => {
    const { world, fn } = readWorld(WORLD + policies([WORKLOAD(mode)]) + deny, 'shop/cart')
    const question = { peer: PEER, authority: 'cart.shop', direction: DIRECTION_INBOUND }
    return judge.judge(compileWorld(world, fn), fn, question).allowed
  }
  assert.ok(judged('STRICT'))
  assert.ok(judged('PERMISSIVE'))
  assert.ok(!judged('DISABLE'))
})

const REFUSED: [name: string, spec: string, error: RegExp, namespace?: string][] = [
  [
    'unknown mode',
    '{mtls: {mode: MUTUAL}}',
    /mtls\.mode: .*expected STRICT or PERMISSIVE or DISABLE or UNSET/,
  ],
  ['unknown field', '{mtls: {mode: STRICT, version: 2}}', /spec\.mtls\.version: is not a field here/],
  ['ports without selector', '{portLevelMtls: {8080: {mode: DISABLE}}}', /portLevelMtls.*needs a selector/],
  [
    'no port',
    '{selector: {matchLabels: {app: cart}}, portLevelMtls: {0: {mode: DISABLE}}}',
    /"0" is not a port/,
  ],
  [
    'a name as port',
    '{selector: {matchLabels: {app: cart}}, portLevelMtls: {http: {mode: DISABLE}}}',
    /"http" is not a port/,
  ],
  [
    'no ports',
    '{selector: {matchLabels: {app: cart}}, portLevelMtls: {}}',
    /portLevelMtls.*is empty: name a port/,
  ],
  [
    'selector in the root namespace',
    '{selector: {matchLabels: {app: cart}}, mtls: {mode: DISABLE}}',
    /in the root namespace "mayfly-system" a PeerAuthentication is for the whole mesh/,
    'mayfly-system',
  ],
]

for (const [name, spec, error, namespace] of REFUSED) {
  test(`refused: ${name}`, () => {
    const text = WORLD + policies([{ spec, ...(namespace && { namespace }) }])
    const reading = readManifests([{ path: 'm.yaml', text }])
    assert.ok(!reading.ok)
    assert.equal(reading.errors.length, 1)
    assert.match(formatManifestError(reading.errors[0]!), error)
  })
}

test('two policies for one namespace, or for one function, are refused', () => {
  const twice = readManifests([
    { path: 'm.yaml', text: WORLD + policies([NAMESPACE('STRICT'), NAMESPACE('DISABLE')]) },
  ])
  assert.ok(!twice.ok)
  assert.match(formatManifestError(twice.errors[0]!), /has another PeerAuthentication for all/)
  const { world, fn } = readWorld(WORLD + policies([WORKLOAD('STRICT'), WORKLOAD('DISABLE')]), 'shop/cart')
  const compiled = compilePolicy(world, fn)
  assert.ok(!compiled.ok)
  assert.match(
    formatManifestError(compiled.errors[0]!),
    /PeerAuthentication shop\/workload-1: selects shop\/cart, and so does PeerAuthentication shop\/workload-0/,
  )
})
