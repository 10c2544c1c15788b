// Policies and requests whose words are few, so that they meet often.

import fc from 'fast-check'
import type { AuthorizationPolicy, AuthorizationRule } from '../src/api/authorization-policy.ts'
import type { Condition } from '../src/api/condition.ts'
import type { ReferenceRequest } from './authorization-reference.ts'

export const ROOT_NAMESPACE = 'mayfly-system'
export const TRUST_DOMAINS = ['cluster.local', 'mesh.example'] as const
/** The port that the function declares and another that it accepts. */
export const DECLARED_PORT = 8080
export const OTHER_PORT = 9000

const NAMESPACES = ['shop', 'dev', 'shop-eu']
const ACCOUNTS = ['cart', 'cart-admin', 'frontend']
const METHODS = ['GET', 'POST', 'PUT', 'GETS']
const SEGMENTS = ['admin', 'api', 'v1', 'a', 'x=1', '%20', 'data.txt']
const HOSTS = ['payment.shop', 'Payment.Shop', 'payment.shop.svc.cluster.local', 'shop']
const IPS = ['10.1.2.3', '10.1.2.4', '192.168.0.1', '0.0.0.0', '2001:db8::1', '2001:db8:1::2', '::1']
const BLOCKS = [
  ...IPS,
  '10.1.2.0/24',
  '10.1.2.3/16',
  '0.0.0.0/0',
  '2001:db8::/32',
  '::/0',
  '10.1.2.2/31',
  '::/1',
]
const HEADERS = ['x-tenant', 'X-Tenant', 'cookie', 'x-tenant-id']
const CONTENTS = ['a', 'b', 'ab', 'a,b', 'a; b', '']
const TIERS = ['gold', 'silver']

const peer = fc.oneof(
  fc.constant(''),
  fc
    .tuple(
      fc.constantFrom(...TRUST_DOMAINS, 'other'),
      fc.constantFrom(...NAMESPACES),
      fc.constantFrom(...ACCOUNTS),
    )
    .map(([domain, namespace, account]) => `${domain}/ns/${namespace}/sa/${account}`),
)

const path = fc
  .tuple(fc.array(fc.constantFrom(...SEGMENTS), { maxLength: 4 }), fc.constantFrom('', '/'))
  .map(([segments, end]) => `/${segments.join('/')}${segments.length > 0 ? end : ''}`)

const authority = fc
  .tuple(fc.constantFrom(...HOSTS), fc.constantFrom('', ':80', `:${DECLARED_PORT}`, `:${OTHER_PORT}`))
  .map((parts) => parts.join(''))

/** A value out of a word: itself, or its beginning, its end or anything. */
function pattern(word: fc.Arbitrary<string>): fc.Arbitrary<string> {
  return fc
    .tuple(word, fc.nat(), fc.constantFrom('exact', 'prefix', 'suffix', 'present'))
    .map(([text, cut, form]) => {
      const at = cut % (text.length + 1)
      if (form === 'present' || text === '') return '*'
      if (form === 'prefix') return `${text.slice(0, at)}*`
      return form === 'suffix' ? `*${text.slice(at)}` : text
    })
}

const template = fc
  .tuple(
    fc.array(fc.constantFrom(...SEGMENTS.filter((segment) => segment !== 'x=1'), '{*}'), { maxLength: 3 }),
    fc.constantFrom('{*}', '{**}', '{**}/a', '{**}/', '{*}/'),
  )
  .map(([segments, last]) => `/${[...segments, last].join('/')}`)

const values = (value: fc.Arbitrary<string>) => fc.array(value, { minLength: 1, maxLength: 3 })

/** One or two of these fields: with more, hardly any request would match. */
function some<T>(fields: { readonly [Name in keyof T]: fc.Arbitrary<T[Name]> }): fc.Arbitrary<Partial<T>> {
  const names = Object.keys(fields) as (keyof T)[]
  return fc.subarray(names, { minLength: 1, maxLength: Math.min(2, names.length) }).chain((chosen) => {
    const record: { [Name in keyof T]?: fc.Arbitrary<T[Name]> } = {}
    for (const name of chosen) record[name] = fields[name]
    return fc.record(record as { [Name in keyof T]: fc.Arbitrary<T[Name]> })
  })
}

const ip = fc.constantFrom(...BLOCKS)
const port = fc.constantFrom(String(DECLARED_PORT), String(OTHER_PORT), '80')
const principal = pattern(peer.filter((text) => text !== ''))
const namespace = pattern(fc.constantFrom(...NAMESPACES))
const serviceAccount = fc
  .tuple(fc.constantFrom('', 'shop/', 'dev/'), fc.constantFrom(...ACCOUNTS))
  .map((parts) => parts.join(''))

