// What goes over nodes' streams until a request that found nothing running can be served.

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { ToEngine } from '../../dataplane/engine-messages.ts'
import { ordersOf } from '../nodes/node-message.ts'
import type { ToNode } from '../proto/mayfly/v1/nodes_pb.js'
import { type Said, type TestNode, TestPlane } from './node-testing.ts'

const folder = mkdtempSync(join(tmpdir(), 'mayfly-cold-start-'))
let plane: TestPlane
/** The only one that runs instances. */
let node: TestNode
let serial = 0

before(async () => {
  plane = await TestPlane.start(folder)
  node = await plane.attached()
})

after(async () => {
  plane.endNodes()
  await plane.close()
  rmSync(folder, { recursive: true, force: true })
})

test('takes one message to the node that starts it and one to the gateway, slices included', async () => {
  const { gateway, name, key } = await world()
  gateway.engineSays(asks(name))
  const set = await node.asked(key)
  assert.deepEqual(said(node, key), [['functions', 'setDesired']])
  node.instance(set, `${name}-1`, 'starting')
  node.instance(set, `${name}-1`, 'ready')
  await gateway.order((order) => messageOf(order)?.type === 'endpoints')
  assert.deepEqual(said(gateway, key), [['functions', 'endpoints']])
  assert.deepEqual(said(node, key), [['functions', 'setDesired']])
  // From zero again, now that both know it.
  node.instance(set, `${name}-1`, 'stopping')
  node.say({ case: 'instanceGone', value: { set, id: `${name}-1`, why: 'it was not needed' } } as Said)
  await node.heard()
  const before = said(gateway, key).length
  gateway.engineSays({ type: 'demand', reports: [{ key, waiting: 1, inFlight: 0, begun: 1 }] })
  await gateway.heard()
  node.instance(set, `${name}-2`, 'starting')
  node.instance(set, `${name}-2`, 'ready')
  await gateway.order((order) => endpointsIn(order).includes(`${name}-2`))
  assert.deepEqual(said(gateway, key).slice(before), [['endpoints']])
})

test('tells the gateway at once of a function for which more requests wait, so that it says how many', async () => {
  const { gateway, name, key } = await world()
  gateway.engineSays(asks(name))
  await node.asked(key)
  assert.deepEqual(said(gateway, key), [])
  gateway.engineSays(asks(name))
  await gateway.order((order) => messageOf(order)?.type === 'functions')
  gateway.engineSays({ type: 'demand', reports: [{ key, waiting: 3, inFlight: 0, begun: 3 }] })
  await node.order(({ what }) => what.case === 'setDesired' && what.value.count === 3)
})

test('tells the gateway in time where the start takes long', async () => {
  const { gateway, name, key } = await world()
  gateway.engineSays(asks(name))
  await node.asked(key)
  await gateway.order((order) => messageOf(order)?.type === 'functions')
  assert.deepEqual(said(gateway, key), [['functions']])
})

test('tells the gateway together that a function fails and what function it is', async () => {
  const { gateway, name, key } = await world()
  gateway.engineSays(asks(name))
  const set = await node.asked(key)
  node.say({ case: 'startFailed', value: { set, reason: 'it crashed', retryAt: Date.now() + 9_000 } } as Said)
  await gateway.order((order) => messageOf(order)?.type === 'failing')
  assert.deepEqual(said(gateway, key), [['functions', 'failing']])
  // Who comes now is told at once.
  const other = await plane.attached('gateway')
  other.engineSays(asks(name))
  await other.order((order) => messageOf(order)?.type === 'functions')
})

test('answers that there is no such function when it is deleted meanwhile', async () => {
  const { gateway, name, key } = await world()
  gateway.engineSays(asks(name))
  await node.asked(key)
  await plane.admin.delete({ kind: 'Service', namespace: 'shop', name })
  const absent = await gateway.order((order) => messageOf(order)?.type === 'function-absent')
  assert.match(JSON.stringify(messageOf(absent)), new RegExp(`"host":"${hostOf(name)}"`))
})

test('starts nothing for a request that routes may lead elsewhere, nor for the call of a function', async () => {
  const { gateway, key } = await world()
  gateway.engineSays({ type: 'function-wanted', key, host: null })
  await gateway.order((order) => messageOf(order)?.type === 'functions')
  const other = await world()
  const route = {
    apiVersion: 'networking.istio.io/v1',
    kind: 'VirtualService',
    metadata: { name: 'r', namespace: 'shop' },
    spec: { hosts: [other.name], http: [{ route: [{ destination: { host: other.name } }] }] },
  }
  await plane.admin.apply({ files: [{ path: '/route.yaml', text: JSON.stringify(route) }] })
  other.gateway.engineSays(asks(other.name))
  await other.gateway.order((order) => messageOf(order)?.type === 'functions')
  await Promise.all([node.heard(), other.gateway.heard()])
  assert.deepEqual([...said(node, key), ...said(node, other.key)], [])
})

/** A function of which nobody has heard, and a gateway of its own. */
async function world() {
  const name = `fn-${++serial}`
  await plane.apply(name)
  const gateway = await plane.attached('gateway')
  return { gateway, name, key: `shop/${name}` }
}

function hostOf(name: string): string {
  return `${name}.shop.${plane.mesh.compiled.config.domain}`
}

function asks(name: string) {
  return { type: 'function-wanted', key: null, host: hostOf(name) }
}

/** The messages that a node was sent about a function, each by the kinds of what it says. */
function said(node: TestNode, key: string): string[][] {
  const about = (order: ToNode) => JSON.stringify([messageOf(order), order.what.value]).includes(key)
  return node.messages
    .filter((message) => ordersOf(message).some(about))
    .map((message) => ordersOf(message).map((order) => messageOf(order)?.type ?? String(order.what.case)))
}

function messageOf({ what }: ToNode): ToEngine | null {
  return what.case === 'tell' || what.case === 'tellEngine'
    ? (JSON.parse(what.value.message) as ToEngine)
    : null
}

function endpointsIn(order: ToNode): string[] {
  const message = messageOf(order)
  return message?.type === 'endpoints' ? message.endpoints.map(({ id }) => id) : []
}
