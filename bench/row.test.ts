import assert from 'node:assert/strict'
import { test } from 'node:test'
import { distribution, measured, table, unmeasured } from './row.ts'

test('a row compares its median with the baseline of the same run', () => {
  const row = measured({
    name: 'forward',
    unit: 'us',
    rounds: [30, 34, 32],
    baseline: { name: 'nginx', rounds: [15, 17, 16] },
    goals: [{ of: 'ratio', atMost: 2 }],
  })
  assert.equal(row.median, 32)
  assert.equal(row.ratio, 2)
  assert.equal(row.met, true)
  assert.equal(row.goal, 'ratio <= 2')
})

test('one missed goal of several makes the row missed, and the table says so', () => {
  const { rounds, p99s } = distribution([[1, 2, 30]])
  const goals = [
    { of: 'median', atMost: 5 },
    { of: 'p99', atMost: 15 },
  ] as const
  const row = measured({ name: 'sandbox', unit: 'us', rounds, p99s, goals })
  assert.equal(row.median, 2)
  assert.equal(row.p99, 30)
  assert.equal(row.met, false)
  assert.match(table([row]), /MISSED/)
})

test('a goal on a figure that the row lacks is not met', () => {
  assert.equal(
    measured({ name: 'x', unit: 'us', rounds: [1], goals: [{ of: 'ratio', atMost: 2 }] }).met,
    false,
  )
})

test('what was not measured shows no number and is not met', () => {
  const row = unmeasured('forward', 'us', [{ of: 'ratio', atMost: 2 }], 'no wrk')
  assert.equal(row.median, null)
  assert.equal(row.met, false)
  assert.match(table([row]), /NOT MEASURED +not measured: no wrk/)
})