const source = fc.oneof(
  some({
    principals: values(principal),
    notPrincipals: values(principal),
    namespaces: values(namespace),
    notNamespaces: values(namespace),
    ipBlocks: values(ip),
    notIpBlocks: values(ip),
    remoteIpBlocks: values(ip),
    notRemoteIpBlocks: values(ip),
    requestPrincipals: values(fc.constantFrom('*', 'iss/sub', 'https://iss/*')),
    notRequestPrincipals: values(fc.constantFrom('*', 'iss/sub')),
  }),
  some({
    serviceAccounts: values(serviceAccount),
    notServiceAccounts: values(serviceAccount),
    ipBlocks: values(ip),
  }),
)

const paths = values(fc.oneof(pattern(path), template))
const operation = some({
  hosts: values(pattern(authority)),
  notHosts: values(pattern(authority)),
  ports: values(port),
  notPorts: values(port),
  methods: values(pattern(fc.constantFrom(...METHODS))),
  notMethods: values(pattern(fc.constantFrom(...METHODS))),
  paths,
  notPaths: paths,
})

const condition = fc
  .oneof(
    fc.tuple(
      fc.constantFrom(...HEADERS).map((name) => `request.headers[${name}]`),
      fc.constant(values(pattern(fc.constantFrom(...CONTENTS.filter((text) => text !== ''))))),
    ),
    fc.tuple(fc.constantFrom('source.ip', 'remote.ip', 'destination.ip'), fc.constant(values(ip))),
    fc.tuple(fc.constant('source.namespace'), fc.constant(values(namespace))),
    fc.tuple(fc.constant('source.principal'), fc.constant(values(principal))),
    fc.tuple(fc.constant('destination.port'), fc.constant(values(port))),
    fc.tuple(
      fc.constantFrom(
        'connection.sni',
        'request.auth.principal',
        'request.auth.claims[a][b]',
        'request.auth.audiences',
      ),
      fc.constant(values(fc.constantFrom('*', 'a', 'a/b'))),
    ),
  )
  .chain(([key, list]) =>
    some({ values: list, notValues: list }).map((lists) => ({ key, ...lists }) as Condition),
  )

const rule = fc.oneof(
  { weight: 1, arbitrary: fc.constant({}) },
  {
    weight: 9,
    arbitrary: some({
      from: fc.array(fc.record({ source }), { minLength: 1, maxLength: 2 }),
      to: fc.array(fc.record({ operation }), { minLength: 1, maxLength: 2 }),
      when: fc.array(condition, { minLength: 1, maxLength: 3 }),
    }),
  },
) as fc.Arbitrary<AuthorizationRule>

const policy = fc.record({
  namespace: fc.constantFrom('shop', 'shop', ROOT_NAMESPACE, 'dev'),
  labels: fc.constantFrom({}, {}, { tier: 'gold' }, { tier: 'silver' }),
  action: fc.constantFrom('ALLOW', 'ALLOW', 'DENY', 'AUDIT'),
  rules: fc.array(rule, { maxLength: 3 }),
})

/** Policies of several namespaces and actions, named p0, p1 ... */
export const policies: fc.Arbitrary<AuthorizationPolicy[]> = fc.array(policy, { maxLength: 4 }).map((list) =>
  list.map(({ namespace: of, labels, action, rules }, index) => ({
    apiVersion: 'security.istio.io/v1',
    kind: 'AuthorizationPolicy',
    metadata: { name: `p${index}`, namespace: of, labels: {}, annotations: {} },
    spec: { selector: { matchLabels: labels }, action, rules } as AuthorizationPolicy['spec'],
    source: { file: 'policies.yaml', line: index + 1 },
  })),
)

export const request: fc.Arbitrary<ReferenceRequest> = fc
  .record({
    peer,
    method: fc.constantFrom(...METHODS),
    path,
    authority,
    sourceIp: fc.constantFrom(...IPS),
    remoteIp: fc.constantFrom(...IPS),
    localIp: fc.constantFrom(...IPS),
    headers: fc.array(fc.tuple(fc.constantFrom(...HEADERS), fc.constantFrom(...CONTENTS)), { maxLength: 3 }),
  })
  // At the gateway the port in the authority is that of whatever stands before it.
  .map((record) => ({ ...record, port: DECLARED_PORT }))

export const labels = fc.constantFrom(
  ...TIERS.map((tier) => ({ tier, 'serving.knative.dev/service': 'payment' })),
)
