// The fields of VirtualService, each by its effect on requests that real sidecars judge.

import assert from 'node:assert/strict'
import { before, describe, test } from 'node:test'
import type { Sidecars } from '../src/dataplane/sidecar.ts'
import { RESPONSE_FLAG_FI, RESPONSE_FLAG_NR } from '../src/sidecar/layout/record.ts'
import { type Routed, type RouteRequest, RouteWorld, virtualService } from './route-world.ts'
import { realSidecars } from './sidecar-phases.ts'

let sidecars: Sidecars
before(async () => {
  sidecars = await realSidecars()
})

const OWN = [{ destination: { host: 'cart' } }]

function worldOf(http: unknown, more: Record<string, unknown> = {}, namespace = 'shop'): RouteWorld {
  return new RouteWorld(sidecars, [virtualService(http, more, namespace)])
}

/** Whether a route with this match takes the request; others get 404. */
function takes(match: unknown, request: RouteRequest): boolean {
  const routed = worldOf([{ match: [match], route: OWN }]).request(request)
  if (routed.kind === 'forward') return true
  assert.equal(routed.status, 404)
  assert.equal(routed.flags, RESPONSE_FLAG_NR)
  return false
}

function forwarded(routed: Routed): Extract<Routed, { kind: 'forward' }> {
  assert.equal(routed.kind, 'forward', JSON.stringify(routed))
  return routed as Extract<Routed, { kind: 'forward' }>
}

function answered(routed: Routed): Extract<Routed, { kind: 'answer' }> {
  assert.equal(routed.kind, 'answer', JSON.stringify(routed))
  return routed as Extract<Routed, { kind: 'answer' }>
}

