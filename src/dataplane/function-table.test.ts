import assert from 'node:assert/strict'
import { test } from 'node:test'
import { NOTHING_OBSERVED } from '../policy/observation-plan.ts'
import { EndpointSet } from './endpoint-set.ts'
import type { FunctionSlice } from './engine-messages.ts'
import { FunctionTable } from './function-table.ts'

function functionSlice(key: string, more: Partial<FunctionSlice> = {}): FunctionSlice {
  const [namespace, name] = key.split('/') as [string, string]
  return {
    key,
    namespace,
    principal: `cluster.local/ns/${namespace}/sa/${name}`,
    port: 8080,
    gatewayHosts: [`${name}.${namespace}.localhost`],
    timeoutMs: 1_000,
    responseStartTimeoutMs: 0,
    idleTimeoutMs: 0,
    collector: null,
    observation: NOTHING_OBSERVED,
    checkService: null,
    routes: null,
    traffic: null,
    policy: Buffer.from(key),
    policyHash: key,
    ...more,
  }
}

function world(...keys: string[]) {
  const made: string[] = []
  const table = new FunctionTable({
    circuits: () => assert.fail('no DestinationRule applies'),
    endpoints(key) {
      made.push(key)
      return new EndpointSet(key, () => 1, { active() {}, urgent() {}, returned() {} })
    },
  })
  for (const key of keys) table.upsert(functionSlice(key))
  return { table, made }
}

test('a function is found by the host that the gateway serves it under, and by no other', () => {
  const { table } = world('shop/cart', 'shop/hidden')
  table.upsert(functionSlice('shop/hidden', { gatewayHosts: [] }))
  assert.equal(table.byGatewayHost('cart.shop.localhost')!.slice.key, 'shop/cart')
  for (const host of [
    'hidden.shop.localhost',
    'cart',
    'cart.shop',
    'cart.shop.localhost.',
    'cart.shop.svc',
    '',
  ]) {
    assert.equal(table.byGatewayHost(host), undefined, host)
  }
})

const NAMES: [string, string | undefined][] = [
  ['cart', 'shop/cart'],
  ['cart.shop', 'shop/cart'],
  ['cart.shop.svc', 'shop/cart'],
  ['cart.shop.svc.cluster.local', 'shop/cart'],
  ['cart.other', 'other/cart'],
  ['only', undefined],
  ['only.other', 'other/only'],
  ['cart.shop.localhost', undefined],
  ['cart.shop.svc.cluster', undefined],
  ['cart.shop.svc.cluster.local.com', undefined],
  ['cart.shop.cluster.local', undefined],
  ['cart.', undefined],
  ['.shop', undefined],
  ['cart..svc', undefined],
  ['', undefined],
  ['shop/cart', undefined],
  ['..', undefined],
]
for (const [host, key] of NAMES) {
  test(`for a caller in shop, ${JSON.stringify(host)} is ${key ?? 'nobody'}`, () => {
    const { table } = world('shop/cart', 'other/cart', 'other/only')
    assert.equal(table.byCalleeName(host, 'shop')?.slice.key, key)
  })
}

test('a new version keeps the instances, and leaves hosts that it does not have any more', () => {
  const { table, made } = world('shop/cart')
  const entry = table.get('shop/cart')!
  assert.deepEqual(made, [], 'nothing is made for a function that nobody has asked for')
  const { endpoints } = entry
  table.upsert(functionSlice('shop/cart', { gatewayHosts: ['new.localhost'], policy: Buffer.from('new') }))
  assert.equal(table.get('shop/cart'), entry)
  assert.equal(entry.endpoints, endpoints)
  assert.equal(entry.policy.toString(), 'new')
  assert.equal(table.byGatewayHost('cart.shop.localhost'), undefined)
  assert.equal(table.byGatewayHost('new.localhost'), entry)
})

test('a deleted function is nowhere, and those who wait for it are told', () => {
  const { table } = world('shop/cart', 'shop/other')
  let refused = ''
  table.get('shop/cart')!.endpoints.acquire({
    choice: null,
    granted: () => assert.fail('there is no instance'),
    refused: ({ kind }) => {
      refused = kind
    },
  })
  table.remove('shop/cart')
  table.remove('shop/cart')
  assert.equal(refused, 'deleted')
  assert.equal(table.get('shop/cart'), undefined)
  assert.equal(table.byGatewayHost('cart.shop.localhost'), undefined)
  assert.equal(table.byCalleeName('cart', 'shop'), undefined)
  assert.deepEqual(
    [...table.entries()].map(({ slice }) => slice.key),
    ['shop/other'],
  )
})

test('a host that went from one function to another stays with the new one when the old one goes', () => {
  const { table } = world('shop/cart')
  table.upsert(functionSlice('shop/basket', { gatewayHosts: ['cart.shop.localhost'] }))
  table.remove('shop/cart')
  assert.equal(table.byGatewayHost('cart.shop.localhost')!.slice.key, 'shop/basket')
})

test('a function is forgotten only where no request has asked for it since, and none is under way', () => {
  const { table } = world('shop/cart')
  const uses = [
    () => table.get('shop/cart'),
    () => table.byGatewayHost('cart.shop.localhost'),
    () => table.byCalleeName('cart', 'shop'),
  ]
  for (const use of uses) {
    table.now += 100
    const before = table.now - 1
    use()
    assert.equal(table.forget('shop/cart', before), false)
  }
  const waiter = { choice: null, granted: () => assert.fail(), refused: () => assert.fail() }
  const { endpoints } = table.peek('shop/cart')!
  endpoints.acquire(waiter)
  assert.equal(table.forget('shop/cart', table.now), false)
  endpoints.cancel(waiter)
  assert.equal(table.forget('shop/cart', table.now), false, 'control has not heard of it')
  endpoints.report()
  table.peek('shop/cart')!.hosted.update([{ id: 'i', host: '127.0.0.1', port: 1 }])
  assert.equal(table.forget('shop/cart', table.now), false)
  table.peek('shop/cart')!.hosted.update([])
  assert.equal(table.forget('shop/cart', table.now), true)
  assert.equal(table.peek('shop/cart'), undefined)
  assert.equal(table.forget('shop/cart', table.now), true)
})
