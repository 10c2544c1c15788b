import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parse } from 'csv-parse/sync'
import { CSV_HEADER, csvLine, invocations } from './invocation.ts'
import type { LoadResult } from './load.ts'
import type { Outcome } from './load-protocol.ts'
import type { MeshUsage } from './mesh.ts'
import { type ReplayOptions, replayOptions } from './options.ts'
import type { Plan } from './plan.ts'
import { summarize } from './summary.ts'
import { summaryText } from './summary-text.ts'

const given = replayOptions({ trace: 'traces/small', mesh: 'on' })
assert.ok(given.ok)
const options: ReplayOptions = given.value

function outcome(index: number, latencyMs: number, rest: Partial<Outcome> = {}): Outcome {
  return {
    index,
    firedUs: index * 1000 + 500,
    latencyUs: latencyMs * 1000,
    status: 200,
    failure: undefined,
    cold: false,
    executedUs: 10_000,
    pid: 1,
    ...rest,
  }
}

/** Six invocations a millisecond apart, of two functions in turn, each asked to work for 10 ms. */
const plan: Plan = {
  functions: ['a', 'b'].map((hash) => ({
    hash,
    name: `f-${hash}`,
    trigger: 'http',
    invocations: new Uint32Array(1),
    durations: [],
    memory: [],
  })),
  functionAt: Uint32Array.of(0, 1, 0, 1, 0, 1),
  minute: Uint16Array.of(0, 0, 0, 0, 1, 1),
  fireUs: Float64Array.of(0, 1000, 2000, 3000, 4000, 5000),
  askedMs: new Uint32Array(6).fill(10),
  memoryMb: new Uint32Array(6),
}

const usage = (runtimeCpuMs: number, runtimeRssBytes: number): MeshUsage => ({
  runtimeCpuMs,
  runtimeRssBytes,
  functionsCpuMs: 100,
  functionsRssBytes: 10,
  sandboxesRun: runtimeCpuMs * 2,
  instancesStarted: 3,
  denied: 1,
})

function summarized(outcomes: readonly Outcome[], result: Partial<LoadResult> = {}) {
  const all = invocations(plan, outcomes)
  const summary = summarize({
    options,
    functions: 2,
    peak: { activeFunctions: 2, running: 6, instances: 6 },
    planned: 6,
    result: { end: { kind: 'complete' }, outcomes, sent: 6, generatorCpuUs: 1_500_000, ...result },
    invocations: all,
    usage: [usage(40, 100), usage(50, 300), usage(100, 200)],
    warnings: [],
  })
  return { summary, all, text: summaryText(summary, all) }
}

test('figures by hand', () => {
  const { summary } = summarized([
    // Slowdowns of a: 2, 8 (geometric mean 4) and of b: 1, 100 (10); one of each failed.
    outcome(0, 20, { cold: true }),
    outcome(1, 10),
    outcome(2, 80),
    outcome(3, 1000, { cold: true }),
    outcome(4, 5, { status: 503, failure: { kind: 'status', detail: '503 no instance' }, executedUs: 0 }),
    outcome(5, 5, { status: 0, failure: { kind: 'connection', detail: 'ECONNRESET' }, executedUs: 0 }),
  ])
  assert.deepEqual(summary.invocations, {
    planned: 6,
    sent: 6,
    succeeded: 4,
    failed: 2,
    notSent: 0,
    unknown: 0,
  })
  assert.deepEqual(summary.failures, { 'status 503': 1, connection: 1 })
  assert.deepEqual(summary.slowdown.all, { count: 4, mean: 27.75, p50: 2, p95: 100, p99: 100, max: 100 })
  assert.deepEqual(
    [
      summary.slowdown.cold!.p50,
      summary.slowdown.cold!.max,
      summary.slowdown.warm!.p50,
      summary.slowdown.warm!.max,
    ],
    [2, 100, 1, 8],
  )
  assert.deepEqual(
    [
      summary.slowdownOfFunctions!.count,
      Math.round(summary.slowdownOfFunctions!.p50),
      Math.round(summary.slowdownOfFunctions!.max),
    ],
    [2, 4, 10],
  )
  assert.deepEqual([summary.overheadMs.all!.p50, summary.overheadMs.all!.max], [10, 990])
  assert.deepEqual([summary.lateness!.p50, summary.lateness!.max], [0.5, 0.5])
  assert.deepEqual(summary.usage!.counters, {
    runtimeCpuMs: 60,
    functionsCpuMs: 0,
    sandboxesRun: 120,
    instancesStarted: 0,
    denied: 0,
  })
  assert.equal(summary.usage!.runtimeCpuMsPerInvocation, 10)
  assert.deepEqual([summary.usage!.runtimeRssBytes!.mean, summary.usage!.runtimeRssBytes!.max], [200, 300])
  assert.deepEqual(summary.state, { kind: 'complete' })
  assert.deepEqual(summary.warnings, [])
})