describe('match', () => {
  const x = (value: string): RouteRequest => ({ headers: [['x', value]] })
  const rows: [what: string, match: unknown, yes: RouteRequest[], no: RouteRequest[]][] = [
    [
      'uri exact',
      { uri: { exact: '/a' } },
      [{ path: '/a' }, { path: '/a?q' }],
      [{ path: '/a/' }, { path: '/A' }],
    ],
    [
      'uri prefix',
      { uri: { prefix: '/a' } },
      [{ path: '/a' }, { path: '/ab/c' }],
      [{ path: '/' }, { path: '/A' }],
    ],
    [
      'uri regex',
      { uri: { regex: '/v[0-9]+/.*' } },
      [{ path: '/v1/x' }, { path: '/v12/?q' }],
      [{ path: '/v/x' }, { path: '/x/v1/' }],
    ],
    ['ignoreUriCase', { uri: { exact: '/aB' }, ignoreUriCase: true }, [{ path: '/Ab' }], [{ path: '/abc' }]],
    [
      'ignoreUriCase, prefix',
      { uri: { prefix: '/aB' }, ignoreUriCase: true },
      [{ path: '/ABC' }],
      [{ path: '/a' }],
    ],
    [
      'uri, normalised',
      { uri: { exact: '/b' } },
      [{ path: '/a/../b' }, { path: '/%62' }],
      [{ path: '/b/b' }],
    ],
    ['scheme', { scheme: { exact: 'https' } }, [{ tls: true }], [{}, { from: 'web/front', tls: true }]],
    ['method', { method: { regex: 'GET|PUT' } }, [{}, { method: 'PUT' }], [{ method: 'POST' }]],
    [
      'authority',
      { authority: { prefix: 'cart.shop' } },
      [{}, { from: 'web/front', host: 'cart.shop:80' }],
      [{ host: 'Cart.shop' }],
    ],
    ['header exact', { headers: { X: { exact: '1' } } }, [x('1')], [x('2'), x(''), {}]],
    ['header prefix', { headers: { x: { prefix: 'a' } } }, [x('ab')], [x('b')]],
    ['header regex', { headers: { x: { regex: 'a|b' } } }, [x('a')], [x('ab')]],
    ['header present', { headers: { x: {} } }, [x('1'), x('')], [{}]],
    [
      'header twice',
      { headers: { x: { exact: '1,2' } } },
      [
        {
          headers: [
            ['x', '1'],
            ['X', '2'],
          ],
        },
      ],
      [x('1')],
    ],
    ['header host', { headers: { host: { exact: 'cart.shop.localhost' } } }, [{}], [{ host: 'other' }]],
    ['without header', { withoutHeaders: { x: {} } }, [{}], [x(''), x('1')]],
    ['without header of a value', { withoutHeaders: { x: { exact: '1' } } }, [{}, x('2')], [x('1')]],
    ['without header by regex', { withoutHeaders: { x: { regex: '.*' } } }, [{}], [x('1')]],
    [
      'without header, empty counts as absent',
      { withoutHeaders: { x: { regex: 'a*' } } },
      [x('b')],
      [{}, x('aa')],
    ],
    [
      'query parameter',
      { queryParams: { q: { exact: '1' } } },
      [{ path: '/?a=2&q=1' }, { path: '/?q=1&q=2' }],
      [{ path: '/?q=2&q=1' }, { path: '/' }, { path: '/?Q=1' }],
    ],
    [
      'query parameter present',
      { queryParams: { q: {} } },
      [{ path: '/?q' }, { path: '/?q=' }],
      [{ path: '/?a=q' }, { path: '/?' }],
    ],
    [
      'query parameter undecoded',
      { queryParams: { q: { regex: '%20' } } },
      [{ path: '/?q=%20' }],
      [{ path: '/?q=+' }],
    ],
    ['port', { port: 8080 }, [{}, { from: 'web/front' }], [{ from: 'web/front', host: 'cart.shop:9090' }]],
    ['sourceNamespace', { sourceNamespace: 'web' }, [{ from: 'web/front' }], [{}, { from: 'shop/cart-v2' }]],
    ['sourceNamespace of the gateway', { sourceNamespace: 'mayfly-system' }, [{}], [{ from: 'web/front' }]],
    [
      'sourceLabels',
      { sourceLabels: { version: 'v2' } },
      [{ from: 'web/back' }, { from: 'shop/cart-v2' }],
      [{}, { from: 'web/front' }],
    ],
    [
      'sourceLabels and namespace',
      { sourceLabels: { version: 'v2' }, sourceNamespace: 'web' },
      [{ from: 'web/back' }],
      [{ from: 'shop/cart-v2' }],
    ],
    ['gateways mesh', { gateways: ['mesh'] }, [{ from: 'web/front' }], [{}]],
    ['gateways mayfly-gateway', { gateways: ['mayfly-gateway'] }, [{}], [{ from: 'web/front' }]],
    [
      'all together',
      { uri: { prefix: '/a' }, headers: { x: {} }, queryParams: { q: {} } },
      [{ path: '/a?q', headers: [['x', '']] }],
      [{ path: '/a?q' }, { path: '/?q', headers: [['x', '']] }],
    ],
    ['no condition', { name: 'all' }, [{}], []],
  ]
  for (const [what, match, yes, no] of rows) {
    test(what, () => {
      for (const request of yes) assert.equal(takes(match, request), true, JSON.stringify(request))
      for (const request of no) assert.equal(takes(match, request), false, JSON.stringify(request))
    })
  }

  test('one of several matches is enough, and the first route that matches is taken', () => {
    const world = worldOf([
      { name: 'a', match: [{ uri: { exact: '/a' } }, { uri: { exact: '/b' } }], route: OWN },
      { name: 'b', match: [{ uri: { exact: '/b' } }], route: OWN },
      { name: 'rest', route: OWN },
    ])
    for (const [path, name] of [
      ['/a', 'a'],
      ['/b', 'a'],
      ['/c', 'rest'],
    ] as const)
      assert.equal(forwarded(world.request({ path })).taken!.route.name, name)
  })
})

