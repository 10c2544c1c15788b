import assert from 'node:assert/strict'
import { test } from 'node:test'
import { chaos } from './chaos.ts'

/** A part of the suite, so it is short, and other tests run beside it: `node test/chaos/run.ts` is for the strict bound of five seconds. */
const DURATION_MS = 45_000
const RECOVERY_MS = 10_000

test('a cluster bears what a seed says', { timeout: 300_000 }, async (t) => {
  // Another one each day; what fails can be run again by its number.
  const seed = Number(process.env.CHAOS_SEED ?? Math.floor(Date.now() / 86_400_000))
  t.diagnostic(`seed ${seed}: node test/chaos/run.ts --seed ${seed}`)
  const { violations, figures, skipped, log } = await chaos({
    seed,
    durationMs: DURATION_MS,
    recoveryMs: RECOVERY_MS,
    quietMs: 3_000,
    only: '',
    progress: (text) => t.diagnostic(text),
  })
  t.diagnostic(JSON.stringify({ figures, skipped }))
  assert.deepEqual(violations, [], log.slice(-20_000))
  assert.ok(figures.faults! > 0 && figures.requests! > 100 && figures.acknowledged! > 10)
})
