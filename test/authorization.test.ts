// AuthorizationPolicy through the real guest: Istio's documented examples, every field and form, and the client's text.

import assert from 'node:assert/strict'
import { before, describe, test } from 'node:test'
import { DIRECTION_INGRESS, REASON_AUTHORIZATION } from '../src/sidecar/layout/record.ts'
import { compileWorld, Judge, type Question, readWorld } from './sidecar-judge.ts'

const PAYMENT = `
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: payment, namespace: shop}
spec: {template: {metadata: {labels: {app: httpbin, version: v1}}, spec: {containers: [{image: 'endpoint:127.0.0.1:9001'}]}}}
`
const CART = 'cluster.local/ns/shop/sa/cart'

let judge: Judge
before(async () => {
  judge = await Judge.load()
})

/** A policy in the function's namespace. */
function policy(spec: string, { name = 'p', namespace = 'shop' } = {}): string {
  return `\n---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: ${name}, namespace: ${namespace}}\nspec: ${spec}\n`
}

function meshConfig(spec: string): string {
  return `\n---\napiVersion: mayfly.dev/v1\nkind: MeshConfig\nmetadata: {name: mesh}\nspec: ${spec}\n`
}

function ask(yaml: string, question: Question) {
  const { world, fn } = readWorld(PAYMENT + yaml, 'shop/payment')
  return judge.judge(compileWorld(world, fn), fn, question)
}

/** Each question with whether it is allowed. */
function table(yaml: string, cases: readonly (readonly [boolean, Question])[]): void {
  for (const [allowed, question] of cases) {
    assert.equal(ask(yaml, question).allowed, allowed, JSON.stringify(question))
  }
}

describe("Istio's order", () => {
  test('without policies the default of the mesh holds', () => {
    table('', [[false, { peer: CART }]])
    table(meshConfig('{defaultAuthorization: allow}'), [[true, {}]])
  })

  test('an ALLOW policy without rules allows nothing, with an empty rule everything', () => {
    const allowing = meshConfig('{defaultAuthorization: allow}')
    table(allowing + policy('{}'), [[false, { peer: CART }]])
    table(policy('{rules: [{}]}'), [[true, {}]])
  })

  test('DENY wins over ALLOW, whatever the names', () => {
    const yaml =
      policy('{rules: [{}]}', { name: 'a' }) +
      policy('{action: DENY, rules: [{to: [{operation: {methods: [POST]}}]}]}', { name: 'b' })
    table(yaml, [
      [true, { method: 'GET' }],
      [false, { method: 'POST' }],
    ])
  })

  test('one matching ALLOW policy of several is enough', () => {
    const yaml =
      policy('{}', { name: 'a' }) + policy('{rules: [{to: [{operation: {methods: [GET]}}]}]}', { name: 'b' })
    table(yaml, [
      [true, { method: 'GET' }],
      [false, { method: 'PUT' }],
    ])
  })

  test('a DENY that does not match leaves the default', () => {
    const deny = policy('{action: DENY, rules: [{to: [{operation: {methods: [POST]}}]}]}')
    table(deny, [[false, {}]])
    table(deny + meshConfig('{defaultAuthorization: allow}'), [
      [true, {}],
      [false, { method: 'POST' }],
    ])
  })

  test('AUDIT is noted only', () => {
    const audit = policy('{action: AUDIT, rules: [{to: [{operation: {methods: [POST]}}]}, {}]}', {
      name: 'audit',
    })
    assert.deepEqual(ask(audit, {}).audited, ['shop/audit#1'])
    assert.equal(ask(audit, {}).allowed, false)
    const judged = ask(audit + policy('{rules: [{}]}'), { method: 'POST' })
    assert.deepEqual([judged.allowed, judged.by, judged.audited], [true, 'shop/p#0', ['shop/audit#0']])
  })
})

