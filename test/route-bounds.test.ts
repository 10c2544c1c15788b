// What routes may take: the dearest requests and VirtualServices end in an answer, never in a sandbox that ran out of fuel.

import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import type { Sidecars } from '../src/dataplane/sidecar.ts'
import { type RouteRequest, RouteWorld, virtualService } from './route-world.ts'
import { realSidecars } from './sidecar-phases.ts'

let sidecars: Sidecars
before(async () => {
  sidecars = await realSidecars()
  sidecars.maxHeadBytes = 65_536
})

const OWN = [{ destination: { host: 'cart' } }]

/** The most fields that a head may have, all of the names that are looked for, each with as many bytes as fit. */
function manyFields(bytes: number): [string, string][] {
  return Array.from({ length: 120 }, (_, i) => [`x-${i % 4}`, 'a'.repeat(Math.floor(bytes / 120))])
}

function dear(http: unknown[], request: RouteRequest): { kind: string; status: number } {
  const routed = new RouteWorld(sidecars, [virtualService(http)]).request(request)
  return { kind: routed.kind, status: routed.kind === 'answer' ? routed.status : 0 }
}

for (const size of [6_000, 60_000]) {
  test(`conditions on fields, ${size} bytes`, () => {
    const matches = Array.from({ length: 64 }, (_, i) => ({
      headers: Object.fromEntries(Array.from({ length: 4 }, (_, j) => [`x-${j}`, { exact: `${i}` }])),
    }))
    const http = Array.from({ length: 25 }, () => ({ match: matches, route: OWN }))
    assert.deepEqual(dear(http, { headers: manyFields(size) }), {
      kind: 'answer',
      status: 404,
    })
  })

  test(`query parameters, ${size} bytes`, () => {
    const match = Array.from({ length: 64 }, (_, i) => ({ queryParams: { [`p${i}`]: { exact: '1' } } }))
    const http = Array.from({ length: 30 }, () => ({ match, route: OWN }))
    const path = `/?${'q=1&'.repeat(size / 4)}`
    assert.deepEqual(dear(http, { path }), { kind: 'answer', status: 500 })
  })

  test(`expressions that are tables, ${size} bytes`, () => {
    const http = Array.from({ length: 200 }, (_, i) => ({
      match: [{ uri: { regex: `/.*(a|b${i})+c` } }],
      route: OWN,
    }))
    assert.deepEqual(dear(http, { path: `/${'a'.repeat(size)}` }), { kind: 'answer', status: 500 })
  })

  test(`an expression that is a program, ${size} bytes`, () => {
    const http = [{ match: [{ uri: { regex: '/(.*a)[ab]{300}c' } }], route: OWN }]
    assert.deepEqual(dear(http, { path: `/${'ab'.repeat(size / 2)}` }), { kind: 'answer', status: 500 })
    assert.deepEqual(dear(http, { path: `/${'ab'.repeat(80)}` }), { kind: 'answer', status: 404 })
  })

  test(`a condition that was not judged does not hold because it is negated, ${size} bytes`, () => {
    const http = [{ match: [{ withoutHeaders: { 'x-0': { regex: '(.*a)[ab]{300}c' } } }], route: OWN }]
    assert.deepEqual(dear(http, { headers: [['x-0', 'ab'.repeat(size / 2)]] }), {
      kind: 'answer',
      status: 500,
    })
  })

  test(`rewriting by an expression, ${size} bytes`, () => {
    const rewrite = (match: string) => [
      { route: OWN, rewrite: { uriRegexRewrite: { match, rewrite: '\\1' } } },
    ]
    assert.deepEqual(dear(rewrite('(a)(.*)(.*)(.*)(.*)z|b'), { path: `/${'ab'.repeat(size / 2)}` }), {
      kind: 'answer',
      status: 500,
    })
    assert.deepEqual(dear(rewrite('/(.*)'), { path: `/${'/b'.repeat(100)}` }).kind, 'forward')
  })

  test(`origins, ${size} bytes`, () => {
    const allowOrigins = Array.from({ length: 250 }, (_, i) => ({ regex: `.*(a|b${i})+c` }))
    const http = [{ corsPolicy: { allowOrigins }, route: OWN }]
    assert.equal(dear(http, { headers: [['origin', 'a'.repeat(size)]] }).kind, 'forward')
  })
}

test('the most fields that a route may add fit, and no more', () => {
  const set = (from: number) =>
    Object.fromEntries(Array.from({ length: 32 }, (_, i) => [`y-${from + i}`, '1']))
  const http = [
    {
      route: [{ ...OWN[0], headers: { request: { set: set(0) } } }],
      headers: { request: { set: set(100) } },
    },
  ]
  assert.deepEqual(dear(http, {}), { kind: 'answer', status: 500 })
  assert.equal(dear([{ route: OWN, headers: { request: { set: set(0) } } }], {}).kind, 'forward')
})