describe('hosts, gateways and exportTo', () => {
  const answer = [{ directResponse: { status: 418 } }]
  const isRouted = (world: RouteWorld, request: RouteRequest) => world.request(request).kind === 'answer'
  const rows: [
    more: Record<string, unknown>,
    namespace: string,
    gateway: boolean,
    web: boolean,
    shop: boolean,
  ][] = [
    [{}, 'shop', true, true, true],
    [{ hosts: ['cart.shop.svc.cluster.local'] }, 'shop', true, true, true],
    [{ hosts: ['cart.shop.localhost'] }, 'shop', true, false, false],
    [{ hosts: ['*.shop.svc.cluster.local'] }, 'shop', true, true, true],
    [{ hosts: ['*'], gateways: ['mayfly-gateway'] }, 'shop', true, false, false],
    [{ gateways: ['mesh'] }, 'shop', false, true, true],
    [{ gateways: ['mayfly-system/mayfly-gateway'] }, 'shop', true, false, false],
    [{ gateways: ['mesh', 'mayfly-gateway'] }, 'shop', true, true, true],
    [{ exportTo: ['.'] }, 'shop', false, false, true],
    [{ exportTo: ['web', 'mayfly-system'] }, 'shop', true, true, false],
    [{ hosts: ['cart.shop'], exportTo: ['.'] }, 'web', false, true, false],
    [{ hosts: ['cart.shop'] }, 'mayfly-system', true, true, true],
    [{ hosts: ['*.svc.cluster.local'] }, 'shop', true, true, true],
  ]
  for (const [more, namespace, gateway, web, shop] of rows) {
    test(`${JSON.stringify(more)} in ${namespace}`, () => {
      const world = worldOf(answer, more, namespace)
      assert.equal(isRouted(world, {}), gateway, 'through the gateway')
      assert.equal(isRouted(world, { from: 'web/front' }), web, 'from web')
      assert.equal(isRouted(world, { from: 'shop/cart-v2' }), shop, 'from shop')
    })
  }

  test('a wildcard in a namespace is for its own functions', () => {
    const world = worldOf(answer, { hosts: ['*.svc.cluster.local'] })
    assert.equal(isRouted(world, { to: 'web/front' }), false)
  })

  test('who is closer comes first: the callers own, the exact host, the wildcard', () => {
    const status = (value: number) => [{ directResponse: { status: value } }]
    const world = new RouteWorld(sidecars, [
      virtualService(status(201), { hosts: ['*.shop.svc.cluster.local'] }, 'shop', 'wide'),
      virtualService(status(202), { hosts: ['cart'] }, 'shop', 'exact'),
      virtualService(status(203), { hosts: ['cart.shop'], exportTo: ['.'] }, 'web', 'own'),
    ])
    const of = (request: RouteRequest) => answered(world.request(request)).status
    assert.equal(of({ from: 'web/front' }), 203)
    assert.equal(of({ from: 'shop/cart-v2' }), 202)
    assert.equal(of({}), 202)
    assert.equal(of({ to: 'shop/cart-v2' }), 201)
  })
})

describe('destinations', () => {
  test('are chosen by weight, with the injected random bytes', () => {
    const world = worldOf([
      {
        route: [
          { destination: { host: 'cart' }, weight: 25 },
          { destination: { host: 'cart-v2.shop.svc.cluster.local', port: { number: 80 } }, weight: 75 },
          { destination: { host: 'front.web' }, weight: 0 },
        ],
      },
    ])
    const counts: Record<string, number> = {}
    for (let i = 0; i < 4_000; i++) {
      const random = Buffer.alloc(48)
      random.writeUInt32LE((i * 2654435761) % 2 ** 32, 24)
      const { taken } = forwarded(world.request({ random }))
      const to = taken!.destination!.function
      counts[to] = (counts[to] ?? 0) + 1
    }
    assert.deepEqual(Object.keys(counts).sort(), ['shop/cart', 'shop/cart-v2'])
    assert.ok(Math.abs(counts['shop/cart']! - 1_000) < 120, JSON.stringify(counts))
    assert.equal(world.request({}).kind, world.request({}).kind)
  })

  test('are not weighed where there is one', () => {
    const { taken } = forwarded(
      worldOf([{ route: [{ destination: { host: 'front.web' }, weight: 0 }] }]).request(),
    )
    assert.deepEqual(taken!.destination, { function: 'web/front', subset: null })
  })
})

