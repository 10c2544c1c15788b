import assert from 'node:assert/strict'
import { test } from 'node:test'
import { create } from '@bufbuild/protobuf'
import type { NodeEvents } from '../mesh-node.ts'
import { FromNodeSchema, type Hello, HelloSchema } from '../proto/mayfly/v1/nodes_pb.js'
import type { NodeStream, Order } from './node-outbox.ts'
import { RemoteNode } from './remote-node.ts'

const ENDPOINTS = JSON.stringify({
  type: 'endpoints',
  key: 'shop/cart',
  external: false,
  endpoints: [{ id: 'cart-1', host: '127.0.0.1', port: 80, slots: 2 }],
})

function hello(...engines: string[]): Hello {
  return create(HelloSchema, {
    runsInstances: true,
    engines: engines.map((engine) => ({ engine, pid: 1, endpoints: [ENDPOINTS] })),
  })
}

/** A node with engine n-0, what it makes of it, and what it was ordered. */
function attached() {
  const happened: string[] = []
  const orders: Order[] = []
  const events: NodeEvents = {
    state: () => [],
    started: () => [],
    found: (engine, endpoints) => happened.push(`found ${engine} with ${endpoints.length}`),
    message: () => {},
    ended: (engine) => happened.push(`ended ${engine}`),
    died: (engine) => happened.push(`died ${engine}`),
  }
  const stream: NodeStream = {
    send: (parcels) => orders.push(...parcels.map(({ order }) => order)),
    end: () => {},
  }
  const node = new RemoteNode('n', hello('n-0'), events, () => 0)
  node.claim()
  node.attach(stream, hello('n-0'))
  happened.length = 0
  const questions = () => orders.flatMap((order) => (order.case === 'ask' ? [order.value] : []))
  return { node, stream, happened, questions }
}

function ended(engine: string) {
  return create(FromNodeSchema, { what: { case: 'engineEnded', value: { engine, how: 'killed' } } })
}

test('what a new engine took over while cut off is its own before that of the dead one is free', () => {
  const { node, stream, happened } = attached()
  node.detach(stream)
  node.attach(stream, hello('n-1'))
  assert.deepEqual(happened, ['found n-1 with 1', 'died n-0'])
})

test('what a dead engine held is free when its node has said that nobody takes it over', async () => {
  const { node, happened, questions } = attached()
  node.receive(ended('n-0'))
  assert.deepEqual(happened, ['ended n-0'])
  await new Promise(setImmediate)
  assert.deepEqual(JSON.parse(questions()[0]!.question!), { kind: 'engine-ended', engine: 'n-0' })
  assert.deepEqual(node.ended(), ['n-0'])
  const answer = { id: questions()[0]!.id!, value: 'true' }
  node.receive(create(FromNodeSchema, { what: { case: 'answer', value: answer } }))
  await new Promise(setImmediate)
  assert.deepEqual(happened, ['ended n-0', 'died n-0'])
})

test('where it did not say so before it was cut off, its next words are waited for', async () => {
  const { node, stream, happened } = attached()
  node.receive(ended('n-0'))
  node.detach(stream)
  await new Promise(setImmediate)
  assert.deepEqual(happened, ['ended n-0'])
  node.attach(stream, hello('n-1'))
  assert.deepEqual(happened, ['ended n-0', 'found n-1 with 1', 'died n-0'])
})

test('what a dead engine has left is its own until its node, which tells of it once more, has said that it is free', async () => {
  const { node, stream, happened, questions } = attached()
  node.receive(ended('n-0'))
  node.detach(stream)
  node.attach(stream, hello('n-0'))
  node.receive(ended('n-0'))
  await new Promise(setImmediate)
  assert.deepEqual(happened, ['ended n-0', 'found n-0 with 1', 'ended n-0'])
  const answer = { id: questions().at(-1)!.id!, value: 'true' }
  node.receive(create(FromNodeSchema, { what: { case: 'answer', value: answer } }))
  await new Promise(setImmediate)
  assert.equal(happened.at(-1), 'died n-0')
})
