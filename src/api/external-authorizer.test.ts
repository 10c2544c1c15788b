import assert from 'node:assert/strict'
import test from 'node:test'
import { formatManifestError } from './manifest-error.ts'
import { readManifests } from './read-manifests.ts'
import { meshConfigOf } from './resource.ts'

const mesh = (provider: object, name = 'authz') => ({
  apiVersion: 'mayfly.dev/v1',
  kind: 'MeshConfig',
  metadata: { name: 'mesh' },
  spec: { extensionProviders: [{ name, envoyExtAuthzHttp: provider }] },
})

const custom = (spec: object) => ({
  apiVersion: 'security.istio.io/v1',
  kind: 'AuthorizationPolicy',
  metadata: { name: 'ask', namespace: 'shop' },
  spec: { action: 'CUSTOM', provider: { name: 'authz' }, rules: [{}], ...spec },
})

function read(...resources: object[]) {
  return readManifests(resources.map((one, i) => ({ path: `${i}.yaml`, text: JSON.stringify(one) })))
}

/** Field, code and message of each error. */
function errors(...resources: object[]): string[] {
  const reading = read(...resources)
  return reading.ok
    ? []
    : reading.errors.map((error) => formatManifestError(error).replace(/^\S+:\d+:\d+: /, ''))
}

const ADDRESS = { service: 'authz.example.com', port: 8000 }

test('a check service has Istio’s defaults, and every field is kept', () => {
  const reading = read(mesh(ADDRESS))
  assert.ok(reading.ok)
  assert.deepEqual(meshConfigOf(reading.resources).extensionProviders[0]?.envoyExtAuthzHttp, {
    ...ADDRESS,
    timeout: 600_000,
    pathPrefix: '',
    failOpen: false,
    statusOnError: 403,
    includeRequestHeadersInCheck: [],
    includeAdditionalHeadersInCheck: {},
    headersToUpstreamOnAllow: [],
    headersToDownstreamOnDeny: [],
    headersToDownstreamOnAllow: [],
  })
  const full = read(
    mesh({
      service: 'shop/authz.shop.svc.cluster.local',
      port: 1,
      timeout: '1.5s',
      pathPrefix: '/check',
      failOpen: true,
      statusOnError: '503',
      includeRequestHeadersInCheck: ['Cookie', 'x-*', '*-id', '*'],
      includeAdditionalHeadersInCheck: { 'X-From': 'mesh one' },
      headersToUpstreamOnAllow: ['authorization', 'x-user-*'],
      headersToDownstreamOnDeny: ['content-type', 'set-cookie', 'content-length'],
      headersToDownstreamOnAllow: ['x-ext-*'],
    }),
  )
  assert.ok(full.ok, JSON.stringify(full))
  const { timeout, statusOnError } = meshConfigOf(full.resources).extensionProviders[0]!.envoyExtAuthzHttp!
  assert.deepEqual([timeout, statusOnError], [1500, 503])
})

test('what cannot be a check service is refused field by field', () => {
  const at = (field: string) => `spec.extensionProviders[0].envoyExtAuthzHttp.${field}`
  const wrong: [object, string][] = [
    [{ port: 0 }, `${at('port')}: expected a whole number from 1 to 65535`],
    [{ service: 'a b' }, `${at('service')}: "a b" is not a host`],
    [{ timeout: '0s' }, `${at('timeout')}: "0s" is out of range`],
    [{ timeout: '2h' }, `${at('timeout')}: "2h" is out of range`],
    [{ timeout: 'soon' }, `${at('timeout')}: "soon" is not a duration`],
    [{ pathPrefix: 'check' }, `${at('pathPrefix')}: "check" is not a path`],
    [{ pathPrefix: '/a?b' }, `${at('pathPrefix')}: "/a?b" is not a path`],
    [{ pathPrefix: '/a\r\nx: y' }, `${at('pathPrefix')}:`],
    [{ statusOnError: '200' }, `${at('statusOnError')}: "200" is not an error status`],
    [{ statusOnError: 403 }, `${at('statusOnError')}: expected text`],
    [{ failOpen: 'yes' }, `${at('failOpen')}:`],
    [{ includeRequestBodyInCheck: { maxRequestBytes: 1 } }, `${at('includeRequestBodyInCheck')}: checks are`],
    [{ includeHeadersInCheck: ['a'] }, `${at('includeHeadersInCheck')}: is deprecated`],
    [{ clearRouteCache: true }, `${at('clearRouteCache')}: a route is taken once`],
    [
      { includeRequestHeadersInCheck: ['a*b'] },
      `${at('includeRequestHeadersInCheck')}[0]: "a*b" is not a header`,
    ],
    [{ includeAdditionalHeadersInCheck: { 'a b': 'c' } }, `${at('includeAdditionalHeadersInCheck')}["a b"]:`],
    [{ includeAdditionalHeadersInCheck: { a: 'b\r\nc: d' } }, `${at('includeAdditionalHeadersInCheck')}.a:`],
    [{ includeAdditionalHeadersInCheck: { Host: 'x' } }, 'is written by the mesh itself'],
    [{ headersToUpstreamOnAllow: ['Transfer-Encoding'] }, '"transfer-encoding" is never taken'],
    [{ headersToUpstreamOnAllow: ['x-forwarded-client-cert'] }, 'is never taken from a check service'],
    [{ headersToDownstreamOnAllow: ['connection'] }, '"connection" is never taken'],
    [{ nonsense: 1 }, 'is not a field here'],
  ]
  for (const [fields, message] of wrong) {
    const found = errors(mesh({ ...ADDRESS, ...fields }))
    assert.equal(found.length, 1, `${JSON.stringify(fields)}: ${found.join('\n')}`)
    assert.ok(found[0]!.includes(message), `${found[0]}\nexpected ${message}`)
  }
})

test('a CUSTOM policy names a check service of the MeshConfig, and asks for something', () => {
  assert.deepEqual(errors(mesh(ADDRESS), custom({})), [])
  assert.match(errors(custom({}))[0]!, /provider\.name: "authz" is not among the MeshConfig's/)
  assert.match(errors(mesh(ADDRESS, 'other'), custom({}))[0]!, /"authz" is not among/)
  const logs = {
    ...mesh({}),
    spec: { extensionProviders: [{ name: 'authz', envoyFileAccessLog: { path: '/x' } }] },
  }
  assert.match(errors(logs, custom({}))[0]!, /"authz" is no check service/)
  assert.match(errors(mesh(ADDRESS), custom({ rules: [] }))[0]!, /spec\.rules: a CUSTOM policy without rules/)
  assert.match(errors(mesh(ADDRESS), custom({ provider: undefined }))[0]!, /write provider\.name/)
  assert.match(errors(mesh(ADDRESS), custom({ provider: { name: ' ' } }))[0]!, /is empty/)
  assert.match(errors(mesh(ADDRESS), custom({ action: 'ALLOW' }))[0]!, /provider: is for action CUSTOM/)
})

test('a CUSTOM policy has no conditions on tokens, which are judged after it', () => {
  const found = errors(
    mesh(ADDRESS),
    custom({
      rules: [
        {
          from: [{ source: { requestPrincipals: ['*'] } }],
          when: [{ key: 'request.auth.claims[sub]', values: ['a'] }],
        },
        { from: [{ source: { principals: ['*'] } }], when: [{ key: 'source.namespace', values: ['shop'] }] },
      ],
    }),
  )
  assert.equal(found.length, 2)
  assert.match(
    found[0]!,
    /rules\[0\]\.(from\[0\]\.source\.requestPrincipals|when\[0\]\.key): CUSTOM policies/,
  )
})