describe('rewrite', () => {
  const rows: [what: string, match: unknown, rewrite: unknown, path: string, to: string | number][] = [
    ['a prefix', { uri: { prefix: '/a' } }, { uri: '/b' }, '/a/x?q=1', '/b/x?q=1'],
    ['a prefix, any case', { uri: { prefix: '/Aa' }, ignoreUriCase: true }, { uri: '/b' }, '/aAx', '/bx'],
    ['an exact path', { uri: { exact: '/a' } }, { uri: '/b' }, '/a?q', '/b?q'],
    ['a path by regex, as a whole', { uri: { regex: '/a.*' } }, { uri: '/b' }, '/abc?q', '/b?q'],
    ['every path, whose beginning is "/"', {}, { uri: '/b/' }, '/x', '/b/x'],
    ['to what is normalised again', { uri: { prefix: '/a' } }, { uri: '/b/' }, '/a../x', '/x'],
    ['to above the root', { uri: { prefix: '/a' } }, { uri: '/' }, '/a../x', 400],
    ['to no path', { uri: { prefix: '/a/' } }, { uri: 'b' }, '/a/x', 500],
    [
      'by regex',
      {},
      { uriRegexRewrite: { match: '^/v(\\d+)/(.*)$', rewrite: '/\\2/v\\1' } },
      '/v1/x/y?q',
      '/x/y/v1?q',
    ],
    ['by regex, all matches', {}, { uriRegexRewrite: { match: 'a', rewrite: '\\0\\0' } }, '/aba', '/aabaa'],
    ['by regex, empty matches', {}, { uriRegexRewrite: { match: 'x*', rewrite: '/' } }, '/ab', '///a/b/'],
    ['by regex that does not match', {}, { uriRegexRewrite: { match: 'z', rewrite: '' } }, '/ab', '/ab'],
    [
      'by regex, groups that took no part',
      {},
      { uriRegexRewrite: { match: '(a)|(b)', rewrite: '[\\1\\2]' } },
      '/ab',
      '/[a][b]',
    ],
    ['by regex, a backslash', {}, { uriRegexRewrite: { match: 'a', rewrite: '\\\\' } }, '/a', '//'],
  ]
  for (const [what, match, rewrite, path, to] of rows) {
    test(what, () => {
      const routed = worldOf([{ match: [match], rewrite, route: OWN }]).request({ path })
      if (typeof to === 'number') return assert.equal(answered(routed).status, to)
      assert.equal(forwarded(routed).path, to)
      const original = forwarded(routed).headers['x-envoy-original-path']
      assert.equal(original, path)
    })
  }

  test('the authority, without its port for the function', () => {
    const world = worldOf([{ rewrite: { authority: 'other.example:9999' }, route: OWN }])
    assert.equal(forwarded(world.request({ from: 'web/front' })).headers.host, 'other.example:9999')
  })
})

describe('headers', () => {
  test('of the request: removed, set and added, the destinations first', () => {
    const headers = (tag: string) => ({
      request: { set: { 'x-set': `${tag}-set` }, add: { 'x-add': `${tag} 100%%` }, remove: ['x-gone'] },
    })
    const world = worldOf([
      {
        route: [{ destination: { host: 'cart' }, headers: headers('destination') }],
        headers: headers('route'),
      },
    ])
    const { headers: sent } = forwarded(
      world.request({
        headers: [
          ['x-set', 'old'],
          ['X-Add', 'old'],
          ['X-Gone', '1'],
          ['x-stays', '1'],
        ],
      }),
    )
    assert.equal(sent['x-set'], 'route-set')
    assert.equal(sent['x-add'], 'old|destination 100%|route 100%')
    assert.equal(sent['x-gone'], undefined)
    assert.equal(sent['x-stays'], '1')
  })

  test('of the request: the host', () => {
    const world = worldOf([{ route: OWN, headers: { request: { set: { Host: 'example.com' } } } }])
    assert.equal(forwarded(world.request()).headers.host, 'example.com')
  })

  test('of the response', () => {
    const world = worldOf([
      {
        route: [
          { destination: { host: 'cart' }, headers: { response: { set: { 'x-set': 'destination' } } } },
        ],
        headers: { response: { set: { 'x-set': 'route' }, add: { 'x-add': '2' }, remove: ['server'] } },
      },
    ])
    const routed = world.request()
    const got = world.respond(
      routed,
      'HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx-set: old\r\nx-add: 1\r\nserver: nginx\r\n\r\n',
    )
    assert.equal(got['x-set'], 'route')
    assert.equal(got['x-add'], '1|2')
    assert.equal(got.server, undefined)
  })

  test('of the mesh own answer, where the last word counts', () => {
    const world = worldOf([
      {
        directResponse: { status: 200, body: { string: '{}' } },
        headers: { response: { set: { 'content-type': 'application/json' }, add: { 'x-add': '1' } } },
      },
    ])
    const { headers, body } = answered(world.request())
    assert.equal(headers['content-type'], 'application/json')
    assert.equal(headers['x-add'], '1')
    assert.equal(body, '{}')
  })
})

