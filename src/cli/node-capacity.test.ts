import assert from 'node:assert/strict'
import { availableParallelism, totalmem } from 'node:os'
import { test } from 'node:test'
import { nodeCapacity } from './node-capacity.ts'

test('what is kept for others is not there for instances', () => {
  const [all, less] = [nodeCapacity('0', '0'), nodeCapacity('250m', '64Mi')]
  assert.ok(all.ok && less.ok)
  assert.equal(all.cpus, availableParallelism())
  assert.ok(all.memoryBytes > 0 && all.memoryBytes <= totalmem())
  assert.equal(all.cpus - less.cpus, 0.25)
  assert.equal(all.memoryBytes - less.memoryBytes, 64 * 2 ** 20)
})

test('what is no quantity, or too much, is refused', () => {
  const cases: [string, string, RegExp][] = [
    ['much', '0', /^--reserve-cpu much: expected a quantity such as 500m/],
    ['0', '1 GB', /^--reserve-memory 1 GB: expected a quantity such as 512Mi/],
    ['100000', '0', /^--reserve-cpu 100000 is more than the \d+ there are/],
    ['0', '1Ei', /^--reserve-memory 1Ei is more than this machine has/],
  ]
  for (const [cpu, memory, expected] of cases) {
    const capacity = nodeCapacity(cpu, memory)
    assert.match(capacity.ok ? '' : capacity.message, expected)
  }
})
