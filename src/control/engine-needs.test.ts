import assert from 'node:assert/strict'
import { test } from 'node:test'
import { EngineNeeds } from './engine-needs.ts'

test('needs are what engines reported last', () => {
  const needs = new EngineNeeds()
  needs.reported('a', 3)
  needs.reported('b', 2)
  assert.deepEqual([needs.total, needs.contending], [5, true])
  needs.reported('a', 0)
  assert.deepEqual([needs.total, needs.contending], [2, false])
  needs.delete('b')
  assert.equal(needs.total, 0)
})

test('a request that is expected counts until its engine reports, or has had the time to', () => {
  const needs = new EngineNeeds()
  needs.reported('a', 4)
  needs.expect('a', 0)
  needs.expect('b', 0)
  needs.expect('c', 0)
  assert.equal(needs.total, 6)
  needs.reported('b', 2)
  needs.forgetExpected(2_999)
  assert.equal(needs.total, 7)
  needs.forgetExpected(3_000)
  assert.deepEqual([...needs.byEngine], [['b', 2]])
})
