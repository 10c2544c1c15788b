import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { type Cel, checkCel } from '../api/cel.ts'
import type { FunctionSpec } from '../api/function-spec.ts'
import { defaultMeshConfig, type MeshConfigSpec } from '../api/mesh-config.ts'
import { readManifests } from '../api/read-manifests.ts'
import { meshConfigOf, ofKind } from '../api/resource.ts'
import type { Telemetry } from '../api/telemetry.ts'
import { compileObservation, observationOf } from './observation.ts'
import { METRICS } from './observation-plan.ts'
import { workloadOf, workloadOfPrincipal } from './workload.ts'

const cart = {
  namespace: 'shop',
  name: 'cart',
  key: 'shop/cart',
  principal: 'cluster.local/ns/shop/sa/cart',
  labels: { app: 'shop', tier: 'back' },
  env: [{ name: 'REGION', value: 'eu' }],
  port: 8080,
} as unknown as FunctionSpec

const otel: Partial<MeshConfigSpec> = {
  accessLogFile: '/dev/stdout',
  extensionProviders: [{ name: 'otel', opentelemetry: { service: 'a', port: 4318 } }],
  defaultProviders: { tracing: ['otel'], accessLogging: [], metrics: [] },
}

function telemetry(namespace: string, spec: object, matchLabels: Record<string, string> = {}): Telemetry {
  return {
    apiVersion: 'telemetry.istio.io/v1',
    kind: 'Telemetry',
    metadata: { name: `t-${Object.keys(matchLabels).length}`, namespace, labels: {}, annotations: {} },
    spec: { selector: { matchLabels }, tracing: [], accessLogging: [], metrics: [], ...spec },
    source: { file: 't.yaml', line: 3 },
  } as Telemetry
}

const input = (telemetries: readonly Telemetry[], config: Partial<MeshConfigSpec> = otel) => ({
  config: { ...defaultMeshConfig, ...config },
  telemetries,
})

function cel(text: string): Cel {
  const read = checkCel(text, ['text', 'truth', 'integer'])
  assert.ok(read.ok)
  return read.value
}

const ROOT = 'mayfly-system'
const literal = (value: string) => ({ op: 'literal', type: 'text', value })

describe('metrics', () => {
  const override = (match: object, more: object) => ({ match, tagOverrides: {}, ...more })
  const metrics = (...overrides: object[]) => ({ metrics: [{ overrides }] })
  const plans = (telemetries: readonly Telemetry[], mode: 'client' | 'server' = 'server') =>
    Object.fromEntries(
      observationOf(input(telemetries), cart)[mode].metrics.map((plan, i) => [METRICS[i]!.metric, plan]),
    )

  test('are all counted without tags where nothing is said', () => {
    for (const plan of Object.values(plans([]))) assert.deepEqual(plan, { disabled: false, tags: [] })
  })

  test("a nearer Telemetry's overrides stand above a broader one's, tag by tag, for their metric and mode", () => {
    const mesh = telemetry(
      ROOT,
      metrics(
        override({ metric: 'ALL_METRICS' }, { disabled: true }),
        override(
          { metric: 'REQUEST_COUNT' },
          { tagOverrides: { a: { operation: 'UPSERT', value: cel("'mesh'") }, b: { operation: 'REMOVE' } } },
        ),
      ),
    )
    const space = telemetry(
      'shop',
      metrics(override({ metric: 'REQUEST_COUNT', mode: 'SERVER' }, { disabled: false })),
    )
    const own = telemetry(
      'shop',
      metrics(
        override(
          { metric: 'REQUEST_COUNT' },
          { tagOverrides: { a: { operation: 'UPSERT', value: cel("'own'") }, c: { operation: 'REMOVE' } } },
        ),
      ),
      { tier: 'back' },
    )
    const other = telemetry('shop', metrics(override({}, { disabled: false })), { tier: 'front' })
    const { REQUEST_COUNT: count, RESPONSE_SIZE: size } = plans([own, other, mesh, space])
    assert.deepEqual(count, {
      disabled: false,
      tags: [
        ['a', literal('own')],
        ['b', null],
        ['c', null],
      ],
    })
    assert.deepEqual(size, { disabled: true, tags: [] })
    assert.equal(plans([own, other, mesh, space], 'client').REQUEST_COUNT!.disabled, true)
  })

  test('of TCP and gRPC are none, so that what is said of them changes nothing', () => {
    const one = telemetry('shop', metrics(override({ metric: 'TCP_SENT_BYTES' }, { disabled: true })))
    for (const plan of Object.values(plans([one]))) assert.equal(plan.disabled, false)
  })

  test('go to Prometheus alone', () => {
    const named = (name: string) =>
      compileObservation(
        input([telemetry('shop', { metrics: [{ providers: [{ name }], overrides: [] }] })]),
        cart,
      )
    assert.equal(named('prometheus').ok, true)
    const refused = named('otel')
    assert.deepEqual(
      refused.ok ? [] : refused.problems.map(({ code, field, message }) => [code, field, message]),
      [
        [
          'bad-value',
          'spec.metrics[0].providers[0].name',
          '"otel" is no provider of metrics: write "prometheus", or leave the field out',
        ],
      ],
    )
  })
})