describe("the examples of Istio's reference", () => {
  const example = (spec: string) => policy(spec, { name: 'httpbin' })

  test('sources, operations and a token that is not there yet', () => {
    const rule = (when: string) => `{rules: [{
      from: [{source: {principals: [cluster.local/ns/default/sa/sleep]}}, {source: {namespaces: [test]}}],
      to: [{operation: {methods: [GET], paths: ["/info*"]}}, {operation: {methods: [POST], paths: [/data]}}]${when}}]}`
    const sleep = 'cluster.local/ns/default/sa/sleep'
    table(example(rule('')), [
      [true, { peer: sleep, path: '/info' }],
      [true, { peer: sleep, path: '/information?x=1' }],
      [true, { peer: 'cluster.local/ns/test/sa/any', method: 'POST', path: '/data' }],
      [false, { peer: sleep, method: 'POST', path: '/info' }],
      [false, { peer: sleep, path: '/data' }],
      [false, { peer: 'cluster.local/ns/default/sa/other', path: '/info' }],
      [false, { path: '/info' }],
    ])
    const google = ', when: [{key: "request.auth.claims[iss]", values: ["https://accounts.google.com"]}]'
    table(example(rule(google)), [[false, { peer: sleep, path: '/info' }]])
  })

  test('deny POST from a namespace', () => {
    const yaml =
      policy('{rules: [{}]}', { name: 'all' }) +
      example(
        '{action: DENY, rules: [{from: [{source: {namespaces: [dev]}}], to: [{operation: {methods: [POST]}}]}]}',
      )
    table(yaml, [
      [false, { peer: 'cluster.local/ns/dev/sa/a', method: 'POST' }],
      [true, { peer: 'cluster.local/ns/dev/sa/a' }],
      [true, { peer: 'cluster.local/ns/dev2/sa/a', method: 'POST' }],
      [true, { method: 'POST' }],
    ])
  })

  test('fields AND, values OR, negation', () => {
    const yaml = example(
      '{rules: [{from: [{source: {principals: [admin, dev], notIpBlocks: ["203.0.113.4"]}}], to: [{operation: {hosts: ["*.example.com"], methods: [GET, HEAD], notPaths: ["/admin*"]}}]}]}',
    )
    const question = { peer: 'dev', authority: 'www.example.com' }
    table(yaml, [
      [true, question],
      [true, { ...question, peer: 'admin', method: 'HEAD' }],
      [false, { ...question, peer: 'ops' }],
      [false, { ...question, sourceIp: '203.0.113.4' }],
      [false, { ...question, authority: 'example.com' }],
      [false, { ...question, method: 'POST' }],
      [false, { ...question, path: '/administrator' }],
    ])
  })

  test('path templates', () => {
    const paths = (...list: string[]) =>
      policy(`{rules: [{to: [{operation: {paths: ${JSON.stringify(list)}}}]}]}`)
    table(paths('/foo/{*}'), [
      [true, { path: '/foo/bar' }],
      [false, { path: '/foo/bar/baz' }],
      [false, { path: '/foo/' }],
      [true, { path: '/foo/a=b' }],
    ])
    table(paths('/foo/{**}/'), [
      [true, { path: '/foo/bar/' }],
      [true, { path: '/foo//' }],
      [false, { path: '/foo/bar' }],
    ])
    table(paths('/foo/{*}/bar/{**}'), [
      [true, { path: '/foo/buzz/bar/' }],
      [true, { path: '/foo/buzz/bar/baz' }],
      [true, { path: '/foo/buzz/bar/baz/x' }],
      [false, { path: '/foo/buzz/bar' }],
      [false, { path: '/foo/a/b/bar/' }],
    ])
    const long = 'a'.repeat(31)
    table(paths('/{*}/{*}/c', '/{*}/d'), [
      [true, { path: `/${long}/b/c` }],
      [true, { path: `/${long}/d` }],
      [false, { path: `/${long}/b/d` }],
    ])
    table(paths('/{**}/a/b', '/x'), [
      [true, { path: '/1/2/a/b' }],
      [false, { path: '/a/b/c' }],
      [true, { path: '/x' }],
    ])
  })

  test('selectors and the root namespace', () => {
    const v1 = (namespace: string, label: string) =>
      policy(`{selector: {matchLabels: {${label}}}, rules: [{}]}`, { name: 'allow', namespace })
    table(v1('shop', 'version: v1'), [[true, {}]])
    table(v1('shop', 'version: v2'), [[false, {}]])
    table(v1('shop', 'version: v1, app: other'), [[false, {}]])
    table(v1('shop', 'serving.knative.dev/service: payment'), [[true, {}]])
    table(v1('mayfly-system', 'version: v1'), [[true, {}]])
    table(v1('other', 'version: v1'), [[false, {}]])
    table(meshConfig('{rootNamespace: istio-system}') + v1('istio-system', 'app: httpbin'), [[true, {}]])
  })
})

