import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatManifestError } from '../api/manifest-error.ts'
import { readManifests } from '../api/read-manifests.ts'
import type { MeshView } from '../policy/compile-policy.ts'
import { viewOf } from './compile-mesh.ts'
import { deadRules } from './dead-rules.ts'
import { callGraph } from './graph.ts'
import { graphDot, graphText } from './graph-text.ts'

function service(name: string, more: object = {}): object {
  const { local, port, namespace = 'shop' } = more as { local?: boolean; port?: number; namespace?: string }
  return {
    apiVersion: 'serving.knative.dev/v1',
    kind: 'Service',
    metadata: {
      name,
      namespace,
      ...(local && { labels: { 'networking.knative.dev/visibility': 'cluster-local' } }),
    },
    spec: {
      template: {
        spec: {
          containers: [{ image: 'endpoint:127.0.0.1:9', ...(port && { ports: [{ containerPort: port }] }) }],
        },
      },
    },
  }
}

function policy(name: string, spec: object, namespace = 'shop'): object {
  return {
    apiVersion: 'security.istio.io/v1',
    kind: 'AuthorizationPolicy',
    metadata: { name, namespace },
    spec,
  }
}

const select = (name: string) => ({ selector: { matchLabels: { 'serving.knative.dev/service': name } } })
const principal = (name: string) => `cluster.local/ns/shop/sa/${name}`
const from = (...principals: string[]) => [{ source: { principals } }]
const to = (operation: object) => [{ operation }]

function view(...resources: object[]): MeshView {
  const files = resources.map((one, i) => ({ path: `${i}.yaml`, text: JSON.stringify(one) }))
  const read = readManifests(files)
  if (!read.ok) throw new Error(read.errors.map(formatManifestError).join('\n'))
  return viewOf(read.resources, {})
}

const SHOP = [service('front'), service('cart', { local: true }), service('pay', { local: true, port: 9090 })]

/** "from -> to" of each edge. */
const edges = (...resources: object[]) =>
  callGraph(view(...resources)).edges.map((edge) => `${edge.from} -> ${edge.to}`)

/** "policy#rule: why" of each rule that can never match. */
const dead = (...resources: object[]) =>
  deadRules(view(...SHOP, ...resources)).map((one) => `${one.policy}#${one.rule}: ${one.why}`)

test('an edge is there where a policy allows it, with what must hold of the request', () => {
  const rules = [{ from: from(principal('front')), to: to({ methods: ['POST'], paths: ['/charge'] }) }]
  const { edges: found } = callGraph(view(...SHOP, policy('pays', { ...select('pay'), rules })))
  assert.deepEqual(found, [
    {
      from: 'shop/front',
      to: 'shop/pay',
      allowedBy: [
        {
          policy: 'shop/pays',
          rule: 0,
          source: { file: '3.yaml', line: 1 },
          if: ['method POST, path /charge'],
        },
      ],
      deniedBy: [],
      askedBy: [],
    },
  ])
})

test('without an ALLOW policy the mesh’s default holds; cluster-local functions have no edge from outside', () => {
  assert.deepEqual(edges(...SHOP), [])
  const config = {
    apiVersion: 'mayfly.dev/v1',
    kind: 'MeshConfig',
    metadata: { name: 'm' },
    spec: { defaultAuthorization: 'allow' },
  }
  assert.deepEqual(
    edges(...SHOP, config).filter((edge) => edge.startsWith('outside')),
    ['outside -> shop/front'],
  )
  assert.equal(edges(...SHOP, config).length, 10)
})

test('what is known of a call decides: principal, namespace, service account, port; the rest stays a condition', () => {
  const cases: [object, string[]][] = [
    [{ from: from('*/sa/cart') }, ['shop/cart']],
    [{ from: [{ source: { notPrincipals: [principal('cart')] } }] }, ['outside', 'shop/front', 'shop/pay']],
    [{ from: [{ source: { namespaces: ['shop'] } }] }, ['shop/front', 'shop/cart', 'shop/pay']],
    [{ from: [{ source: { serviceAccounts: ['cart', 'shop/pay'] } }] }, ['shop/cart', 'shop/pay']],
    [{ from: from('*') }, ['shop/front', 'shop/cart', 'shop/pay']],
    [{ to: to({ ports: ['8080'] }) }, ['outside', 'shop/front', 'shop/cart', 'shop/pay']],
    [{ to: to({ ports: ['9090'] }) }, []],
    [{ to: to({ notPorts: ['8080'] }) }, []],
    [{ when: [{ key: 'source.principal', values: [principal('pay')] }] }, ['shop/pay']],
    [{ when: [{ key: 'source.namespace', notValues: ['shop'] }] }, ['outside']],
    [{ when: [{ key: 'destination.port', values: ['1'] }] }, []],
    [
      { from: [{ source: { ipBlocks: ['10.0.0.0/8'] } }] },
      ['outside', 'shop/front', 'shop/cart', 'shop/pay'],
    ],
  ]
  for (const [rule, callers] of cases) {
    const found = edges(...SHOP, policy('p', { ...select('front'), rules: [rule] }))
    assert.deepEqual(
      found,
      callers.map((caller) => `${caller} -> shop/front`),
      JSON.stringify(rule),
    )
  }
})

