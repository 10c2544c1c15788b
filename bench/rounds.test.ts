import assert from 'node:assert/strict'
import { test } from 'node:test'
import { interleaved } from './rounds.ts'

test('subjects take turns, every second round backwards', async () => {
  const order: string[] = []
  const results = await interleaved(2, ['a', 'b'], (subject, round) => {
    order.push(`${subject}${round}`)
    return round
  })
  assert.deepEqual(order, ['a0', 'b0', 'b1', 'a1'])
  assert.deepEqual(results.get('b'), [0, 1])
})
