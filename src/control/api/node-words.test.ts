// A node in wrong hands: what it may say of others, and what it gets to see.

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, test } from 'node:test'
import { DOMAIN, type Said, type TestNode, TestPlane } from './node-testing.ts'

const folder = mkdtempSync(join(tmpdir(), 'mayfly-nodes-'))
let plane: TestPlane

before(async () => {
  plane = await TestPlane.start(folder)
  await plane.apply('pay', 'cart')
})

afterEach(() => plane.endNodes())

after(async () => {
  await plane.close()
  rmSync(folder, { recursive: true, force: true })
})

test('engines of another node are not its engines', async () => {
  const [mine, other] = [await plane.attached(), await plane.attached()]
  mine.say({ case: 'engineUp', value: { engine: `${other.name}-engine-0`, pid: 5 } } as Said)
  assert.match((await mine.ended)!.message, /no engine of node/)
  const third = await plane.attached()
  third.say({ case: 'engineEnded', value: { engine: `${other.name}-engine-0`, how: 'x' } } as Said)
  third.engineSays({ type: 'function-wanted', key: 'shop/pay', host: null }, `${other.name}-engine-0`)
  await third.heard()
  assert.ok(plane.registry.node(other.name)!.has(`${other.name}-engine-0`))
  assert.ok(!third.orders.some(({ what }) => JSON.stringify(what.value).includes('shop/pay')))
})

test('instances that nobody asked it for are not served', async () => {
  const nodes = [await plane.attached(), await plane.attached()]
  const { node, set } = await plane.orderedTo(nodes, 'shop/cart')
  const other = nodes.find((one) => one !== node)!
  // Of a set that the other node has, unasked; of one that there is not; of a function that there is not.
  other.instance(set, 'fake-1', 'ready')
  other.instance('shop/cart@cart-00009', 'fake-2', 'ready')
  other.instance('shop/none@none-00001', 'fake-3', 'ready')
  await other.heard()
  assert.deepEqual(plane.ready('shop/cart'), [])
  node.instance(set, 'real-1', 'starting')
  node.instance(set, 'real-1', 'ready')
  node.instance(set, 'more-1', 'ready')
  await node.heard()
  assert.deepEqual(plane.ready('shop/cart'), ['real-1'])
  assert.equal(plane.refused(node), 1)
  // One that is not known may end.
  node.instance(set, 'more-1', 'stopping')
  await node.order(({ what }) => what.case === 'instanceDrained' && what.value.id === 'more-1')
  // A set that nobody asked to be drained is not gone, and so it is heard what becomes of its instances.
  node.say({ case: 'setDrained', value: { set } } as Said)
  node.say({ case: 'instanceGone', value: { set, id: 'real-1', why: 'it crashed' } } as Said)
  await node.heard()
  assert.deepEqual(plane.ready('shop/cart'), [])
})

test("another node's instance does not become its own", async () => {
  await plane.apply('two')
  const [first, second] = [await plane.attached(), await plane.attached()]
  await plane.demand('shop/two', 2)
  const [set] = await Promise.all([first.asked('shop/two'), second.asked('shop/two')])
  first.instance(set, 'two-1', 'ready')
  await first.heard()
  second.instance(set, 'two-1', 'ready')
  await second.heard()
  assert.equal(plane.mesh.hostOf('two-1'), first.name)
  assert.deepEqual([plane.refused(first), plane.refused(second)], [0, 1])
  second.instance(set, 'two-2', 'ready')
  await second.heard()
  assert.deepEqual(plane.ready('shop/two').toSorted(), ['two-1', 'two-2'])
})

test('instances that it brings along are not taken over, where it had none', async () => {
  const name = plane.newName()
  const node = plane.attach(name, await plane.join(name))
  const instance = {
    set: 'shop/pay@pay-00001',
    id: 'brought-1',
    state: 'ready',
    host: '127.0.0.1',
    port: 9,
    startedAt: 1,
    readyAfterMs: 1,
  }
  node.hello({ instances: [instance] as never, functions: ['shop/pay'] })
  await node.order(({ what }) => what.case === 'syncEnd')
  await node.heard()
  assert.ok(!plane.ready('shop/pay').includes('brought-1'))
  assert.equal(plane.refused(node), 1)
})