describe('redirect', () => {
  const rows: [redirect: unknown, request: RouteRequest, location: string, status?: number][] = [
    [{ uri: '/b' }, { path: '/a?q=1' }, 'http://cart.shop.localhost/b?q=1'],
    [{ uri: '/b?x' }, { path: '/a?q=1' }, 'http://cart.shop.localhost/b?x'],
    [
      { authority: 'example.com' },
      { path: '/a?q=1', host: 'cart.shop.localhost:81' },
      'http://example.com/a?q=1',
    ],
    [{ scheme: 'https' }, { host: 'cart.shop.localhost:80' }, 'https://cart.shop.localhost/'],
    [{ scheme: 'https' }, { host: 'cart.shop.localhost:8080' }, 'https://cart.shop.localhost:8080/'],
    [{ scheme: 'http' }, { host: 'cart.shop.localhost:443', tls: true }, 'http://cart.shop.localhost/'],
    [{ uri: '/b' }, { tls: true }, 'https://cart.shop.localhost/b'],
    [
      { port: 8443, scheme: 'https' },
      { host: 'cart.shop.localhost:80' },
      'https://cart.shop.localhost:8443/',
    ],
    [{ uri: '/b', derivePort: 'FROM_PROTOCOL_DEFAULT' }, {}, 'http://cart.shop.localhost/b'],
    [{ uri: '/b', derivePort: 'FROM_REQUEST_PORT' }, {}, 'http://cart.shop.localhost:8080/b'],
    [{ uri: '/b', redirectCode: 308 }, {}, 'http://cart.shop.localhost/b', 308],
  ]
  for (const [redirect, request, location, status] of rows) {
    test(`${JSON.stringify(redirect)} of ${JSON.stringify(request)}`, () => {
      const got = answered(worldOf([{ redirect }]).request(request))
      assert.equal(got.status, status ?? 301)
      assert.equal(got.headers.location, location)
      assert.equal(got.headers['content-length'], '0')
      assert.equal(got.headers['content-type'], undefined)
      assert.equal(got.body, '')
      assert.equal(got.flags, 0)
    })
  }
})

describe('directResponse', () => {
  test('with text, bytes and nothing', () => {
    const text = answered(
      worldOf([{ directResponse: { status: 503, body: { string: 'zu — später' } } }]).request(),
    )
    assert.deepEqual(
      [text.status, text.body, text.headers['content-type'], text.flags],
      [503, 'zu — später', 'text/plain', 0],
    )
    assert.equal(text.headers['content-length'], String(Buffer.byteLength('zu — später')))
    const bytes = answered(worldOf([{ directResponse: { status: 200, body: { bytes: 'aGkK' } } }]).request())
    assert.equal(bytes.body, 'hi\n')
    const empty = answered(worldOf([{ directResponse: { status: 204 } }]).request())
    assert.deepEqual([empty.status, empty.body, empty.headers['content-length']], [204, '', undefined])
  })
})

describe('fault', () => {
  test('aborts and delays as many requests as are said', () => {
    const world = worldOf([
      {
        fault: {
          abort: { httpStatus: 418, percentage: { value: 10 } },
          delay: { fixedDelay: '2s', percentage: { value: 50 } },
        },
        route: OWN,
      },
    ])
    let aborted = 0
    let delayed = 0
    for (let i = 0; i < 2_000; i++) {
      const random = Buffer.alloc(48)
      random.writeUInt32LE(i, 0)
      const routed = world.request({ random })
      if (routed.kind === 'answer') {
        aborted++
        assert.deepEqual(
          [routed.status, routed.body, routed.flags],
          [418, 'fault filter abort', RESPONSE_FLAG_FI],
        )
        if (routed.delayMs > 0) delayed++
      } else if (routed.taken!.delayMs > 0) {
        assert.equal(routed.taken!.delayMs, 2_000)
        delayed++
      }
    }
    assert.ok(aborted > 140 && aborted < 260, `${aborted} aborted`)
    assert.ok(delayed > 900 && delayed < 1_100, `${delayed} delayed`)
  })

  test('percent, and percentages of nothing and of all', () => {
    const delayOf = (delay: unknown) =>
      forwarded(worldOf([{ fault: { delay }, route: OWN }]).request()).taken!.delayMs
    assert.equal(delayOf({ fixedDelay: '1ms', percent: 100 }), 1)
    assert.equal(delayOf({ fixedDelay: '1ms', percentage: { value: 0 } }), 0)
    assert.equal(delayOf({ fixedDelay: '1ms', percentage: { value: 0.00001 } }), 0)
  })
})

describe('mirror', () => {
  test('is drawn for each', () => {
    const world = worldOf([
      {
        route: OWN,
        mirrors: [
          { destination: { host: 'cart-v2' } },
          { destination: { host: 'front.web' }, percentage: { value: 0 } },
          { destination: { host: 'back.web', subset: undefined }, percentage: { value: 100 } },
        ],
      },
    ])
    assert.deepEqual(
      forwarded(world.request()).taken!.mirrors.map((to) => to.function),
      ['shop/cart-v2', 'web/back'],
    )
    const one = worldOf([{ route: OWN, mirror: { host: 'cart-v2' }, mirrorPercentage: { value: 0 } }])
    assert.deepEqual(forwarded(one.request()).taken!.mirrors, [])
  })
})