test('a DENY takes an edge away where it asks nothing more, else it is told beside it; CUSTOM too', () => {
  const open = policy('open', { ...select('front'), rules: [{}] })
  const deny = (rule: object) => policy('no', { ...select('front'), action: 'DENY', rules: [rule] })
  assert.deepEqual(edges(...SHOP, open, deny({ from: from(principal('cart')) })), [
    'outside -> shop/front',
    'shop/front -> shop/front',
    'shop/pay -> shop/front',
  ])
  assert.deepEqual(edges(...SHOP, open, deny({})), [])
  const config = {
    apiVersion: 'mayfly.dev/v1',
    kind: 'MeshConfig',
    metadata: { name: 'm' },
    spec: { extensionProviders: [{ name: 'authz', envoyExtAuthzHttp: { service: 'a.b', port: 1 } }] },
  }
  const custom = policy('ask', {
    ...select('front'),
    action: 'CUSTOM',
    provider: { name: 'authz' },
    rules: [{ to: to({ paths: ['/a*'] }) }],
  })
  const [edge] = callGraph(view(...SHOP, open, config, custom, deny({ to: to({ methods: ['PUT'] }) }))).edges
  assert.deepEqual(
    edge!.deniedBy.map((rule) => rule.if),
    [['method PUT']],
  )
  assert.deepEqual(
    edge!.askedBy.map((rule) => rule.if),
    [['path /a*']],
  )
})

test('a Sidecar’s egress hosts take edges away', () => {
  const sidecar = {
    apiVersion: 'networking.istio.io/v1',
    kind: 'Sidecar',
    metadata: { name: 's', namespace: 'shop' },
    spec: {
      workloadSelector: { labels: { 'serving.knative.dev/service': 'front' } },
      egress: [{ hosts: ['./cart.shop.svc.cluster.local'] }],
    },
  }
  const all = policy('all', { rules: [{ from: from(principal('front')) }] })
  assert.deepEqual(edges(...SHOP, all), [
    'shop/front -> shop/front',
    'shop/front -> shop/cart',
    'shop/front -> shop/pay',
  ])
  assert.deepEqual(edges(...SHOP, all, sidecar), ['shop/front -> shop/cart'])
})

