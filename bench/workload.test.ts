import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HEAD_BYTES, HEAD_FIELDS, REPLY_BODY, RULES, requestHead } from './workload.ts'

test('the head has its size and its fields for any authority', () => {
  for (const authority of ['a.b', 'api.bench.localhost:40123']) {
    const head = requestHead(authority)
    assert.equal(Buffer.byteLength(head), HEAD_BYTES)
    assert.equal(head.split('\r\n').length, 1 + HEAD_FIELDS + 2)
    assert.match(head, new RegExp(`\\r\\nhost: ${authority}\\r\\n`))
  }
  assert.throws(() => requestHead('a'.repeat(600)), /too long/)
})

test('ten rules, and a reply of 1 KiB', () => {
  assert.equal(RULES.length, 10)
  assert.equal(REPLY_BODY.length, 1024)
})