test('what is missing is said: partial, not sent, unknown, failures listed', () => {
  const aborted = outcome(1, 5, { failure: { kind: 'aborted', detail: 'the replay was stopped' } })
  const stopped = summarized([outcome(0, 20), aborted], { end: { kind: 'stopped' }, sent: 2 })
  assert.equal(stopped.summary.invocations.notSent, 4)
  assert.match(stopped.text, /^PARTIAL: stopped after 2 of 6/)
  assert.match(stopped.text, /f-b at 0\.002 s, asked 10 ms: aborted: the replay was stopped/)

  const crashed = summarized([outcome(0, 20)], {
    end: { kind: 'crashed', reason: 'the load generator ended with SIGKILL' },
    sent: 3,
  })
  assert.deepEqual(crashed.summary.invocations, {
    planned: 6,
    sent: 3,
    succeeded: 1,
    failed: 0,
    notSent: 3,
    unknown: 2,
  })
  assert.match(crashed.text, /PARTIAL: the load generator ended with SIGKILL/)
  assert.match(crashed.text, /sent 3 of 6, succeeded 1, failed 0, not sent 3, unknown 2/)
})

test('a late generator is warned of', () => {
  const { summary, text } = summarized([0, 1, 2, 3, 4, 5].map((i) => outcome(i, 20, { firedUs: 1_000_000 })))
  assert.equal(summary.warnings.length, 1)
  assert.match(text, /WARNING: the load generator was late: p99 1000\.0 ms/)
})

test('nothing succeeded: no figures rather than wrong ones', () => {
  const { summary, text } = summarized([outcome(0, 5, { failure: { kind: 'timeout', detail: 'x' } })], {
    sent: 1,
    end: { kind: 'stopped' },
  })
  assert.equal(summary.slowdown.all, undefined)
  assert.equal(summary.slowdownOfFunctions, undefined)
  assert.match(text, /slowdown \(latency \/ asked time\) +0 +- +- +- +-/)
})

test('one CSV row for each invocation, in the order planned, hostile details quoted', () => {
  const hostile = 'a "b", c\nd'
  const { all } = summarized([
    outcome(1, 10, { status: 503, failure: { kind: 'status', detail: hostile } }),
    outcome(0, 25.5, { cold: true }),
  ])
  const rows = parse(CSV_HEADER + all.map(csvLine).join(''), { columns: true }) as Record<string, string>[]
  assert.deepEqual(rows, [
    {
      function: 'a',
      service: 'f-a',
      minute: '0',
      planned_ms: '0.000',
      fired_ms: '0.500',
      lateness_ms: '0.500',
      asked_ms: '10',
      status: '200',
      failure: '',
      detail: '',
      cold: 'true',
      latency_ms: '25.500',
      executed_ms: '10.000',
      slowdown: '2.5500',
    },
    {
      function: 'b',
      service: 'f-b',
      minute: '0',
      planned_ms: '1.000',
      fired_ms: '1.500',
      lateness_ms: '0.500',
      asked_ms: '10',
      status: '503',
      failure: 'status',
      detail: hostile,
      cold: '',
      latency_ms: '10.000',
      executed_ms: '',
      slowdown: '',
    },
  ])
})
