// One exchange, what expressions are to see of it, and what sidecar and engine make of them together.

import assert from 'node:assert/strict'
import { type Cel, checkCel } from '../api/cel.ts'
import type { CelType } from '../api/cel-attribute.ts'
import { defaultMeshConfig } from '../api/mesh-config.ts'
import type { Telemetry } from '../api/telemetry.ts'
import { type CelScope, type CelValue, evaluateCel } from '../policy/evaluate-cel.ts'
import { observationOf } from '../policy/observation.ts'
import { DIRECTION_INBOUND, RESPONSE_FLAG_UC } from '../sidecar/layout/record.ts'
import { ExchangeScope } from './exchange-scope.ts'
import type { ExchangeFigures } from './log-line.ts'
import { cart, decide, policyOf, respond, telemetry } from './telemetry-testing.ts'

/** An exchange for tests of observations, and what expressions are to see of it. */
export const HEAD =
  'GET /carts/a%20b?x=1&y=%41 HTTP/1.1\r\nHost: Cart.Shop:8080\r\nX-A: one\r\nx-a: two\r\nX-Empty:\r\n' +
  'User-Agent: curl/8\r\nx-text: aaab\r\n\r\n'
export const RESPONSE =
  'HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\nx-b: three\r\nx-b: four\r\n\r\n'
export const FIGURES: ExchangeFigures = {
  bytesReceived: 7,
  bytesSent: 2,
  durationMs: 250.5,
  responseMs: 3,
  requestMs: 1,
  responseFlags: RESPONSE_FLAG_UC,
}

/** What the expressions below are to see of that exchange, by what a user reads in docs/compatibility.md. */
export const KNOWN: Readonly<Record<string, CelValue>> = {
  'request.path': '/carts/a%20b?x=1&y=%41',
  'request.url_path': '/carts/a%20b',
  'request.query': 'x=1&y=%41',
  'request.host': 'Cart.Shop:8080',
  'request.scheme': 'http',
  'request.method': 'GET',
  'request.protocol': 'HTTP/1.1',
  'request.size': 7,
  'request.duration': 250_500_000,
  'response.code': 503,
  'response.code_details': 'via_upstream',
  'response.flags': 0x40,
  'response.size': 2,
  'source.address': '203.0.113.9:50123',
  'source.port': 50123,
  'destination.address': '10.0.0.1:8080',
  'destination.port': 8080,
  'connection.mtls': true,
  'connection.uri_san_peer_certificate': 'spiffe://cluster.local/ns/shop/sa/frontend',
  'connection.uri_san_local_certificate': `spiffe://${cart.principal}`,
  'upstream.address': '127.0.0.1:9001',
  'upstream.port': 9001,
}
export const FIELDS: Readonly<Record<string, string>> = {
  'request x-a': 'one,two',
  'request x-empty': '',
  'request x-text': 'aaab',
  'request user-agent': 'curl/8',
  'response x-b': 'three,four',
  'response content-length': '2',
}
export const WORLD: CelScope = {
  attribute: (name) => KNOWN[name] ?? null,
  field: (head, name) => FIELDS[`${head} ${name}`] ?? null,
  value: () => null,
}

export const changes = { accessLogFile: '/dev/null' }
export const config = { ...defaultMeshConfig, ...changes }

function tagsOf(tags: Record<string, Cel>): Telemetry {
  const tagOverrides = Object.fromEntries(
    Object.entries(tags).map(([name, value]) => [name, { operation: 'UPSERT' as const, value }]),
  )
  return telemetry('shop', 't', {
    metrics: [{ overrides: [{ tagOverrides }] }] as Telemetry['spec']['metrics'],
  })
}

/** What sidecar and engine make of expressions together. */
export function observed(cels: readonly Cel[]): CelValue[] {
  const telemetries = [tagsOf(Object.fromEntries(cels.map((cel, i) => [`t${i}`, cel])))]
  const policy = policyOf(changes, telemetries)
  const peer = 'cluster.local/ns/shop/sa/frontend'
  const decision = decide(policy, HEAD, { direction: DIRECTION_INBOUND, peer })
  assert.ok(decision.kind === 'forward', JSON.stringify(decision))
  const response = respond(policy, decision.context, { head: RESPONSE })
  assert.ok(response.kind === 'head', JSON.stringify(response))
  const plan = observationOf({ config, telemetries }, cart).server
  assert.equal(response.values?.length ?? 0, plan.values)
  const scope = new ExchangeScope(FIGURES, response.values)
  return plan.metrics[0]!.tags.map(([, cel]) => evaluateCel(cel!, scope))
}

export function cel(text: string, types: readonly CelType[] = ['truth', 'text', 'integer', 'duration']): Cel {
  const read = checkCel(text, types)
  assert.ok(read.ok, read.ok ? '' : `${text}: ${read.problem}`)
  return read.value
}
