import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toFunctionSpec } from '../api/function-spec.ts'
import { defaultMeshConfig } from '../api/mesh-config.ts'
import { readManifests } from '../api/read-manifests.ts'
import { ofKind } from '../api/resource.ts'
import { type TrafficPlan, trafficPlan, viewOf } from './traffic-plan.ts'
import { DEFAULT_SETTINGS } from './traffic-settings.ts'

const service = (key: string, labels = '{}') => {
  const [namespace, name] = key.split('/')
  return `apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: ${name}, namespace: ${namespace}}
spec: {template: {metadata: {labels: ${labels}}, spec: {containers: [{image: "endpoint:127.0.0.1:1"}]}}}`
}

/** A rule by which it can be told which one holds: it allows so many requests. */
const rule = (key: string, host: string, most: number, more = '') => {
  const [namespace, name] = key.split('/')
  return `apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: ${name}, namespace: ${namespace}}
spec: {host: "${host}", trafficPolicy: {connectionPool: {http: {http2MaxRequests: ${most}}}}${more}}`
}

function world(...documents: string[]) {
  const text = [
    service('shop/cart', '{version: v1}'),
    service('shop/web', '{app: web}'),
    service('front/site'),
    ...documents,
  ].join('\n---\n')
  const read = readManifests([{ path: 'm.yaml', text }])
  assert.ok(read.ok, JSON.stringify(read))
  const functions = ofKind(read.resources, 'Service').map((one) => toFunctionSpec(one, defaultMeshConfig))
  const input = {
    config: defaultMeshConfig,
    destinationRules: ofKind(read.resources, 'DestinationRule'),
    functions,
  }
  return trafficPlan(input, functions[0]!)?.plan ?? null
}

const slot = (plan: TrafficPlan | null, caller: string | null, number = 0) =>
  plan!.views[viewOf(plan!, caller)]!.slots[number]!
const most = (plan: TrafficPlan | null, caller: string | null, number = 0) =>
  slot(plan, caller, number).settings.pool.maxRequests

test('without a rule for the function there is no plan', () => {
  assert.equal(world(), null)
  assert.equal(world(rule('shop/other', 'web', 1)), null)
})

test("a client's own namespace comes first, then the function's, then the root namespace", () => {
  const [own, callees, root] = [
    rule('front/a', 'cart.shop.svc.cluster.local', 1),
    rule('shop/b', 'cart', 2),
    rule('mayfly-system/c', '*.svc.cluster.local', 3),
  ]
  const all = world(own, callees, root)
  assert.deepEqual(
    [most(all, 'front/site'), most(all, 'shop/web'), most(all, 'other/fn'), most(all, null)],
    [1, 2, 2, 2],
  )
  const priv = rule('mayfly-system/d', 'cart.shop', 4, ', exportTo: ["."]')
  assert.equal(most(world(own, callees, root, priv), null), 4)
  const two = world(own, root)
  assert.deepEqual([most(two, 'front/site'), most(two, 'shop/web'), most(two, null)], [1, 3, 3])
})

test('exportTo says who sees a rule', () => {
  const table: [string, (number | null)[]][] = [
    ['[]', [1, 1, 1, 1]],
    ['["*"]', [1, 1, 1, 1]],
    ['["."]', [1, null, null, null]],
    ['[front]', [1, 1, null, null]],
    ['[mayfly-system]', [1, null, null, 1]],
  ]
  for (const [exportTo, expected] of table) {
    const plan = world(rule('shop/a', 'cart', 1, `, exportTo: ${exportTo}`))
    const seen = ['shop/web', 'front/site', 'other/fn', null].map((caller) => most(plan, caller))
    assert.deepEqual(seen, expected, exportTo)
  }
})

test('the closest host counts, and rules for one host are taken together', () => {
  const plan = world(
    rule('shop/a', '*', 1),
    rule('shop/b', '*.shop.svc.cluster.local', 2),
    rule('shop/c', 'cart.shop', 3, ', subsets: [{name: one}]'),
    rule('shop/d', 'cart', 4, ', subsets: [{name: one}, {name: two}]'),
  )
  assert.equal(most(plan, null), 3)
  assert.deepEqual(plan!.subsets, ['one', 'two'])
})

test('a workloadSelector is for those callers of its namespace that it takes', () => {
  const plan = world(
    rule('shop/a', 'cart', 1),
    rule('shop/b', 'cart', 2, ', workloadSelector: {matchLabels: {app: web}}'),
  )
  assert.deepEqual(
    [most(plan, 'shop/web'), most(plan, 'shop/cart'), most(plan, 'front/site'), most(plan, null)],
    [2, 1, 1, 1],
  )
})

test('a namespace may be called as a member of every object is', () => {
  const plan = world(rule('front/a', 'cart.shop', 1))
  assert.equal(most(plan, 'constructor/site'), null)
  assert.equal(most(plan, '__proto__/site'), null)
})

test('a subset has the instances whose labels it asks for, and settings of its own over those of the host', () => {
  const subsets = `, subsets: [
    {name: v1, labels: {version: v1}, trafficPolicy: {loadBalancer: {simple: RANDOM}}},
    {name: v0, labels: {version: v0}, trafficPolicy: {connectionPool: {http: {maxRetries: 9}}}}]`
  const plan = world(rule('shop/a', 'cart', 5, subsets))
  const [whole, v1, v0] = [0, 1, 2].map((number) => slot(plan, null, number))
  assert.deepEqual([whole!.hasInstances, v1!.hasInstances, v0!.hasInstances], [true, true, false])
  assert.equal(v1!.settings.balancer.kind, 'random')
  assert.equal(v1!.settings.pool.maxRequests, 5)
  // A whole component gives way, as in Istio.
  assert.equal(v0!.settings.pool.maxRequests, null)
  assert.deepEqual(v0!.settings.retryBudget, { kind: 'fixed', most: 9 })
})

test("settings of the function's port replace all above them, others' ports have none", () => {
  const ports = (number: number) => `apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a, namespace: shop}
spec:
  host: cart
  trafficPolicy:
    connectionPool: {http: {http2MaxRequests: 5}}
    outlierDetection: {}
    portLevelSettings: [{port: {number: ${number}}, loadBalancer: {simple: ROUND_ROBIN}}]`
  const own = slot(world(ports(8080)), null).settings
  assert.deepEqual([own.balancer.kind, own.pool.maxRequests, own.outlier], ['round-robin', null, null])
  const other = slot(world(ports(9090)), null).settings
  assert.deepEqual([other.balancer.kind, other.pool.maxRequests], ['least-request', 5])
  assert.deepEqual(other.outlier, {
    splitsLocalErrors: false,
    consecutiveLocal: 0,
    consecutiveGateway: 0,
    consecutive5xx: 5,
    intervalMs: 10_000,
    baseEjectionMs: 30_000,
    maxEjectionPercent: 10,
    minHealthPercent: 0,
  })
})

test('without any settings all is as it is without a rule', () => {
  const plan = world(
    'apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: a, namespace: shop}\nspec: {host: cart}',
  )
  assert.deepEqual(slot(plan, null).settings, DEFAULT_SETTINGS)
  assert.deepEqual(DEFAULT_SETTINGS.retryBudget, { kind: 'percent', percent: 20, least: 3 })
})
