import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LONGEST_LEASE_MS } from '../state/quota-counter.ts'
import type { CompiledMesh } from './compile-mesh.ts'
import { IdleSlices } from './idle-slices.ts'
import type { MeshNode } from './mesh-node.ts'

const IDLE_MS = 100
const KEY = 'shop/cart'

/** A node that knows one function, last used at 0. */
function world({ limits = 0, attached = true } = {}) {
  const node = { name: 'n', attached } as MeshNode
  const state = { now: 0, usedAt: 0, runs: false, holds: false, needs: false, known: true }
  const forgotten: string[][] = []
  let asks = true
  const functions = new Map([[KEY, { quotaLimits: Array.from({ length: limits }) }]])
  const idle = new IdleSlices({
    compiled: () => ({ functions }) as unknown as CompiledMesh,
    nodes: { all: [node], tenants: { runs: () => state.runs } as never },
    slices: {
      idle: (_node, since) => (state.known && state.usedAt <= since ? [[KEY, state.usedAt]] : []),
      forget: (_node, keys) => {
        state.known = false
        forgotten.push(keys)
      },
      doesNotAsk: () => {
        asks = false
      },
    },
    controllers: {
      letGo: (_node, _key, parted) => {
        if (state.needs) return false
        parted()
        return !state.holds
      },
    },
    now: () => state.now,
    idleMs: IDLE_MS,
  })
  const lookAt = (now: number) => {
    state.now = now
    idle.look()
    return forgotten.length > 0
  }
  return { state, lookAt, idle, asks: () => asks }
}

test('a function is forgotten when its time is over, and once', () => {
  const { lookAt, idle } = world()
  assert.deepEqual([99, 100, 150].map(lookAt), [false, true, true])
  assert.equal(idle.counters.forgotten, 1)
})

test('a use in between begins the time anew', () => {
  const { state, lookAt } = world()
  state.usedAt = 60
  assert.deepEqual([100, 159, 160].map(lookAt), [false, false, true])
})

test('it stays while instances run there or requests wait', () => {
  for (const reason of ['runs', 'needs'] as const) {
    const { state, lookAt, asks } = world()
    state[reason] = true
    assert.equal(lookAt(500), false, reason)
    assert.equal(asks(), true, reason)
    state[reason] = false
    assert.equal(lookAt(501), true, reason)
  }
})

test('engines first give back what they hold of instances elsewhere', () => {
  const { state, lookAt, asks } = world()
  state.holds = true
  assert.deepEqual([lookAt(100), asks()], [false, false])
  state.holds = false
  assert.equal(lookAt(110), true)
})

test('leases of rate limits are settled before', () => {
  const { lookAt } = world({ limits: 1 })
  assert.equal(lookAt(LONGEST_LEASE_MS), false)
  assert.equal(lookAt(LONGEST_LEASE_MS + 1_000), true)
})

test('a node out of reach is asked nothing: it goes on with what it has', () => {
  const { lookAt } = world({ attached: false })
  assert.equal(lookAt(10_000), false)
})
