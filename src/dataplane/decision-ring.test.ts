import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { type DecisionRecord, DecisionRing } from './decision-ring.ts'

const stage = (name: string, verdicts: number[]) => ({
  function: name,
  policyHash: `hash of ${name}`,
  direction: verdicts.length % 3,
  verdicts: Buffer.from(verdicts),
})

const record = (stages: DecisionRecord['stages']): DecisionRecord => ({
  requestId: randomUUID(),
  time: 1_764_000_000_123,
  durationMs: 1.5,
  status: 403,
  stages,
})

test('a record is found as it was added', () => {
  const ring = new DecisionRing(4)
  const added = [
    record([]),
    record([stage('a/b', [3, 0, 1, 0])]),
    record([stage('a/b', []), stage('c/d', [3, 1, 255, 255])]),
  ]
  for (const one of added) ring.add(one)
  for (const one of added) assert.deepEqual(ring.findAll(one.requestId), [one])
  assert.deepEqual(ring.findAll(randomUUID()), [])
})

test('the oldest record makes room for the newest', () => {
  const ring = new DecisionRing(2)
  const added = [record([]), record([]), record([])]
  for (const one of added) ring.add(one)
  assert.deepEqual(
    added.map((one) => ring.findAll(one.requestId).length > 0),
    [false, true, true],
  )
})

test('a request without an id is not kept, and none is found by half an id', () => {
  const ring = new DecisionRing(2)
  ring.add({ ...record([]), requestId: '' })
  assert.deepEqual(ring.findAll(''), [])
  const kept = record([])
  ring.add(kept)
  assert.deepEqual(ring.findAll(kept.requestId.slice(1)), [])
})
