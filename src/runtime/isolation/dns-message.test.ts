import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { answerQuery } from './dns-message.ts'

const ADDRESS = Uint8Array.of(192, 0, 0, 2)

function query(name: string, { type = 1, qclass = 1, flags = 0x0100, id = 0x1234 } = {}): Buffer {
  const labels = name === '' ? [] : name.split('.')
  const question = labels.flatMap((label) => [label.length, ...Buffer.from(label, 'latin1')])
  const head = Buffer.alloc(12)
  head.writeUInt16BE(id, 0)
  head.writeUInt16BE(flags, 2)
  head.writeUInt16BE(1, 4)
  return Buffer.concat([head, Buffer.from([...question, 0, 0, type, 0, qclass])])
}

function outcome(message: Buffer | null) {
  assert.ok(message)
  return {
    id: message.readUInt16BE(0),
    code: message[3]! & 15,
    isResponse: (message[2]! & 0x80) !== 0,
    answers: message.readUInt16BE(6),
    address: message.readUInt16BE(6) === 1 ? [...message.subarray(-4)].join('.') : null,
  }
}

const FOUND = { id: 0x1234, code: 0, isResponse: true, answers: 1, address: '192.0.0.2' }
const EMPTY = { ...FOUND, answers: 0, address: null }
const UNKNOWN = { ...EMPTY, code: 3 }

test('every name of a function has the address of the sidecar, however it is written', () => {
  for (const name of [
    'cart',
    'cart.shop',
    'Cart.SHOP',
    'cart.shop.svc',
    'cart.shop.svc.cluster.local',
    'a-1.b-2',
  ])
    assert.deepEqual(outcome(answerQuery(query(name), ADDRESS)), FOUND, name)
})

test('nothing else has one', () => {
  for (const name of [
    '',
    'cart.shop.pod',
    'www.example.com',
    'cart.shop.svc.cluster',
    'cart.shop.svc.cluster.local.example',
    'x.cart.shop.svc.cluster.local',
    '_http._tcp.cart.shop',
    'c_rt',
    '-cart',
    'cart-',
  ])
    assert.deepEqual(outcome(answerQuery(query(name), ADDRESS)), UNKNOWN, name)
})

test('a name of a function has no other records, which is not the same as no such name', () => {
  for (const type of [28, 15, 16, 33, 65, 255])
    assert.deepEqual(outcome(answerQuery(query('cart.shop', { type }), ADDRESS)), EMPTY, String(type))
  assert.deepEqual(outcome(answerQuery(query('cart.shop', { qclass: 3 }), ADDRESS)), UNKNOWN)
})

test('an answer repeats the question, bit by bit, and says for how long it holds', () => {
  const asked = query('CaRt.shop')
  const answer = answerQuery(asked, ADDRESS)!
  assert.deepEqual(answer.subarray(12, asked.length), asked.subarray(12))
  assert.deepEqual(
    [...answer.subarray(asked.length)],
    [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4, 192, 0, 0, 2],
  )
})

test('other operations, several questions and broken names are refused by their codes', () => {
  assert.equal(outcome(answerQuery(query('cart', { flags: 0x2800 }), ADDRESS)).code, 4)
  const several = query('cart')
  several.writeUInt16BE(2, 4)
  assert.equal(outcome(answerQuery(several, ADDRESS)).code, 1)
  const pointer = Buffer.concat([query('cart').subarray(0, 12), Buffer.from([0xc0, 12, 0, 1, 0, 1])])
  assert.equal(outcome(answerQuery(pointer, ADDRESS)).code, 1)
  assert.equal(outcome(answerQuery(query('cart').subarray(0, -1), ADDRESS)).code, 1)
})

test('a response is not answered: two servers would talk for ever', () => {
  assert.equal(answerQuery(query('cart', { flags: 0x8180 }), ADDRESS), null)
  assert.equal(answerQuery(answerQuery(query('cart'), ADDRESS)!, ADDRESS), null)
})

test('whatever comes, the answer is a response that is no longer than 16 bytes more', () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 600 }),
    fc
      .tuple(fc.uint8Array({ minLength: 12, maxLength: 12 }), fc.domain())
      .map(([head, name]) => Buffer.concat([head, query(name).subarray(12)])),
  )
  fc.assert(
    fc.property(bytes, (message) => {
      const answer = answerQuery(message, ADDRESS)
      if (answer === null) return
      assert.ok(answer.length <= message.length + 16)
      assert.equal(answer[2]! & 0x80, 0x80)
      assert.deepEqual(answer.subarray(0, 2), Buffer.from(message.subarray(0, 2)))
    }),
  )
})