describe('sources', () => {
  const from = (source: string) => policy(`{rules: [{from: [{source: {${source}}}]}]}`)

  test('principals', () => {
    const forms = [
      ['principals: ["*"]', true, false],
      ['principals: [cluster.local/ns/shop/sa/cart]', true, false],
      ['principals: [cluster.local/ns/shop/sa/car]', false, false],
      ['principals: ["cluster.local/ns/shop/*"]', true, false],
      ['principals: ["*/sa/cart"]', true, false],
      ['principals: ["*/ns/shop/sa/cart"]', true, false],
      ['notPrincipals: ["*"]', false, true],
      ['notPrincipals: [cluster.local/ns/shop/sa/cart]', false, true],
      ['notPrincipals: [cluster.local/ns/shop/sa/other]', true, true],
      ['namespaces: [shop]', true, false],
      ['namespaces: ["sho*"]', true, false],
      ['namespaces: ["*op"]', true, false],
      ['namespaces: [sho]', false, false],
      ['namespaces: ["*"]', true, false],
      ['notNamespaces: [shop]', false, true],
      ['notNamespaces: [dev]', true, true],
      ['serviceAccounts: [cart]', true, false],
      ['serviceAccounts: [shop/cart]', true, false],
      ['serviceAccounts: [dev/cart]', false, false],
      ['notServiceAccounts: [cart]', false, true],
    ] as const
    for (const [source, ofCart, ofNobody] of forms) {
      table(from(source), [
        [ofCart, { peer: CART }],
        [ofNobody, { peer: '' }],
      ])
    }
  })

  test('cluster.local stands for the trust domain of the mesh', () => {
    const yaml =
      from('principals: [cluster.local/ns/shop/sa/cart]') + meshConfig('{trustDomain: mesh.example}')
    table(yaml, [
      [true, { peer: 'mesh.example/ns/shop/sa/cart' }],
      [false, { peer: CART }],
      [false, { peer: 'other/ns/shop/sa/cart' }],
    ])
  })

  test('IP blocks are about the peer, remote IP blocks about the client', () => {
    table(from('ipBlocks: ["10.1.0.0/16", "2001:db8::/32"]'), [
      [true, { sourceIp: '10.1.255.255' }],
      [false, { sourceIp: '10.2.0.0' }],
      [true, { sourceIp: '2001:db8:ffff::1' }],
      [false, { sourceIp: '2001:db9::1' }],
    ])
    table(from('ipBlocks: ["::/0"]'), [
      [false, { sourceIp: '10.1.2.3' }],
      [true, { sourceIp: '::1' }],
    ])
    const proxied = meshConfig('{defaultConfig: {gatewayTopology: {numTrustedProxies: 1}}}')
    const client = (address: string) => ({
      direction: DIRECTION_INGRESS,
      sourceIp: '10.0.0.9',
      headers: [['x-forwarded-for', address]] as const,
    })
    table(from('remoteIpBlocks: ["203.0.113.0/24"]') + proxied, [
      [true, client('1.1.1.1, 203.0.113.7')],
      [false, client('203.0.113.7, 1.1.1.1')],
    ])
    table(from('notRemoteIpBlocks: ["10.0.0.0/8"]'), [[false, client('1.1.1.1')]])
  })

  test('no request has a token yet', () => {
    table(from('requestPrincipals: ["*"]'), [[false, { peer: CART }]])
    table(from('notRequestPrincipals: ["*"]'), [[true, {}]])
  })
})

