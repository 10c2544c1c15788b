import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ToEngine } from '../../dataplane/engine-messages.ts'
import { EngineMemory } from './engine-memory.ts'

const PRINCIPAL = 'spiffe://cluster.local/ns/shop/sa/cart'
const endpoints = (key: string, slots: number): ToEngine => ({
  type: 'endpoints',
  key,
  external: false,
  endpoints: [{ id: `${key}-i`, host: '127.0.0.1', port: 80, slots }],
})
const identity = (notAfter: number): ToEngine => ({
  type: 'identities',
  upsert: [{ principal: PRINCIPAL, epoch: 1, chain: '', key: '', notAfter }],
  remove: [],
})

test('what an engine had that died unheard is inherited once', () => {
  const memory = new EngineMemory()
  memory.told('a', endpoints('shop/cart', 2))
  memory.died('a', false)
  assert.deepEqual(memory.inherit('b'), [endpoints('shop/cart', 2)])
  assert.deepEqual(memory.endpoints('b'), [endpoints('shop/cart', 2)])
  assert.deepEqual(memory.inherit('c'), [])
})

test('what control was told to be dead it gives to others itself, unless it is cut off before it can have heard', () => {
  const memory = new EngineMemory()
  memory.told('a', endpoints('shop/cart', 2))
  memory.died('a', true)
  memory.reported('b')
  assert.deepEqual(memory.inherit('c'), [])
  memory.heard('another')
  assert.deepEqual(memory.cutOff(), [{ engine: 'b', messages: [endpoints('shop/cart', 2)] }])
  assert.deepEqual(memory.endpoints('b'), [endpoints('shop/cart', 2)])
})

test('what control has heard of is inherited by nobody', () => {
  const memory = new EngineMemory()
  const begin = () => {
    memory.told('a', endpoints('shop/cart', 2))
    memory.died('a', true)
    memory.reported('b')
  }
  begin()
  memory.heard('a')
  assert.deepEqual(memory.cutOff(), [])
  begin()
  memory.told('b', endpoints('shop/cart', 1))
  assert.deepEqual(memory.cutOff(), [])
})

test('what died while control was away it is told of, and until it has heard of it, it may be cut off again', () => {
  const memory = new EngineMemory()
  memory.told('a', endpoints('shop/cart', 2))
  memory.died('a', false)
  assert.deepEqual(memory.attached(), [{ engine: 'a', endpoints: [endpoints('shop/cart', 2)] }])
  // Control takes it for alive until it hears of its death.
  memory.told('a', endpoints('shop/cart', 1))
  memory.reported('b')
  assert.deepEqual(memory.cutOff(), [{ engine: 'b', messages: [endpoints('shop/cart', 2)] }])
  assert.deepEqual(memory.attached(), [])
  memory.died('b', false)
  assert.deepEqual(memory.attached(), [{ engine: 'b', endpoints: [endpoints('shop/cart', 2)] }])
  memory.heard('b')
  assert.deepEqual(memory.cutOff(), [])
})

test('a stream that comes to nothing takes nothing from who starts after it', () => {
  const memory = new EngineMemory()
  memory.told('a', endpoints('shop/cart', 2))
  memory.died('a', false)
  memory.attached()
  assert.deepEqual(memory.cutOff(), [])
  assert.deepEqual(memory.inherit('b'), [endpoints('shop/cart', 2)])
})

test('what was taken back is held until the engine says that it uses it no more', () => {
  const memory = new EngineMemory()
  const held = () => {
    const [message] = memory.endpoints('a')
    return message!.endpoints.map(({ slots, held }) => [slots, held])
  }
  memory.told('a', endpoints('shop/cart', 2))
  memory.told('a', endpoints('shop/cart', 0))
  assert.deepEqual(held(), [[0, 2]])
  memory.told('a', endpoints('shop/cart', 1))
  memory.returned('a', 'shop/cart', 'shop/cart-i', 0)
  assert.deepEqual(held(), [[1, 2]])
  memory.returned('a', 'shop/cart', 'shop/cart-i', 1)
  assert.deepEqual(held(), [[1, undefined]])
  // With the engine ends what it held.
  memory.told('a', endpoints('shop/cart', 0))
  memory.died('a', false)
  assert.deepEqual(memory.inherit('b'), [endpoints('shop/cart', 0)])
})

test('another engine is given an identity while it is valid and its epoch counts', () => {
  const memory = new EngineMemory()
  memory.told('a', identity(Date.now() + 60_000))
  assert.ok(memory.identity(PRINCIPAL, (epoch) => epoch === 1))
  assert.equal(
    memory.identity(PRINCIPAL, () => false),
    null,
  )
  memory.told('a', identity(Date.now() - 1))
  assert.equal(
    memory.identity(PRINCIPAL, () => true),
    null,
  )
})
