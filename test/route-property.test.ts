// Routes in real sidecars against the reference of route-reference.ts, for generated VirtualServices and requests.

import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import fc from 'fast-check'
import type { Sidecars } from '../src/dataplane/sidecar.ts'
import { type ReferenceRequest, type ReferenceRoute, referenceRoute } from './route-reference.ts'
import { RouteWorld, virtualService } from './route-world.ts'
import { realSidecars } from './sidecar-phases.ts'

const RUNS = Number(process.env.ROUTE_RUNS ?? 300)
const REQUESTS = 8

let sidecars: Sidecars
before(async () => {
  sidecars = await realSidecars()
})

const paths = fc.constantFrom('/', '/a', '/A', '/a/b', '/ab', '/b', '/b/c', '/aa/bb', '/a/b/c')
const words = fc.constantFrom('', 'a', 'b', 'ab', 'ba', 'A', 'aab')
const expressions = fc.constantFrom(
  'a.*',
  '.*',
  'a|b',
  '[ab]+',
  '/a(/.*)?',
  '/[a-c]+',
  'a{2}b?',
  '.*b',
  '(?:)',
)
const names = fc.constantFrom('x-a', 'X-B', 'x-c')

function match(texts: fc.Arbitrary<string>, presence: boolean): fc.Arbitrary<Record<string, string>> {
  const forms = [
    texts.filter((text) => text !== '' || presence).map((exact) => ({ exact })),
    texts.filter((text) => text !== '').map((prefix) => ({ prefix })),
    expressions.map((regex) => ({ regex })),
  ] as fc.Arbitrary<Record<string, string>>[]
  return presence ? fc.oneof(...forms, fc.constant({})) : fc.oneof(...forms)
}

const optional = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined, freq: 2 })
const fields = optional(fc.dictionary(names, match(words, true), { maxKeys: 2, noNullPrototype: true }))

const condition = fc
  .record({
    uri: optional(match(paths, false)),
    method: optional(match(fc.constantFrom('GET', 'PUT'), false)),
    authority: optional(match(fc.constantFrom('cart', 'cart.shop'), false)),
    headers: fields,
    withoutHeaders: fields,
    queryParams: optional(
      fc.dictionary(fc.constantFrom('p', 'q'), match(words, true), { maxKeys: 2, noNullPrototype: true }),
    ),
    sourceNamespace: optional(fc.constantFrom('shop', 'web', 'mayfly-system')),
    gateways: optional(fc.constantFrom(['mesh'], ['mayfly-gateway'], ['mesh', 'mayfly-gateway'])),
    ignoreUriCase: fc.boolean(),
  })
  .map(({ ignoreUriCase, ...rest }) =>
    stripped({ ...rest, ...(rest.uri && !rest.uri.regex && ignoreUriCase && { ignoreUriCase }) }),
  )

const operations = fc.record({
  set: fc.dictionary(fc.constantFrom('x-a', 'x-new'), words, { maxKeys: 2, noNullPrototype: true }),
  add: fc.dictionary(fc.constantFrom('x-b', 'x-new'), words, { maxKeys: 2, noNullPrototype: true }),
  remove: fc.uniqueArray(fc.constantFrom('x-a', 'x-c'), { maxLength: 2 }),
})

const rewrite = fc.oneof(
  fc.constantFrom('/', '/r', '/r/').map((uri) => ({ uri })),
  fc
    .tuple(
      fc.constantFrom('a', '/a', '(a)(b)?', '([a-c]+)', '^/(.*)$', 'b*$'),
      fc.constantFrom('x', '/\\0', '-\\0-'),
    )
    .map(([one, by]) => ({ uriRegexRewrite: { match: one, rewrite: by } })),
)

const route = fc.record({
  match: optional(fc.array(condition, { minLength: 1, maxLength: 2 })),
  rewrite: fc.option(rewrite, { nil: undefined, freq: 1 }),
  headers: optional(operations.map((request) => ({ request }))),
})

const request: fc.Arbitrary<ReferenceRequest> = fc.record({
  from: fc.constantFrom(null, 'shop', 'web'),
  method: fc.constantFrom('GET', 'PUT', 'POST'),
  path: paths,
  query: fc.option(
    fc
      .array(fc.tuple(fc.constantFrom('p', 'q', 'r'), fc.option(words, { nil: null })), { maxLength: 3 })
      .map((pairs) => pairs.map(([name, value]) => (value === null ? name : `${name}=${value}`)).join('&')),
    { nil: null },
  ),
  authority: fc.constant('cart.shop'),
  headers: fc.array(fc.tuple(names, words), { maxLength: 3 }),
})

function stripped<T extends object>(value: T): T {
  return JSON.parse(JSON.stringify(value))
}

test('what sidecars do is what the reference says', () => {
  let taken = 0
  let refused = 0
  fc.assert(
    fc.property(
      fc.array(route, { minLength: 1, maxLength: 4 }),
      fc.array(request, { minLength: REQUESTS, maxLength: REQUESTS }),
      (drawn, requests) => {
        const routes = drawn.map((one, i) =>
          stripped({ ...one, name: `r${i}` }),
        ) as unknown as ReferenceRoute[]
        const http = routes.map((one) => ({ ...one, route: [{ destination: { host: 'cart' } }] }))
        const world = new RouteWorld(sidecars, [virtualService(http)])
        for (const one of requests) {
          const expected = referenceRoute(routes, one)
          const path = one.query === null ? one.path : `${one.path}?${one.query}`
          const from = one.from === null ? {} : { from: one.from === 'web' ? 'web/front' : 'shop/cart-v2' }
          const got = world.request({
            ...from,
            method: one.method,
            path,
            host: one.authority,
            headers: one.headers,
          })
          const told = JSON.stringify({ http, one, expected, got: { ...got, context: undefined } })
          if (expected === null || !expected.path.startsWith('/')) {
            assert.equal(got.kind, 'answer', told)
            assert.equal(got.kind === 'answer' && got.status, expected === null ? 404 : 500, told)
            refused++
            continue
          }
          assert.equal(got.kind, 'forward', told)
          if (got.kind !== 'forward') continue
          taken++
          assert.equal(got.taken!.route.name, expected.route, told)
          assert.equal(got.path, one.query === null ? expected.path : `${expected.path}?${one.query}`, told)
          for (const name of ['x-a', 'x-b', 'x-c', 'x-new']) {
            assert.equal(got.headers[name], expected.headers[name]?.join('|'), `${name} ${told}`)
          }
        }
      },
    ),
    { numRuns: RUNS },
  )
  assert.ok(taken > RUNS && refused > RUNS, `${taken} taken, ${refused} refused`)
})
