// What is refused of VirtualServices, with the field and the reason; nothing is left out without a word.

import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { errorsOf, virtualService } from './route-world.ts'

const OWN = [{ destination: { host: 'cart' } }]

function refusedRoute(route: unknown, field: string, reason: RegExp): void {
  refused([virtualService([route])], `spec.http[0].${field}`, reason)
}

/** Exactly one error, about that field. */
function refused(manifests: string[], field: string, reason: RegExp): void {
  const errors = errorsOf(...manifests)
  assert.equal(errors.length, 1, errors.join('\n'))
  assert.ok(errors[0]!.startsWith(`${field}: `), `${errors[0]} is not about ${field}`)
  assert.match(errors[0]!, reason)
}

describe('a route', () => {
  const rows: [what: string, route: unknown, field: string, reason: RegExp][] = [
    [
      'without action',
      { match: [{ uri: { exact: '/' } }] },
      'route',
      /expected route, redirect or directResponse/,
    ],
    ['with two actions', { route: OWN, redirect: { uri: '/' } }, 'redirect', /beside route/],
    ['unknown field', { route: OWN, retrys: {} }, 'retrys', /did you mean retries/],
    ['delegate', { route: OWN, delegate: { name: 'x' } }, 'delegate', /not available/],
    ['empty match', { match: [], route: OWN }, 'match', /empty/],
    [
      'two forms',
      { match: [{ uri: { exact: '/', prefix: '/' } }], route: OWN },
      'match[0].uri',
      /exact and prefix/,
    ],
    ['no form', { match: [{ uri: {} }], route: OWN }, 'match[0].uri', /exact or prefix or regex/],
    [
      'suffix',
      { match: [{ uri: { prefix: '/', suffix: '/' } }], route: OWN },
      'match[0].uri.suffix',
      /not a field/,
    ],
    [
      'empty prefix',
      { match: [{ headers: { x: { prefix: '' } } }], route: OWN },
      'match[0].headers.x.prefix',
      /empty/,
    ],
    [
      'pseudo header',
      { match: [{ headers: { ':path': { exact: '/' } } }], route: OWN },
      'match[0].headers[":path"]',
      /write uri/,
    ],
    [
      'ignored header',
      { match: [{ headers: { method: { exact: 'GET' } } }], route: OWN },
      'match[0].headers.method',
      /Istio ignores it/,
    ],
    ['statPrefix', { match: [{ statPrefix: 'x' }], route: OWN }, 'match[0].statPrefix', /not kept/],
    ['port 0', { match: [{ port: 0 }], route: OWN }, 'match[0].port', /1 to 65535/],
    [
      'gateway',
      { match: [{ gateways: ['istio-system/other'] }], route: OWN },
      'match[0].gateways[0]',
      /does not exist/,
    ],
    ['no weight', { route: [...OWN, ...OWN] }, 'route', /weight above 0/],
    ['negative weight', { route: [{ ...OWN[0], weight: -1 }] }, 'route[0].weight', /from 0/],
    [
      'redirect with fault',
      { redirect: { uri: '/' }, fault: { abort: { httpStatus: 500, percentage: { value: 1 } } } },
      'fault',
      /no meaning beside redirect/,
    ],
    ['redirect to itself', { redirect: {} }, 'redirect.uri', /leads to where it came from/],
    ['redirect 304', { redirect: { uri: '/', redirectCode: 304 } }, 'redirect.redirectCode', /301, 302/],
    [
      'redirect with two ports',
      { redirect: { port: 1, derivePort: 'FROM_REQUEST_PORT' } },
      'redirect.derivePort',
      /beside port/,
    ],
    ['redirect with prefix', { redirect: { uri: '%PREFIX()%/x' } }, 'redirect.uri', /no path/],
    ['direct response of 100', { directResponse: { status: 100 } }, 'directResponse.status', /200 to 599/],
    [
      'direct response with two bodies',
      { directResponse: { status: 200, body: { string: '', bytes: '' } } },
      'directResponse.body.string',
      /one of them/,
    ],
    [
      'direct response too long',
      { directResponse: { status: 200, body: { string: 'x'.repeat(4097) } } },
      'directResponse.body',
      /4097 bytes/,
    ],
    [
      'fault by gRPC',
      { route: OWN, fault: { abort: { grpcStatus: 'ABORTED', httpStatus: 503, percentage: { value: 1 } } } },
      'fault.abort.grpcStatus',
      /gRPC/,
    ],
    [
      'fault without percentage',
      { route: OWN, fault: { delay: { fixedDelay: '1s' } } },
      'fault.delay.percentage',
      /injects nothing/,
    ],
    ['fault of nothing', { route: OWN, fault: {} }, 'fault.delay', /says nothing/],
    [
      'fault above all',
      { route: OWN, fault: { abort: { httpStatus: 503, percentage: { value: 101 } } } },
      'fault.abort.percentage.value',
      /0 to 100/,
    ],
    ['rewrite of nothing', { route: OWN, rewrite: {} }, 'rewrite.uri', /says nothing/],
    [
      'rewrite twice',
      { route: OWN, rewrite: { uri: '/', uriRegexRewrite: { match: 'a', rewrite: 'b' } } },
      'rewrite.uriRegexRewrite',
      /beside uri/,
    ],
    ['rewrite to a query', { route: OWN, rewrite: { uri: '/?x' } }, 'rewrite.uri', /no path/],
    [
      'rewrite to no authority',
      { route: OWN, rewrite: { authority: 'a b' } },
      'rewrite.authority',
      /no host name/,
    ],
    ['timeout without unit', { route: OWN, timeout: '5' }, 'timeout', /not a duration/],
    ['timeout below 1ms', { route: OWN, timeout: '0.1ms' }, 'timeout', /shorter than 1ms/],
    [
      'retry on what is not known',
      { route: OWN, retries: { attempts: 1, retryOn: '5xx,gateway-errors' } },
      'retries.retryOn',
      /did you mean gateway-error/,
    ],
    [
      'retry on headers',
      { route: OWN, retries: { attempts: 1, retryOn: 'retriable-headers' } },
      'retries.retryOn',
      /not available/,
    ],
    [
      'retry elsewhere',
      { route: OWN, retries: { attempts: 1, retryRemoteLocalities: true } },
      'retries.retryRemoteLocalities',
      /one locality/,
    ],
    ['mirror twice', { route: OWN, mirror: { host: 'cart' }, mirrors: [] }, 'mirrors', /beside mirror/],
    [
      'mirrored to nobody',
      { route: OWN, mirrorPercentage: { value: 1 } },
      'mirrorPercentage',
      /without mirror/,
    ],
    [
      'cors of nobody',
      { route: OWN, corsPolicy: { allowMethods: ['GET'] } },
      'corsPolicy.allowOrigins',
      /no response is changed/,
    ],
    [
      'cors of old',
      { route: OWN, corsPolicy: { allowOrigin: ['*'], allowOrigins: [{ exact: '*' }] } },
      'corsPolicy.allowOrigin',
      /allowOrigins/,
    ],
    [
      'cors maxAge',
      { route: OWN, corsPolicy: { allowOrigins: [{ exact: '*' }], maxAge: '1500ms' } },
      'corsPolicy.maxAge',
      /whole seconds/,
    ],
    [
      'the mesh own header',
      { route: OWN, headers: { request: { set: { 'X-Forwarded-For': '1' } } } },
      'headers.request.set.X-Forwarded-For',
      /written by the mesh/,
    ],
    [
      'the mesh own header, to servers that read it so',
      { route: OWN, headers: { request: { add: { X_Forwarded_For: '1' } } } },
      'headers.request.add.X_Forwarded_For',
      /written by the mesh/,
    ],
    [
      'framing',
      { route: OWN, headers: { response: { remove: ['Content-Length'] } } },
      'headers.response.remove[0]',
      /written by the mesh/,
    ],
    [
      'host added',
      { route: OWN, headers: { request: { add: { host: 'x' } } } },
      'headers.request.add.host',
      /authority/,
    ],
    [
      'header with operator',
      { route: OWN, headers: { request: { set: { x: '%HOSTNAME%' } } } },
      'headers.request.set.x',
      /operator/,
    ],
    [
      'header with newline',
      { route: OWN, headers: { request: { set: { x: 'a\r\nb: c' } } } },
      'headers.request.set.x',
      /control character/,
    ],
    [
      'header twice',
      { route: OWN, headers: { request: { set: { x: '1', X: '2' } } } },
      'headers.request.set.X',
      /twice/,
    ],
    [
      'bad expression',
      { match: [{ uri: { regex: '/(a' } }], route: OWN },
      'match[0].uri.regex',
      /at character 2: the group is not closed/,
    ],
    [
      'look-around',
      { match: [{ headers: { x: { regex: '(?!a)b' } } }], route: OWN },
      'match[0].headers.x.regex',
      /look-around/,
    ],
    [
      'expression too large',
      { match: [{ uri: { regex: '(.{1000}){1}[ab].{900}' } }], route: OWN },
      'match[0].uri.regex',
      /more than \d+ steps/,
    ],
    [
      'bad substitution',
      { route: OWN, rewrite: { uriRegexRewrite: { match: 'a', rewrite: '\\1' } } },
      'rewrite.uriRegexRewrite.rewrite',
      /"\\1" is no group/,
    ],
    [
      'bad escape',
      { route: OWN, rewrite: { uriRegexRewrite: { match: 'a', rewrite: '\\x' } } },
      'rewrite.uriRegexRewrite.rewrite',
      /before the number/,
    ],
    [
      'ignoreUriCase alone',
      { match: [{ ignoreUriCase: true }], route: OWN },
      'match[0].ignoreUriCase',
      /without uri/,
    ],
    [
      'binary body',
      { directResponse: { status: 200, body: { bytes: '/w==' } } },
      'directResponse.body.bytes',
      /UTF-8/,
    ],
    [
      'unknown destination',
      { route: [{ destination: { host: 'carts' } }] },
      'route[0].destination.host',
      /names no function/,
    ],
    [
      'destination elsewhere',
      { route: [{ destination: { host: 'front' } }] },
      'route[0].destination.host',
      /names no function/,
    ],
    [
      'destination port',
      { route: [{ destination: { host: 'cart', port: { number: 9090 } } }] },
      'route[0].destination.port.number',
      /8080/,
    ],
    [
      'subset',
      { route: [{ destination: { host: 'cart', subset: 'v1' } }] },
      'route[0].destination.subset',
      /no DestinationRule/,
    ],
    ['unknown mirror', { route: OWN, mirror: { host: 'nobody' } }, 'mirror.host', /names no function/],
  ]
  for (const [what, route, field, reason] of rows) test(what, () => refusedRoute(route, field, reason))
})

