import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type RawReplayOptions, replayOptions } from './options.ts'

test('defaults, and text as the command line gives it', () => {
  const least = replayOptions({ trace: 'x' })
  assert.deepEqual(least, {
    ok: true,
    value: {
      trace: 'x',
      minutes: 2,
      functions: undefined,
      speedup: 1,
      mesh: 'on',
      work: 'sleep',
      arrival: 'exponential',
      seed: 42,
      concurrency: 1,
      memory: false,
      out: 'out',
    },
  })
  const all = replayOptions({
    trace: 'x',
    minutes: '30',
    functions: '200',
    speedup: '2.5',
    mesh: 'off',
    work: 'spin',
    arrival: 'uniform',
    seed: '7',
    concurrency: 10,
    memory: true,
    out: 'o',
  })
  assert.deepEqual(all, {
    ok: true,
    value: {
      trace: 'x',
      minutes: 30,
      functions: 200,
      speedup: 2.5,
      mesh: 'off',
      work: 'spin',
      arrival: 'uniform',
      seed: 7,
      concurrency: 10,
      memory: true,
      out: 'o',
    },
  })
})

test('everything that is wrong is said at once, by the name of its option', () => {
  const wrong = replayOptions({
    minutes: '0',
    functions: '-1',
    speedup: 'fast',
    mesh: 'maybe',
    work: '',
    arrival: 'poisson',
    seed: '1.5',
    concurrency: '1e3',
    memory: 'yes',
    out: '',
    colour: 1,
  } as RawReplayOptions)
  assert.ok(!wrong.ok)
  assert.deepEqual(wrong.problems.map((one) => one.field).sort(), [
    '--arrival',
    '--colour',
    '--concurrency',
    '--functions',
    '--memory',
    '--mesh',
    '--minutes',
    '--out',
    '--seed',
    '--speedup',
    '--trace',
    '--work',
  ])
  assert.match(
    wrong.problems.find((one) => one.field === '--arrival')!.message,
    /expected one of exponential, uniform, equidistant, got "poisson"/,
  )
  assert.match(wrong.problems.find((one) => one.field === '--trace')!.message, /missing/)
})
