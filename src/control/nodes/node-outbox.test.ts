import assert from 'node:assert/strict'
import { test } from 'node:test'
import { NodeOutbox, type NodeStream, type Parcel } from './node-outbox.ts'

const drain = (set: string) => ({ case: 'drainSet' as const, value: { set } })
const tell = (message: string) => ({ case: 'tell' as const, value: { message, once: false } })

function world(held: string[] = []) {
  const sent: (readonly Parcel[])[] = []
  const stream: NodeStream = { send: (parcels) => sent.push(parcels), end: () => {} }
  const outbox = new NodeOutbox()
  outbox.open(stream, held)
  const names = () => sent.map((parcels) => parcels.map(({ order }) => (order.value as { set: string }).set))
  return { outbox, sent, names }
}

const turn = () => new Promise((resolve) => setImmediate(resolve))

test('what one event gives rise to goes in one message, in its order', async () => {
  const { outbox, names } = world()
  outbox.send(drain('a'))
  outbox.send(drain('b'))
  assert.deepEqual(names(), [])
  await turn()
  assert.deepEqual(names(), [['a', 'b']])
  outbox.send(drain('c'))
  await turn()
  assert.deepEqual(names(), [['a', 'b'], ['c']])
})

test('many orders, or long ones, go in several messages', async () => {
  const { outbox, sent } = world()
  for (let i = 0; i < 600; i++) outbox.send(drain(String(i)))
  await turn()
  assert.deepEqual(
    sent.map(({ length }) => length),
    [256, 256, 88],
  )
  for (let i = 0; i < 3; i++) outbox.sendMessage(tell, { text: 'x'.repeat(200_000) })
  await turn()
  assert.deepEqual(
    sent.slice(3).map(({ length }) => length),
    [2, 1],
  )
})

test('a content goes with the first order that refers to it, and to a node that holds it not at all', async () => {
  const { outbox, sent } = world()
  const content = Buffer.alloc(1_000, 7)
  outbox.sendMessage(tell, { content })
  outbox.sendMessage(tell, { content })
  await turn()
  assert.deepEqual(
    sent[0]!.map(({ contents }) => contents.length),
    [1, 0],
  )
  const { hash } = sent[0]![0]!.contents[0]!
  const other = world([hash])
  other.outbox.sendMessage(tell, { content })
  await turn()
  assert.deepEqual(other.sent[0]![0]!.contents, [])
})

test('what waits goes before the end of its stream, and to no other one', async () => {
  const { outbox, names } = world()
  outbox.send(drain('last words'))
  outbox.close()
  assert.deepEqual(names(), [['last words']])
  outbox.send(drain('to nobody'))
  const other = world()
  outbox.open({ send: (parcels) => other.sent.push(parcels), end: () => {} }, [])
  outbox.send(drain('a'))
  outbox.open({ send: (parcels) => other.sent.push(parcels), end: () => {} }, [])
  outbox.send(drain('b'))
  await turn()
  assert.deepEqual(other.names(), [['b']])
  assert.deepEqual(names(), [['last words']])
})