describe('operations', () => {
  const to = (operation: string) => policy(`{rules: [{to: [{operation: {${operation}}}]}]}`)

  test('hosts are compared with their port and without regard to case', () => {
    table(to('hosts: [Payment.Shop]'), [
      [true, { authority: 'PAYMENT.shop' }],
      [false, { authority: 'payment.shop:8080' }],
      [false, { authority: 'payment.shop.svc' }],
    ])
    table(to('hosts: ["payment.shop:*", payment.shop]'), [
      [true, { authority: 'payment.shop' }],
      [true, { authority: 'Payment.shop:8080' }],
    ])
    table(to('hosts: ["*.SHOP"]'), [[true, { authority: 'payment.shop' }]])
    table(to('notHosts: [payment.shop]'), [
      [false, { authority: 'PAYMENT.SHOP' }],
      [true, { authority: 'payment' }],
    ])
  })

  test('methods are compared as they are', () => {
    table(to('methods: [GET]'), [
      [true, { method: 'GET' }],
      [false, { method: 'GETS' }],
    ])
    table(to('methods: ["*"]'), [[true, { method: 'BREW' }]])
    table(to('methods: ["P*"]'), [
      [true, { method: 'PATCH' }],
      [false, { method: 'GET' }],
    ])
  })

  test('paths, without query', () => {
    table(to('paths: [/a]'), [
      [true, { path: '/a?b=/c' }],
      [false, { path: '/A' }],
      [false, { path: '/a/' }],
    ])
    table(to('paths: ["/a*"]'), [
      [true, { path: '/a' }],
      [true, { path: '/ab' }],
      [false, { path: '/' }],
    ])
    table(to('paths: ["*.js"]'), [
      [true, { path: '/x.js' }],
      [false, { path: '/x?y=.js' }],
    ])
    table(to('paths: ["*"]'), [[true, { path: '/' }]])
    table(to('notPaths: ["/admin*"]'), [
      [false, { path: '/admin?x' }],
      [true, { path: '/user' }],
    ])
  })

  test("ports are the function's", () => {
    table(to('ports: ["8080"]'), [
      [true, {}],
      [true, { authority: 'payment.shop:80' }],
    ])
    table(to('ports: ["80"]'), [[false, { authority: 'payment.shop:80' }]])
    table(to('notPorts: ["8080"]'), [[false, {}]])
  })
})