describe('corsPolicy', () => {
  const policy = {
    allowOrigins: [
      { exact: 'https://a.example' },
      { prefix: 'https://b.' },
      { regex: 'https://[a-z]+\\.c\\.example' },
    ],
    allowMethods: ['GET', 'PUT'],
    allowHeaders: ['x-one', 'x-two'],
    exposeHeaders: ['x-seen'],
    maxAge: '24h',
    allowCredentials: true,
  }
  const preflight = (origin: string): RouteRequest => ({
    method: 'OPTIONS',
    headers: [
      ['origin', origin],
      ['access-control-request-method', 'PUT'],
    ],
  })

  test('preflights of listed origins are answered', () => {
    const world = worldOf([{ corsPolicy: policy, route: OWN }])
    for (const origin of ['https://a.example', 'https://b.example', 'https://xy.c.example']) {
      const { status, headers, body } = answered(world.request(preflight(origin)))
      assert.deepEqual([status, body, headers['content-length']], [200, '', '0'])
      assert.equal(headers['access-control-allow-origin'], origin)
      assert.equal(headers['access-control-allow-methods'], 'GET,PUT')
      assert.equal(headers['access-control-allow-headers'], 'x-one,x-two')
      assert.equal(headers['access-control-max-age'], '86400')
      assert.equal(headers['access-control-allow-credentials'], 'true')
      assert.equal(headers['access-control-expose-headers'], undefined)
    }
  })

  test('others go on, or are answered without permission', () => {
    assert.equal(
      worldOf([{ corsPolicy: policy, route: OWN }]).request(preflight('https://evil.example')).kind,
      'forward',
    )
    const strict = worldOf([{ corsPolicy: { ...policy, unmatchedPreflights: 'IGNORE' }, route: OWN }])
    const { status, headers } = answered(strict.request(preflight('https://evil.example')))
    assert.equal(status, 200)
    assert.equal(headers['access-control-allow-origin'], undefined)
    assert.equal(
      strict.request({ method: 'OPTIONS', headers: [['origin', 'https://evil.example']] }).kind,
      'forward',
    )
  })

  test('responses tell listed origins that they may be read', () => {
    const world = worldOf([{ corsPolicy: policy, route: OWN }])
    const response = 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\naccess-control-allow-origin: *\r\n\r\n'
    const listed = world.respond(world.request({ headers: [['origin', 'https://a.example']] }), response)
    assert.equal(listed['access-control-allow-origin'], 'https://a.example')
    assert.equal(listed['access-control-expose-headers'], 'x-seen')
    const other = world.respond(world.request({ headers: [['origin', 'https://evil.example']] }), response)
    assert.equal(other['access-control-allow-origin'], '*')
    assert.equal(world.respond(world.request(), response)['access-control-expose-headers'], undefined)
  })

  test('"*" takes any origin', () => {
    const world = worldOf([{ corsPolicy: { allowOrigins: [{ exact: '*' }] }, route: OWN }])
    assert.equal(
      answered(world.request(preflight('https://x'))).headers['access-control-allow-origin'],
      'https://x',
    )
  })
})

describe('timeout and retries', () => {
  test('are in the plan, with Istio defaults', () => {
    const { route, plan } = forwarded(
      worldOf([
        {
          route: OWN,
          timeout: '1.5s',
          retries: { attempts: 3, perTryTimeout: '200ms', retryOn: '5xx,409, connect-failure' },
        },
      ]).request(),
    ).taken!
    assert.equal(route.timeoutMs, 1_500)
    assert.deepEqual(plan.retries[route.retry!], {
      attempts: 3,
      perTryTimeoutMs: 200,
      backOffMs: 25,
      conditions: ['5xx', 'connect-failure', 'retriable-status-codes'],
      statuses: [409],
      avoidsPrevious: true,
    })
    const plain = forwarded(worldOf([{ route: OWN, retries: { attempts: 2 } }]).request()).taken!
    assert.deepEqual(plain.plan.retries[0]!.conditions, [
      'connect-failure',
      'refused-stream',
      'reset-before-request',
    ])
    assert.equal(forwarded(worldOf([{ route: OWN }]).request()).taken!.route.retry, null)
  })
})
