// A node that comes back says what it has, and is told what it lacks.

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { ToEngine } from '../../dataplane/engine-messages.ts'
import { NodeState } from '../nodes/node-state.ts'
import { fromWire } from '../nodes/wire-value.ts'
import type { ToNode } from '../proto/mayfly/v1/nodes_pb.js'
import { type TestNode, TestPlane } from './node-testing.ts'

const folder = mkdtempSync(join(tmpdir(), 'mayfly-resume-'))
const gateway = { gateway: true, runsInstances: false, host: '', port: 0 }
let plane: TestPlane

before(async () => {
  plane = await TestPlane.start(folder)
  await plane.apply('cart', 'pay', 'old')
})

after(async () => {
  plane.endNodes()
  await plane.close()
  rmSync(folder, { recursive: true, force: true })
})

test('functions that it has as they are it is not told again; others are, and what is gone is taken back', async () => {
  const name = plane.newName()
  const identity = await plane.join(name, 'gateway')
  const first = plane.attach(name, identity)
  first.hello(gateway)
  for (const key of ['shop/cart', 'shop/pay', 'shop/old'])
    first.engineSays({ type: 'function-wanted', key, host: null })
  await first.heard()
  const { state, contents } = take(first, new NodeState(), new Map())
  assert.deepEqual(state.functions(), ['shop/cart', 'shop/pay', 'shop/old'])
  first.end()
  await first.ended
  await plane.admin.apply({ files: [{ path: '/allow.yaml', text: JSON.stringify(allow('pay')) }] })
  await plane.admin.delete({ kind: 'Service', namespace: 'shop', name: 'old' })

  const second = plane.attach(name, identity)
  const known = { functions: state.functions(), digests: state.digests() }
  second.hello({ ...gateway, ...known, held: [...contents.keys()] })
  await second.order(({ what }) => what.case === 'syncEnd')
  const kept = second.orders.flatMap(({ what }) => (what.case === 'keep' ? what.value.functions : []))
  assert.deepEqual(kept, ['shop/cart'])
  assert.deepEqual(toldOf(second, contents), ['shop/pay'])
  take(second, state, contents)
  assert.deepEqual(state.functions().sort(), ['shop/cart', 'shop/pay'])
  assert.notEqual(state.digests()[1], known.digests[1])

  // One that claims what it cannot know so is told.
  second.end()
  await second.ended
  const third = plane.attach(name, identity)
  third.hello({ ...gateway, functions: ['shop/cart'], digests: ['0'.repeat(32)] })
  await third.order(({ what }) => what.case === 'syncEnd')
  assert.deepEqual(toldOf(third, new Map()).sort(), ['shop/cart', 'shop/pay'])
})

/** What the node holds once it has taken in all that it was told. */
function take(node: TestNode, state: NodeState, contents: Map<string, Uint8Array>) {
  for (const order of node.orders) {
    for (const { hash, bytes } of order.contents) contents.set(hash, bytes)
    const { what } = order
    if (what.case === 'syncBegin') state.beginSync()
    else if (what.case === 'syncEnd') state.endSync()
    else if (what.case === 'keep') state.keep(what.value.functions)
    else if (what.case === 'tell') state.record(read(order, contents)!)
  }
  return { state, contents }
}

function toldOf(node: TestNode, held: ReadonlyMap<string, Uint8Array>): string[] {
  const contents = new Map(held)
  return node.orders.flatMap((order) => {
    for (const { hash, bytes } of order.contents) contents.set(hash, bytes)
    const message = read(order, contents)
    return message?.type === 'functions' ? message.upsert.map(({ key }) => key) : []
  })
}

function read({ what }: ToNode, contents: ReadonlyMap<string, Uint8Array>): ToEngine | null {
  if (what.case !== 'tell') return null
  return fromWire(what.value.message, (hash) => contents.get(hash)) as ToEngine
}

function allow(name: string) {
  return {
    apiVersion: 'security.istio.io/v1',
    kind: 'AuthorizationPolicy',
    metadata: { name: `allow-${name}`, namespace: 'shop' },
    spec: {
      selector: { matchLabels: { 'serving.knative.dev/service': name } },
      rules: [{ to: [{ operation: { methods: ['GET'] } }] }],
    },
  }
}
