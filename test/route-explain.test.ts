// What explain says of requests that routes answer or lead elsewhere.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { explainRequest } from '../src/control/explain.ts'
import { ipBytes } from '../src/dataplane/ip-bytes.ts'
import { RouteWorld, virtualService } from './route-world.ts'
import { realSidecars } from './sidecar-phases.ts'

const CLOSED = JSON.stringify({
  apiVersion: 'security.istio.io/v1',
  kind: 'AuthorizationPolicy',
  metadata: { name: 'closed', namespace: 'web' },
  spec: { selector: { matchLabels: { version: 'v2' } }, action: 'DENY', rules: [{}] },
})

test('the policies of the function that a route leads to are told, and what a route answers itself', async () => {
  const sidecars = await realSidecars()
  const routes = virtualService([
    { match: [{ uri: { prefix: '/back' } }], route: [{ destination: { host: 'back.web' } }] },
    { match: [{ uri: { prefix: '/moved' } }], redirect: { uri: '/' } },
    { route: [{ destination: { host: 'cart' } }] },
  ])
  const { mesh } = new RouteWorld(sidecars, [routes, CLOSED])
  const explain = (path: string, from: string | null = null) =>
    explainRequest(mesh, sidecars, {
      to: 'shop/cart',
      from,
      method: 'GET',
      path,
      headers: [],
      sourceIp: ipBytes('192.0.2.7'),
    })
  const back = explain('/back')
  assert.equal(back.outcome, 'denied')
  assert.match(back.text, /web\/back refuses .* denied by AuthorizationPolicy web\/closed rule 0/)
  assert.deepEqual(
    new Set(back.verdicts.map((verdict) => verdict.function)),
    new Set(['shop/cart', 'web/back']),
  )
  assert.equal(explain('/back', 'web/front').outcome, 'denied')
  const moved = explain('/moved')
  assert.deepEqual([moved.outcome, moved.status], ['answered', 301])
  assert.match(moved.verdicts.at(-1)!.rule ?? '', /shop\/routes/)
  assert.equal(explain('/').outcome, 'allowed')
})