test('rules that can never match are told, with the reason', () => {
  const rule = (one: object, more: object = {}) => policy('p', { ...select('pay'), ...more, rules: [one] })
  const cases: [object, RegExp][] = [
    [policy('p', { ...select('nobody'), rules: [{}] }), /^shop\/p#null: selects no function$/],
    [policy('p', { rules: [{}] }, 'empty'), /^empty\/p#null: selects no function$/],
    [
      rule({ from: from(principal('ghost'), '*/sa/ghost2') }),
      /#0: principals .*ghost.*: no function has such a one/,
    ],
    [
      rule({ from: [{ source: { namespaces: ['nowhere'] } }] }),
      /#0: namespaces nowhere: no function has such a one/,
    ],
    [rule({ from: [{ source: { serviceAccounts: ['ghost'] } }] }), /#0: serviceAccounts ghost: no function/],
    [
      rule({ from: [{ source: { principals: [principal('cart')], namespaces: ['nowhere'] } }] }),
      /#0: namespaces nowhere/,
    ],
    [
      rule({ from: [{ source: { principals: [principal('cart')], notPrincipals: ['*/sa/cart'] } }] }),
      /#0: principals .*cart is excluded again by/,
    ],
    [
      rule({ to: to({ methods: ['GET'], notMethods: ['G*', 'POST'] }) }),
      /#0: methods GET is excluded again by G\*, POST/,
    ],
    [rule({ to: to({ paths: ['/a/b'], notPaths: ['/a*'] }) }), /#0: paths \/a\/b is excluded again by \/a\*/],
    [
      rule({ to: to({ ports: ['8080'] }) }),
      /#0: no function that it selects accepts port 8080: they accept 9090/,
    ],
    [
      rule({
        from: from(principal('cart')),
        when: [{ key: 'source.principal', values: [principal('front')] }],
      }),
      /#0: source\.principal is to be .*front and .*cart at once/,
    ],
    [
      rule({
        when: [
          { key: 'request.headers[x]', values: ['a'] },
          { key: 'request.headers[x]', values: ['b*'] },
        ],
      }),
      /#0: request\.headers\[x\] is to be a and b\* at once/,
    ],
    [
      rule({ when: [{ key: 'request.headers[x]', values: ['ab'], notValues: ['a*'] }] }),
      /#0: request\.headers\[x\] ab is excluded again/,
    ],
    [
      rule({ from: [{ source: { notPrincipals: ['*'] } }] }),
      /#0: those that it is about \(outside\) cannot reach/,
    ],
    [
      rule({ when: [{ key: 'source.namespace', values: ['nowhere'] }] }),
      /#0: source\.namespace nowhere: no call of this mesh/,
    ],
  ]
  for (const [one, why] of cases) {
    const found = dead(one)
    assert.equal(found.length, 1, `${JSON.stringify(one)}\n${found.join('\n')}`)
    assert.match(found[0]!, why)
  }
})

test('a rule behind a DENY that refuses all of its calls never matches, and one before it does', () => {
  const open = policy('open', {
    ...select('pay'),
    rules: [{ from: from(principal('cart')) }, { from: from(principal('front')) }],
  })
  const deny = (name: string, rules: object[]) => policy(name, { ...select('pay'), action: 'DENY', rules })
  assert.deepEqual(dead(open), [])
  assert.deepEqual(dead(open, deny('no', [{ from: from(principal('cart')) }])), [
    'shop/open#0: every such request is denied before, by shop/no rule 0 (4.yaml:1)',
  ])
  const all = dead(
    open,
    deny('no', [{ to: to({ methods: ['GET'] }) }, {}, { from: from(principal('cart')) }]),
  )
  assert.deepEqual(all, [
    'shop/open#0: every such request is denied before, by shop/no rule 1 (4.yaml:1)',
    'shop/open#1: every such request is denied before, by shop/no rule 1 (4.yaml:1)',
    'shop/no#2: every such request is denied before, by shop/no rule 1 (4.yaml:1)',
  ])
  assert.deepEqual(dead(open, deny('no', [{ to: to({ paths: ['/a'] }) }])), [])
})

test('policies of other kinds that apply to nothing are told too', () => {
  const of = (apiVersion: string, kind: string, spec: object, name = 'x') => ({
    apiVersion,
    kind,
    metadata: { name, namespace: 'shop' },
    spec,
  })
  const nobody = { selector: { matchLabels: { app: 'nobody' } } }
  const found = dead(
    of('security.istio.io/v1', 'PeerAuthentication', { ...nobody, mtls: { mode: 'STRICT' } }),
    of('telemetry.istio.io/v1', 'Telemetry', { ...nobody, accessLogging: [{ disabled: true }] }),
    of('networking.istio.io/v1', 'DestinationRule', {
      host: 'ghost',
      trafficPolicy: { connectionPool: { http: { http1MaxPendingRequests: 1 } } },
    }),
    of(
      'networking.istio.io/v1',
      'DestinationRule',
      {
        host: 'cart.shop.svc.cluster.local',
        trafficPolicy: { connectionPool: { http: { http1MaxPendingRequests: 1 } } },
      },
      'y',
    ),
  )
  assert.deepEqual(found, [
    'shop/x#null: selects no function',
    'shop/x#null: selects no function',
    'shop/x#null: host ghost names no function',
  ])
})

test('rules that can match are not told', () => {
  const rules = [
    { to: to({ paths: ['/{*}/a'], notPaths: ['/b*'] }) },
    { to: to({ hosts: ['*.shop'], notHosts: ['a.shop'] }) },
    {
      when: [
        { key: 'request.headers[x]', values: ['a*'] },
        { key: 'request.headers[x]', values: ['*b'] },
      ],
    },
    {
      when: [
        { key: 'source.ip', values: ['10.0.0.0/8'] },
        { key: 'source.ip', values: ['10.1.0.0/16'] },
      ],
    },
    {
      when: [
        { key: 'request.auth.claims[groups]', values: ['a'] },
        { key: 'request.auth.claims[groups]', values: ['b'] },
      ],
    },
    { from: [{ source: { principals: [principal('ghost')] } }, { source: { namespaces: ['shop'] } }] },
  ]
  assert.deepEqual(dead(policy('p', { ...select('pay'), rules })), [])
})

test('text and DOT tell the same edges', () => {
  const graph = callGraph(
    view(
      ...SHOP,
      policy('p', {
        ...select('pay'),
        rules: [{ from: from(principal('cart')), to: to({ paths: ['/"x"'] }) }],
      }),
    ),
  )
  assert.equal(graphText(graph, []), 'shop/cart -> shop/pay\n    if path /"x"   shop/p rule 0 (3.yaml:1)')
  assert.match(
    graphDot(graph),
    /^digraph mesh \{\n[\s\S]*\n {2}"shop\/cart" -> "shop\/pay" \[label="path \/\\"x\\"", style=dashed\];\n\}$/,
  )
  assert.equal(callGraph(view(...SHOP)).edges.length, 0)
  assert.match(graphText(callGraph(view(...SHOP)), []), /^nobody may call anybody$/)
})

test('three hundred functions with rules of their own take seconds, not minutes', () => {
  const functions = Array.from({ length: 300 }, (_, i) => service(`f${i}`))
  const policies = functions.map((_, i) =>
    policy(`p${i}`, { ...select(`f${i}`), rules: [{ from: from(principal(`f${(i + 1) % 300}`)) }] }),
  )
  const world = view(...functions, ...policies, policy('all', { rules: [{ to: to({ methods: ['GET'] }) }] }))
  const startedAt = performance.now()
  assert.equal(callGraph(world).edges.length, 300 * 301)
  assert.deepEqual(deadRules(world), [])
  assert.ok(performance.now() - startedAt < 20_000)
})
