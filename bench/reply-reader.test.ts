import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ReplyReader } from './reply-reader.ts'

const body = Buffer.from('0123456789')
const reply = (head: string, text = body.toString()) => Buffer.from(`HTTP/1.1 ${head}\r\nX: y\r\n\r\n${text}`)
const right = reply('200 OK\r\nContent-Length: 10')

test('the same replies are complete however they are cut', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: right.length - 1 }),
      fc.integer({ min: 1, max: 5 }),
      (cut, replies) => {
        const reader = new ReplyReader(body)
        for (let n = 0; n < replies; n++) {
          assert.equal(reader.read(right.subarray(0, cut)), 'more')
          assert.equal(reader.read(right.subarray(cut)), 'complete')
        }
      },
    ),
  )
})

test('a reply that is not the expected one is named', () => {
  const state = (bytes: Buffer) => new ReplyReader(body).read(bytes)
  assert.equal(state(reply('503 Unavailable\r\nContent-Length: 10')), 'status 503')
  assert.equal(state(reply('200 OK\r\nContent-Length: 11')), 'content-length 11')
  assert.equal(state(reply('200 OK\r\nTransfer-Encoding: chunked')), 'content-length undefined')
  assert.equal(state(reply('200 OK\r\nContent-Length: 10', '0123456780')), 'wrong body')
  assert.equal(state(reply('200 OK\r\nContent-Length: 10', '01234567890')), 'body too long')
  assert.equal(state(Buffer.alloc(20_000, 65)), 'head too long')
})
