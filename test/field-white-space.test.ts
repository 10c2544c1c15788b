// White space around a field's value is not the value's: it does not go on, since servers differ in what they strip.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DIRECTION_INGRESS } from '../src/sidecar/layout/record.ts'
import { factsOf, NOW, openPolicy, RANDOM, realSidecars } from './sidecar-phases.ts'

const sidecars = await realSidecars()
const policy = openPolicy()

function forwarded(fields: string): string {
  const head = Buffer.from(`GET / HTTP/1.1\r\n${fields}\r\n`, 'latin1')
  const opened = sidecars.open(head, 0, head.length, factsOf(DIRECTION_INGRESS), NOW, RANDOM)
  assert.equal(opened.kind, 'opened')
  const decision = sidecars.decide(policy, 'shop/cart', 8080)
  assert.ok(decision.kind === 'forward')
  return decision.head.toString('latin1')
}

test('lines with other white space than one space before the value are written anew', () => {
  const odd =
    'host:\tcart\t\r\na: 1\r\nb:  2\r\nc: 3 \r\nd:4\r\ne: \t\r\nf: \r\ng:\r\nh:\t \t5 6\t \r\ni: 7\r\n'
  assert.ok(
    forwarded(odd).startsWith(
      'GET / HTTP/1.1\r\nhost: cart\r\na: 1\r\nb: 2\r\nc: 3\r\nd:4\r\ne: \r\nf: \r\ng:\r\nh: 5 6\r\ni: 7\r\nx-forwarded-for:',
    ),
  )
})

test('a dropped line between odd ones leaves nothing behind', () => {
  const odd = 'host: cart\r\na:\t1\r\nkeep-alive:\t1\t\r\nb: 2\t\r\nx-envoy-a: 1 \r\nc: 3\r\n'
  assert.ok(
    forwarded(odd).startsWith('GET / HTTP/1.1\r\nhost: cart\r\na: 1\r\nb: 2\r\nc: 3\r\nx-forwarded-for:'),
  )
})
