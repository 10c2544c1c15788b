import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fuzzHeads } from './fuzz-head.ts'

test('10,000 mutated heads: nothing is smuggled, nothing fails, every refusal is counted', async () => {
  const report = await fuzzHeads(10_000, 42)
  // Each outcome must be well represented, or the mutations test nothing.
  for (const [outcome, count] of Object.entries(report)) assert.ok(count > 50, `${outcome}: ${count}`)
})
