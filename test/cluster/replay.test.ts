// A cluster that a script starts bears a small trace with all policies, and says the truth meanwhile.

import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { runProgram } from './run-program.ts'

const FUNCTIONS = 6

test('a replay against a cluster: no failure, nothing untrue, nothing left', {
  timeout: 280_000,
}, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'mayfly-replay-'))
  try {
    // Functions may run as other users.
    chmodSync(folder, 0o755)
    const trace = writeTrace(join(folder, 'trace'))
    const out = join(folder, 'out')
    const options = ['--trace', trace, '--minutes', '1', '--speedup', '6', '--policies', 'nine', '--out', out]
    const ran = await runProgram(
      process.execPath,
      ['scripts/cluster.ts', '--', process.execPath, 'test/cluster/replayed.ts', ...options],
      270_000,
    )
    assert.equal(ran.code, 0, ran.text)
    const summary = JSON.parse(readFileSync(join(out, 'summary.json'), 'utf8'))
    const { planned, succeeded } = summary.invocations
    assert.ok(planned > FUNCTIONS && succeeded === planned, ran.text)
    // Both phases at the gateway's side and at the function's.
    assert.ok(summary.usage.counters.sandboxesRun >= 2 * planned)
    assert.equal(summary.usage.counters.instancesStarted, null)
    assert.doesNotMatch(ran.text, /the collector got no spans/)
    assert.match(ran.text, /unknown instances started/)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})

/** Each function is invoked a few times in the minute and works for up to 40 ms. */
function writeTrace(folder: string): string {
  mkdirSync(folder)
  const names = Array.from({ length: FUNCTIONS }, (_, i) => `f${i}`)
  const file = (name: string, columns: string[], cells: (name: string, i: number) => unknown[]) => {
    const lines = [['HashFunction', ...columns], ...names.map((one, i) => [one, ...cells(one, i)])]
    writeFileSync(join(folder, name), lines.map((line) => `${line.join(',')}\n`).join(''))
  }
  const percentiles = (prefix: string, all: number[]) => all.map((p) => `${prefix}${p}`)
  file('invocations.csv', ['Trigger', '1'], (_, i) => ['http', 2 + 3 * i])
  file('durations.csv', ['Count', ...percentiles('percentile_Average_', [0, 1, 25, 50, 75, 99, 100])], () => [
    ...[9, 1, 2, 5, 10, 20, 40, 40],
  ])
  file(
    'memory.csv',
    ['SampleCount', ...percentiles('AverageAllocatedMb_pct', [1, 5, 25, 50, 75, 95, 99, 100])],
    () => [9, 1, 1, 1, 1, 1, 1, 1, 1],
  )
  return folder
}