test('identities are given for what runs on it, and for nothing else', async () => {
  await plane.apply('own')
  const nodes = [await plane.attached(), await plane.attached()]
  const { node, set } = await plane.orderedTo(nodes, 'shop/own')
  const other = nodes.find((one) => one !== node)!
  const { principal } = plane.mesh.compiled.functions.get('shop/own')!.spec
  node.instance(set, 'own-1', 'starting')
  await node.heard()
  const answer = async (asking: TestNode, wanted: string) => {
    asking.engineSays({ type: 'identity-wanted', principal: wanted })
    const { what } = await asking.order(
      (order) => order.what.case === 'tellEngine' && isAbout(order.what.value.message, wanted),
    )
    return JSON.parse((what.value as { message: string }).message).upsert.length
  }
  const isAbout = (text: string, wanted: string) => {
    const { type, upsert, remove } = JSON.parse(text)
    return (
      type === 'identities' &&
      (remove.includes(wanted) || upsert.some((one: { principal: string }) => one.principal === wanted))
    )
  }
  // Where a function has its own address it calls from there.
  const isHome = other.orders.some(
    ({ what }) => what.case === 'openEgress' && what.value.function === 'shop/own',
  )
  assert.equal(await answer(node, principal), 1)
  assert.equal(await answer(other, principal), isHome ? 1 : 0)
  for (const none of [
    `${DOMAIN}/mayfly/node/n1`,
    `${DOMAIN}/mayfly/client/admin`,
    `${DOMAIN}/ns/shop/sa/none`,
  ])
    assert.equal(await answer(node, none), 0, none)
})

test('odd messages are refused and counted, and change nothing', async () => {
  const node = await plane.attached()
  const odd = [
    { type: 'demand', reports: [{ key: 'shop/pay', waiting: 1e15, inFlight: 0, begun: 0 }] },
    { type: 'demand', reports: [{ key: 'shop/pay', waiting: -1, inFlight: 0, begun: 0 }] },
    { type: 'demand', reports: [{ key: 'shop/pay', waiting: '1', inFlight: 0, begun: 0 }] },
    { type: 'demand', reports: 'all' },
    { type: 'returned', key: 'shop/pay', endpoint: 'x', slots: 0.5 },
    {
      type: 'quota',
      request: { serial: 1, roundTripMs: 1, settlements: [], asks: [{ limit: 'x', key: 'y' }] },
    },
    { type: 'quota', request: null },
    { type: 'user-state', updates: [{ id: 'x' }] },
    { type: 'identity-wanted', principal: 'x'.repeat(5_000) },
    { type: 'listening', id: 'gateway', port: 1 },
    { type: 'nonsense' },
    ['demand'],
    null,
  ]
  for (const message of odd) node.engineSays(message as object)
  await node.heard()
  assert.equal(plane.refused(node), odd.length)
})

test('demand counts for functions that the node knows', async () => {
  const node = await plane.attached()
  node.engineSays({ type: 'demand', reports: [{ key: 'shop/idle', waiting: 5, inFlight: 0, begun: 5 }] })
  await plane.apply('idle')
  node.engineSays({ type: 'demand', reports: [{ key: 'shop/idle', waiting: 5, inFlight: 0, begun: 5 }] })
  await node.heard()
  assert.equal(plane.mesh.controller('shop/idle')?.requests ?? 0, 0)
  // By their hosts functions are found by gateways alone.
  node.engineSays({ type: 'function-wanted', key: null, host: 'idle.shop.localhost' })
  await node.heard()
  assert.ok(!node.orders.some(({ what }) => what.case === 'tell' && what.value.message.includes('shop/idle')))
})

test('what is no JSON ends the stream', async () => {
  const node = await plane.attached()
  node.say({ case: 'engineSays', value: { engine: `${node.name}-engine-0`, message: '{' } } as Said)
  assert.notEqual((await node.ended)?.code, undefined)
})
