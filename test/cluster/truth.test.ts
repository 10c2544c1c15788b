import assert from 'node:assert/strict'
import { test } from 'node:test'
import { differences, type LivingInstance, lasting, type Told } from './truth.ts'

const living: LivingInstance = { id: 'cart-1', function: 'shop/cart', node: 'n1', pid: 7 }
const told = (more: Partial<Told> = {}): Told => ({
  nodes: [{ node: 'n1', state: 'ready', instances: 1, engines: [] }],
  functions: [{ namespace: 'shop', name: 'cart', ready: 1, requests: 0 }],
  instances: [{ id: 'cart-1', function: 'shop/cart', state: 'ready', node: 'n1', pid: 7 }],
  ...more,
})
const row = told().instances[0]!

test('what is so is no difference, also while it begins or ends', () => {
  assert.deepEqual(differences(told(), [living], [living]), [])
  assert.deepEqual(differences(told(), [], [living]), [])
  assert.deepEqual(differences(told(), [living], []), [])
  const none = told({ nodes: [], functions: [], instances: [] })
  assert.deepEqual(differences(none, [living], []), [])
  const starting = told({ functions: [], instances: [{ ...row, state: 'starting' }] })
  assert.deepEqual(differences(starting, [], []), [])
})

test('what is not so is told one by one', () => {
  const wrong = (more: Partial<Told>, processes = [living]) =>
    differences(told(more), processes, processes).length
  assert.equal(wrong({}, []), 1)
  assert.equal(wrong({ nodes: [], functions: [], instances: [] }), 1)
  assert.equal(wrong({ nodes: [], instances: [{ ...row, node: 'n2' }] }), 1)
  assert.equal(wrong({ instances: [{ ...row, pid: 8 }] }), 1)
  assert.equal(wrong({ nodes: [{ node: 'n1', state: 'gone', instances: 2, engines: [] }] }), 2)
  assert.equal(wrong({ functions: [{ namespace: 'shop', name: 'cart', ready: 0, requests: 0 }] }), 1)
})

test('only what two samplings have lasts', () => {
  assert.deepEqual(lasting(['a', 'b'], ['b', 'c']), ['b'])
})