describe('conditions', () => {
  const when = (key: string, lists: string) => policy(`{rules: [{when: [{key: "${key}", ${lists}}]}]}`)
  const fields = (...headers: [string, string][]) => ({ headers })

  test('header fields: by name without regard to case, repeated ones joined', () => {
    table(when('request.headers[X-Tenant]', 'values: [a, "b*"]'), [
      [true, fields(['x-tenant', 'a'])],
      [true, fields(['X-TENANT', 'bcd'])],
      [false, fields(['x-tenant', 'A'])],
      [false, fields(['x-tenant', 'a'], ['x-tenant', 'c'])],
      [false, fields(['x-tenants', 'a'])],
      [false, {}],
    ])
    table(when('request.headers[x-tenant]', 'values: ["a,b"]'), [
      [true, fields(['x-tenant', 'a'], ['X-Tenant', 'b'])],
      [true, fields(['x-tenant', 'a,b'])],
      [false, fields(['x-tenant', 'a, b'])],
    ])
    table(when('request.headers[cookie]', 'values: ["a=1; b=2"]'), [
      [true, fields(['cookie', 'a=1'], ['cookie', 'b=2'])],
    ])
  })

  test('conditions on several repeated fields do not take one for the other', () => {
    const keys = ['x', 'y', 'x', 'z', 'y', 'x-forwarded-for', 'z', 'x']
    const values: Record<string, string> = {
      x: 'x1,x2',
      y: 'y1,y2',
      z: 'z',
      'x-forwarded-for': '1.1.1.1,10.0.0.1',
    }
    const conditions = keys.map((name) => ({ key: `request.headers[${name}]`, values: [values[name]] }))
    const question = {
      direction: DIRECTION_INGRESS,
      ...fields(
        ['x', 'x1'],
        ['y', 'y1'],
        ['z', 'z'],
        ['x', 'x2'],
        ['y', 'y2'],
        ['x-forwarded-for', '1.1.1.1'],
      ),
    }
    table(policy(JSON.stringify({ rules: [{ when: conditions }] })), [[true, question]])
    const other = conditions.with(-1, { key: 'request.headers[x]', values: ['z'] })
    table(policy(JSON.stringify({ rules: [{ when: other }] })), [[false, question]])
  })

  test('a field that is not there matches no value, so notValues holds', () => {
    table(when('request.headers[x]', 'values: ["*"]'), [
      [false, {}],
      [true, fields(['x', 'y'])],
      [false, fields(['x', ''])],
    ])
    table(when('request.headers[x]', 'notValues: ["*"]'), [
      [true, {}],
      [false, fields(['x', 'y'])],
    ])
    table(when('request.headers[x]', 'values: ["*"], notValues: [bad]'), [
      [true, fields(['x', 'y'])],
      [false, fields(['x', 'bad'])],
    ])
  })

  test('what the mesh does not forward is not seen', () => {
    const internal = ['x-mayfly-role', 'x-envoy-internal', 'x-forwarded-client-cert', 'keep-alive']
    for (const name of internal) {
      table(when(`request.headers[${name}]`, 'values: ["*"]'), [
        [false, { direction: DIRECTION_INGRESS, headers: [[name, 'x']] }],
      ])
    }
    table(when('request.headers[x-user]', 'values: ["*"]'), [
      [true, fields(['x-user', 'x'])],
      [false, fields(['x-user', 'x'], ['connection', 'x-user'])],
    ])
  })

  test('what the mesh says of the way is seen', () => {
    const ingress = { direction: DIRECTION_INGRESS, sourceIp: '10.0.0.9' }
    const spoofed = {
      ...ingress,
      ...fields(['x-forwarded-for', '1.1.1.1'], ['x-forwarded-proto', 'https'], ['x-request-id', 'x']),
    }
    table(when('request.headers[x-forwarded-for]', 'values: ["1.1.1.1"]'), [[false, spoofed]])
    table(when('request.headers[x-forwarded-for]', 'values: ["1.1.1.1,10.0.0.9"]'), [[true, spoofed]])
    table(when('request.headers[x-forwarded-for]', 'values: ["10.0.0.9"]'), [[true, ingress]])
    table(when('request.headers[x-forwarded-proto]', 'values: [http]'), [
      [true, spoofed],
      [true, ingress],
    ])
    table(when('request.headers[x-request-id]', 'values: [x]'), [[false, spoofed]])
    table(when('request.headers[x-request-id]', 'values: ["*"]'), [[true, ingress]])
    table(when('request.headers[traceparent]', 'values: [x]'), [[true, fields(['traceparent', 'x'])]])
    table(when('request.headers[x-forwarded-for]', 'values: ["1.1.1.1"]'), [
      [true, fields(['x-forwarded-for', '1.1.1.1'])],
    ])
  })

  test('the host field is the authority', () => {
    table(when('request.headers[Host]', 'values: [payment.shop]'), [
      [true, {}],
      [false, { authority: 'Payment.shop' }],
    ])
  })

  test('attributes of the connection', () => {
    table(when('source.ip', 'values: ["10.0.0.0/8"]'), [
      [true, {}],
      [false, { sourceIp: '11.0.0.1' }],
    ])
    table(when('remote.ip', 'notValues: ["10.0.0.1"]'), [
      [false, {}],
      [true, { sourceIp: '10.0.0.3' }],
    ])
    table(when('destination.ip', 'values: ["10.0.0.2"]'), [
      [true, {}],
      [false, { localIp: '10.0.0.1' }],
    ])
    table(when('destination.port', 'values: ["8080"]'), [[true, {}]])
    table(when('source.namespace', 'values: [shop]'), [
      [true, { peer: CART }],
      [false, {}],
    ])
    table(when('source.principal', 'notValues: ["*/sa/cart"]'), [
      [false, { peer: CART }],
      [true, {}],
    ])
    for (const key of [
      'connection.sni',
      'request.auth.principal',
      'request.auth.audiences',
      'request.auth.presenter',
      'request.auth.claims[a][b]',
    ]) {
      table(when(key, 'values: ["*"]'), [[false, { peer: CART }]])
      table(when(key, 'notValues: ["*"]'), [[true, {}]])
    }
  })

  test('all conditions must hold', () => {
    const yaml = policy(
      '{rules: [{when: [{key: source.namespace, values: [shop]}, {key: "request.headers[x]", values: [y]}]}]}',
    )
    table(yaml, [
      [true, { peer: CART, ...fields(['x', 'y']) }],
      [false, { peer: CART }],
      [false, fields(['x', 'y'])],
    ])
  })
})

