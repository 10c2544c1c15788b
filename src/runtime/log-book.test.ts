import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLogBook, type LogLine } from './log-book.ts'

let time = 0
const line = (text: string, of = 'shop/cart', instance = 'one'): LogLine => ({
  time: time++,
  function: of,
  instance,
  stream: 'stdout',
  text,
})
const texts = (lines: LogLine[]) => lines.map(({ text }) => text)

test('the latest lines are kept, by function and instance, in order of time', () => {
  const book = createLogBook()
  book.append(line('a'))
  book.append(line('b', 'shop/pay', 'two'))
  book.append(line('c', 'shop/cart', 'three'))
  assert.deepEqual(texts(book.recent({})), ['a', 'b', 'c'])
  assert.deepEqual(texts(book.recent({}, 2)), ['b', 'c'])
  assert.deepEqual(texts(book.recent({ function: 'shop/cart' })), ['a', 'c'])
  assert.deepEqual(texts(book.recent({ function: 'shop/cart', instance: 'three' })), ['c'])
  book.forget('shop/cart')
  assert.deepEqual(texts(book.recent({})), ['b'])
})

test('each function keeps a bounded number of lines and bytes', () => {
  const book = createLogBook({ linesPerFunction: 10, bytesPerFunction: 2_000, bytesInAll: 1_000_000 })
  for (let i = 0; i < 1_000; i++) book.append(line(String(i)))
  assert.deepEqual(texts(book.recent({})), [
    '990',
    '991',
    '992',
    '993',
    '994',
    '995',
    '996',
    '997',
    '998',
    '999',
  ])
  book.append(line('x'.repeat(1_500)))
  assert.equal(book.recent({}).length, 4)
  assert.deepEqual(book.counts(), { lines: 1_001, forgottenLines: 997, droppedBytes: 0 })
})

test('all functions together keep a bounded number of bytes; the one that was silent longest loses its lines', () => {
  const book = createLogBook({ linesPerFunction: 10, bytesPerFunction: 10_000, bytesInAll: 1_000 })
  for (const key of ['a', 'b', 'a', 'c', 'd']) book.append(line('x'.repeat(150), key))
  const keys = () => book.recent({}).map((one) => one.function)
  assert.deepEqual(keys(), ['a', 'a', 'c', 'd'])
  book.append(line('x', 'a'))
  assert.deepEqual(keys(), ['a', 'a', 'd', 'a'])
})

test('followers see new lines that match until they leave', () => {
  const book = createLogBook()
  const seen: string[] = []
  book.append(line('before'))
  const leave = book.subscribe({ function: 'shop/cart', instance: 'one' }, ({ text }) => seen.push(text))
  book.append(line('yes'))
  book.append(line('other function', 'shop/pay'))
  book.append(line('other instance', 'shop/cart', 'two'))
  leave()
  book.append(line('after'))
  assert.deepEqual(seen, ['yes'])
})
