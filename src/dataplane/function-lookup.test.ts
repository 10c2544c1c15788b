import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { FunctionSlice } from './engine-messages.ts'
import { FunctionLookup, type Wanted } from './function-lookup.ts'
import { FunctionTable } from './function-table.ts'

const HOST = 'cart.shop.localhost'

function world() {
  const asked: Wanted[] = []
  const table = new FunctionTable({ endpoints: assert.fail, circuits: () => assert.fail() })
  const lookup = new FunctionLookup(table, { send: (message) => asked.push(message), now: () => 0 })
  return { lookup, asked, byHost: () => lookup.byHost(HOST, 'localhost') }
}

const slice = { key: 'shop/cart', gatewayHosts: [HOST] } as FunctionSlice

test('control is asked once, and once more where further requests wait for the answer', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const { lookup, asked, byHost } = world()
  const first = byHost()
  t.mock.timers.tick(50)
  assert.equal(asked.length, 1)
  const others = [byHost(), byHost(), byHost()]
  assert.equal(asked.length, 1)
  t.mock.timers.tick(10)
  t.mock.timers.tick(100)
  assert.deepEqual(asked, [
    { type: 'function-wanted', key: null, host: HOST },
    { type: 'function-wanted', key: null, host: HOST },
  ])
  lookup.learned(slice)
  assert.deepEqual(await Promise.all([first, ...others]), ['said', 'said', 'said', 'said'])
})

test('an answer that comes soon leaves nothing to ask', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const { lookup, asked, byHost } = world()
  const both = [byHost(), byHost()]
  lookup.learned(slice)
  t.mock.timers.tick(10)
  assert.equal(asked.length, 1)
  assert.deepEqual(await Promise.all(both), ['said', 'said'])
})

test('without an answer requests are given up, and refused while the function is unknown', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] })
  const { lookup, byHost } = world()
  const first = byHost()
  t.mock.timers.tick(2_000)
  assert.equal(await first, 'silent')
  assert.equal(lookup.counters.unanswered, 1)
})
