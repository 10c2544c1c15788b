import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatManifestError } from '../api/manifest-error.ts'
import { readManifests } from '../api/read-manifests.ts'
import type { Service } from '../api/service.ts'
import { compileMesh } from './compile-mesh.ts'
import { servedResources } from './served-revisions.ts'

const NEWEST = `apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: cart, namespace: shop}
spec:
  template:
    metadata: {labels: {version: v2}}
    spec: {containers: [{image: "file:./cart.ts"}]}
`
const LIMIT = `apiVersion: mayfly.dev/v1
kind: RateLimitPolicy
metadata: {name: few, namespace: shop}
spec:
  selector: {matchLabels: {serving.knative.dev/service: cart}}
  limits: [{name: few, requests: 3, unit: hour}]
`

/** The third revision of a Service, with the first two kept. */
function serviceOf(traffic: string): Service {
  const [resource] = read(`${NEWEST}  traffic: ${traffic}\n`)
  assert.equal(resource?.kind, 'Service')
  const service = resource as Service
  const { template } = service.spec
  service.metadata.generation = 3
  service.revisions = [
    { generation: 1, template: { ...template, metadata: { ...template.metadata, name: 'cart-blue' } } },
    { generation: 2, template },
  ]
  return service
}

function read(text: string) {
  const reading = readManifests([{ path: '/mesh/cart.yaml', text }])
  assert.ok(reading.ok, JSON.stringify(reading))
  return reading.resources
}

/** The names of the functions, and where requests for the Service go. */
function shape(service: Service): [string[], [string, number][]] {
  const all = servedResources(service)
  const functions = all.filter(({ kind }) => kind === 'Service').map(({ metadata }) => metadata.name)
  const route = all.flatMap((one) =>
    one.kind === 'VirtualService' ? one.spec.http.flatMap((http) => http.route!) : [],
  )
  return [functions, route.map(({ destination, weight }) => [destination.host, weight!])]
}

test('revisions become functions, and routes by weight', () => {
  const cases: [string, string[], [string, number][]][] = [
    ['[{latestRevision: true, percent: 100}]', ['cart'], []],
    ['[{revisionName: cart-00003, percent: 100}]', ['cart'], []],
    ['[]', ['cart'], []],
    [
      '[{latestRevision: true, percent: 90}, {revisionName: cart-00001, percent: 10}]',
      ['cart', 'cart-00001'],
      [
        ['cart', 90],
        ['cart-00001', 10],
      ],
    ],
    ['[{revisionName: cart-blue, percent: 100}]', ['cart', 'cart-00001'], [['cart-00001', 100]]],
    ['[{latestRevision: true, percent: 100}, {revisionName: cart-00002}]', ['cart', 'cart-00002'], []],
  ]
  for (const [traffic, functions, route] of cases)
    assert.deepEqual(shape(serviceOf(traffic)), [functions, route], traffic)
})

test('an earlier revision has the identity, the policies and the limits of its function, and no host at the gateway', () => {
  const service = serviceOf('[{latestRevision: true, percent: 50}, {revisionName: cart-00002, percent: 50}]')
  const compiled = compileMesh([service, ...read(LIMIT)])
  assert.ok(compiled.ok)
  const [newest, earlier] = [...compiled.mesh.functions.values()]
  assert.equal(earlier!.spec.key, 'shop/cart-00002')
  assert.equal(earlier!.spec.principal, newest!.spec.principal)
  assert.deepEqual(earlier!.spec.labels, newest!.spec.labels)
  assert.equal(earlier!.spec.clusterLocal, true)
  assert.equal(earlier!.quotaLimits[0]!.id, newest!.quotaLimits[0]!.id)
  assert.equal(earlier!.observation.workload.canonicalService, 'cart')
  assert.deepEqual(newest!.routes!.routes[0]!.destinations, [
    { function: 'shop/cart', subset: null },
    { function: 'shop/cart-00002', subset: null },
  ])
  assert.deepEqual(
    [...compiled.mesh.policies.values()].map(({ kind }) => kind),
    ['RateLimitPolicy'],
  )
})

test('what cannot be is refused with its place', () => {
  const cases: [string, RegExp][] = [
    ['[{revisionName: cart-00009, percent: 100}]', /traffic\[0\]\.revisionName: "cart-00009" is no revision/],
    ['[{latestRevision: true, percent: 99}]', /spec\.traffic: the parts add up to 99 percent/],
    ['[{percent: 100}]', /spec\.traffic\[0\]: expected latestRevision: true, or a revisionName/],
    [
      '[{latestRevision: true, revisionName: a, percent: 100}]',
      /traffic\[0\]\.latestRevision: stands beside/,
    ],
    [
      '[{latestRevision: true, percent: 50}, {latestRevision: true, percent: 50}]',
      /traffic\[1\]: is for the same revision/,
    ],
    ['[{latestRevision: true, percent: 100, tag: blue}]', /traffic\[0\]\.tag: tags/],
  ]
  for (const [traffic, expected] of cases) {
    const reading = readManifests([{ path: '/mesh/cart.yaml', text: `${NEWEST}  traffic: ${traffic}\n` }])
    const compiled = reading.ok ? compileMesh(reading.resources) : reading
    assert.ok(!compiled.ok, traffic)
    assert.match(compiled.errors.map(formatManifestError).join('\n'), expected)
  }
})