describe("the client's text", () => {
  test('names the missing permission', () => {
    const judged = ask('', { peer: CART, path: '/charge?card=1' })
    assert.deepEqual([judged.status, judged.reason, judged.by], [403, REASON_AUTHORIZATION, ''])
    assert.equal(
      judged.text,
      `shop/payment refuses GET /charge from ${CART}: no AuthorizationPolicy allows it`,
    )
    assert.equal(
      ask('', {}).text,
      'shop/payment refuses GET / from a client without identity: no AuthorizationPolicy allows it',
    )
  })

  test('names the rule that denied', () => {
    const yaml = policy('{action: DENY, rules: [{to: [{operation: {methods: [PUT]}}]}, {}]}', {
      name: 'deny-admin',
    })
    const judged = ask(yaml + policy('{rules: [{}]}'), { peer: CART, path: '/x' })
    assert.equal(judged.by, 'shop/deny-admin#1')
    assert.equal(
      judged.text,
      `shop/payment refuses GET /x from ${CART}: denied by AuthorizationPolicy shop/deny-admin rule 1`,
    )
  })

  test('is cut', () => {
    const { text } = ask('', { path: `/${'a'.repeat(5000)}`, method: 'M'.repeat(32) })
    assert.ok(text.length < 1000 && text.includes(`/${'a'.repeat(255)}... from`), text)
  })
})

test('long lists are compared whole', () => {
  const names = Array.from({ length: 3000 }, (_, index) => `cluster.local/ns/shop/sa/user-${index}`)
  const yaml = policy(JSON.stringify({ rules: [{ from: [{ source: { principals: names } }] }] }))
  const { world, fn } = readWorld(PAYMENT + yaml, 'shop/payment')
  const compiled = compileWorld(world, fn)
  for (const peer of names) assert.ok(judge.judge(compiled, fn, { peer }).allowed, peer)
  for (const peer of ['cluster.local/ns/shop/sa/user-3000', 'cluster.local/ns/shop/sa/user-', CART, '']) {
    assert.ok(!judge.judge(compiled, fn, { peer }).allowed, peer)
  }
})

test('the largest policies that compile are judged within the fuel, whatever a client sends', () => {
  const headers = Array.from({ length: 120 }, (_, index) => [`h${index}`, 'v'] as const)
  const repeated = Array.from({ length: 120 }, (_, index) => [`h${index % 2}`, 'v'.repeat(50)] as const)
  const when = (name: (index: number) => string) =>
    Array.from({ length: 500 }, (_, index) => ({
      key: `request.headers[${name(index)}]`,
      notValues: [`a${index}`],
    }))
  const paths = (path: (index: number) => string) => [
    { to: [{ operation: { paths: Array.from({ length: 4000 }, (_, index) => path(index)) } }] },
  ]
  const cases = [
    [true, [{ when: when((index) => `x${index}`) }], { headers }],
    [true, [{ when: when((index) => `h${index % 2}`) }], { headers: repeated }],
    [false, paths((index) => `/{*}/{*}/b${index}`), { path: `/${'a'.repeat(3000)}/${'b'.repeat(3000)}/c` }],
    [false, paths((index) => `/{*}/${'a'.repeat(40)}${index}/{**}`), { path: `/x/${'a'.repeat(6000)}/c` }],
    [false, paths((index) => `/${'a'.repeat(60)}${index}*`), { path: `/${'a'.repeat(6000)}` }],
    [false, paths((index) => `*${index}${'a'.repeat(60)}`), { path: `/${'a'.repeat(6000)}` }],
  ] as const
  for (const [allowed, rules, question] of cases)
    table(policy(JSON.stringify({ rules })), [[allowed, question]])
})