describe('the filter of an access log', () => {
  const logging = (...entries: object[]) => ({ accessLogging: entries })
  const filter = (text: string) => ({ filter: { expression: cel(text) } })
  const filterOf = (telemetries: readonly Telemetry[], config = otel) => {
    const { logFilter, values } = observationOf(input(telemetries, config), cart).server
    return logFilter ?? (values > 0 ? 'sidecar' : null)
  }

  test('is that of the nearest entry for the provider; an entry without one has none', () => {
    const mesh = telemetry(ROOT, logging(filter("request.method == 'GET'")))
    assert.equal(filterOf([mesh]), 'sidecar')
    assert.equal(filterOf([mesh, telemetry('shop', logging({ providers: [{ name: 'envoy' }] }))]), null)
    assert.equal(filterOf([mesh, telemetry('shop', logging({ match: { mode: 'CLIENT' } }))]), 'sidecar')
  })

  test('is left to the engine as far as only that can tell', () => {
    const one = telemetry('shop', logging(filter('response.code == 500 || request.size > 3')))
    const value = { op: 'value', type: 'truth', index: 0 }
    const found = filterOf([one]) as Cel
    assert.ok(found.op === 'or')
    assert.deepEqual(found.args[0], value)
  })
})

describe('tags of spans', () => {
  const tagsOf = (telemetries: readonly Telemetry[], config = otel, mode: 'client' | 'server' = 'server') =>
    Object.fromEntries(
      observationOf(input(telemetries, config), cart)[mode].spanTags.map(({ name, value }) => [
        name,
        value.op === 'literal' ? value.value : value.op,
      ]),
    )
  const istio = {
    'istio.canonical_revision': 'latest',
    'istio.canonical_service': 'shop',
    'istio.cluster_id': 'Kubernetes',
    'istio.mesh_id': 'cluster.local',
    'istio.namespace': 'shop',
  }

  test("are Istio's own and those that are listed nearest", () => {
    assert.deepEqual(tagsOf([]), istio)
    const mesh = telemetry(ROOT, { tracing: [{ customTags: { mesh: { literal: { value: 'x' } } } }] })
    const own = telemetry('shop', {
      tracing: [
        {
          customTags: {
            region: { environment: { name: 'REGION' } },
            unset: { environment: { name: 'PATH' } },
            byDefault: { environment: { name: 'PATH', defaultValue: 'none' } },
            tenant: { header: { name: 'X-Tenant' } },
            'istio.namespace': { literal: { value: 'mine' } },
          },
        },
      ],
    })
    assert.deepEqual(tagsOf([mesh]), { ...istio, mesh: 'x' })
    assert.deepEqual(tagsOf([mesh, own]), {
      ...istio,
      region: 'eu',
      byDefault: 'none',
      tenant: 'value',
      'istio.namespace': 'mine',
    })
    assert.deepEqual(tagsOf([telemetry('shop', { tracing: [{ enableIstioTags: false }] })]), {})
  })

  test('are none where spans go nowhere', () => {
    assert.deepEqual(tagsOf([], {}), {})
  })
})

test('workloads are named by the labels of Istio', () => {
  const named = (labels: Record<string, string>) => {
    const { app, version, canonicalService, canonicalRevision } = workloadOf({ ...cart, labels })
    return [app, version, canonicalService, canonicalRevision]
  }
  assert.deepEqual(named({}), ['unknown', 'unknown', 'cart', 'latest'])
  assert.deepEqual(named({ app: 'a', version: 'v1' }), ['a', 'v1', 'a', 'v1'])
  const canonical = { 'service.istio.io/canonical-name': 'c', 'service.istio.io/canonical-revision': 'r' }
  assert.deepEqual(named({ app: 'a', version: 'v1', ...canonical }), ['a', 'v1', 'c', 'r'])
  assert.deepEqual(named({ 'app.kubernetes.io/name': 'k', 'app.kubernetes.io/version': '2' }), [
    'k',
    '2',
    'k',
    '2',
  ])
  assert.equal(workloadOfPrincipal('td/ns/shop/sa/pay').workload, 'pay')
  assert.equal(workloadOfPrincipal('td/ns/shop/sa/pay/x').workload, 'unknown')
})

test('the example compiles', () => {
  const url = new URL('../../examples/policies/telemetry.yaml', import.meta.url)
  const read = readManifests([{ path: 'telemetry.yaml', text: readFileSync(url, 'utf8') }])
  assert.ok(read.ok, JSON.stringify(read))
  const { resources } = read
  const mesh = { config: meshConfigOf(resources), telemetries: ofKind(resources, 'Telemetry') }
  const compiled = compileObservation(mesh, cart)
  assert.ok(compiled.ok && compiled.bytes.length > 0)
  const { server } = observationOf(mesh, cart)
  assert.equal(server.logFilter?.op, 'and')
  assert.deepEqual(
    server.metrics[0]!.tags.map(([name]) => name),
    ['request_method'],
  )
})