describe('a VirtualService', () => {
  const answer = [{ directResponse: { status: 418 } }]
  const rows: [
    what: string,
    more: Record<string, unknown>,
    field: string,
    reason: RegExp,
    namespace?: string,
  ][] = [
    ['without hosts', { hosts: [] }, 'spec.hosts', /empty/],
    ['for nobody', { hosts: ['carts'] }, 'spec.hosts[0]', /names no function/],
    ['for nobody below', { hosts: ['*.web.example.com'] }, 'spec.hosts[0]', /names no function/],
    [
      'for a host at the gateway, inside',
      { hosts: ['cart.shop.localhost'], gateways: ['mesh'] },
      'spec.hosts[0]',
      /list mayfly-gateway/,
    ],
    ['for all inside', { hosts: ['*'] }, 'spec.hosts[0]', /gateways only/],
    ['for another namespace, for all', { hosts: ['cart.shop'] }, 'spec.exportTo', /another namespace/, 'web'],
    [
      'for the gateway, which may not see it',
      { gateways: ['mayfly-gateway'], exportTo: ['.'] },
      'spec.exportTo',
      /leaves out mayfly-system/,
    ],
    ['tcp', { tcp: [{}] }, 'spec.tcp', /speak HTTP/],
    ['tls', { tls: [{}] }, 'spec.tls', /speak HTTP/],
    ['a host twice', { hosts: ['cart', 'cart'] }, 'spec.hosts[1]', /twice/],
    ['a bad host', { hosts: ['cart:80'] }, 'spec.hosts[0]', /no host/],
  ]
  for (const [what, more, field, reason, namespace] of rows)
    test(what, () => refused([virtualService(answer, more, namespace)], field, reason))

  test('whose requests another one routes', () => {
    refused(
      [
        virtualService(answer, {}, 'shop', 'a'),
        virtualService(answer, { hosts: ['cart.shop'] }, 'shop', 'b'),
      ],
      'spec.hosts[0]',
      /shop\/a routes the same requests for shop\/cart/,
    )
    assert.deepEqual(
      errorsOf(
        virtualService(answer, { gateways: ['mesh'] }, 'shop', 'a'),
        virtualService(answer, { gateways: ['mayfly-gateway'] }, 'shop', 'b'),
        virtualService(answer, { hosts: ['cart.shop'], exportTo: ['.'] }, 'web', 'c'),
      ),
      [],
    )
  })

  test('for a function that the gateway does not serve', () => {
    const hidden = `
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: hidden, namespace: shop, labels: {networking.knative.dev/visibility: cluster-local}}
spec: {template: {spec: {containers: [{image: 'endpoint:127.0.0.1:9001'}]}}}
`
    const routes = virtualService(answer, { hosts: ['hidden'], gateways: ['mayfly-gateway'] })
    refused([hidden, routes], 'spec.hosts[0]', /cluster-local/)
  })

  test('whose labels do not tell callers apart', () => {
    const twin = `
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: twin, namespace: web}
spec: {template: {metadata: {labels: {version: v3}}, spec: {serviceAccountName: front, containers: [{image: 'endpoint:127.0.0.1:9001'}]}}}
`
    const routes = virtualService([{ match: [{ sourceLabels: { version: 'v3' } }], route: OWN }])
    refused([twin, routes], 'spec.http[0].match[0].sourceLabels', /both have the service account front/)
  })
})

test('what is accepted', () => {
  assert.deepEqual(
    errorsOf(
      virtualService([
        {
          name: 'all',
          match: [{ uri: { regex: '(?i)/a\\b.*' }, headers: { 'x-user': {} }, sourceLabels: {}, port: 80 }],
          route: [
            { destination: { host: 'cart.shop.svc.cluster.local', port: { number: 8080 } }, weight: 100 },
          ],
          timeout: '0s',
          retries: { attempts: 0, retryRemoteLocalities: false, retryOn: 'unavailable,cancelled,5xx,503' },
        },
      ]),
    ),
    [],
  )
})
