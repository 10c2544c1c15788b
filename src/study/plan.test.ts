import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ARRIVALS } from './arrivals.ts'
import { peakOf } from './peak.ts'
import { makePlan, type Plan, type PlanOptions } from './plan.ts'
import type { Trace, TraceFunction } from './trace.ts'

const OPTIONS: PlanOptions = {
  minutes: 2,
  functions: undefined,
  speedup: 1,
  arrival: 'exponential',
  seed: 42,
}

function traceFunction(hash: string, counts: readonly number[], ms = 100): TraceFunction {
  return {
    hash,
    name: `f-${hash}`,
    trigger: 'http',
    invocations: Uint32Array.from(counts),
    durations: [0, 1, 2, 3, 4, 5, 6].map((i) => ms + i),
    memory: [1, 2, 3, 4, 5, 6, 7, 8],
  }
}

function trace(...functions: TraceFunction[]): Trace {
  return { folder: 'here', firstMinute: 480, minutes: functions[0]?.invocations.length ?? 0, functions }
}

function planned(from: Trace, options: Partial<PlanOptions> = {}): Plan {
  const made = makePlan(from, { ...OPTIONS, ...options })
  assert.ok(made.ok, JSON.stringify(made))
  return made.value
}

/** What one function of a plan does, without the others. */
function own(plan: Plan, hash: string) {
  const index = plan.functions.findIndex((one) => one.hash === hash)
  const rows = Array.from(plan.functionAt, (at, i) => ({
    at,
    minute: plan.minute[i],
    fireUs: plan.fireUs[i]!,
    askedMs: plan.askedMs[i],
    memoryMb: plan.memoryMb[i],
  }))
  return rows.filter((row) => row.at === index).map(({ at, ...rest }) => rest)
}

test("every function has exactly the trace's invocations in every minute, all in the order of their time", () => {
  const counts = fc.array(fc.nat(40), { minLength: 3, maxLength: 3 })
  fc.assert(
    fc.property(
      fc.array(counts, { minLength: 1, maxLength: 5 }),
      fc.integer({ min: 1, max: 3 }),
      fc.constantFrom(...ARRIVALS),
      fc.nat(),
      fc.constantFrom(0.5, 1, 7),
      (rows, minutes, arrival, seed, speedup) => {
        const made = makePlan(trace(...rows.map((row, i) => traceFunction(`h${i}`, row))), {
          minutes,
          functions: undefined,
          speedup,
          arrival,
          seed,
        })
        const total = rows.flatMap((row) => row.slice(0, minutes)).reduce((sum, count) => sum + count, 0)
        assert.equal(made.ok, total > 0)
        if (!made.ok) return
        const plan = made.value
        assert.equal(plan.fireUs.length, total)
        const found = rows.map((row) => row.slice(0, minutes).map(() => 0))
        plan.fireUs.forEach((at, i) => {
          assert.ok(i === 0 || at >= plan.fireUs[i - 1]!)
          const minute = Math.floor((at * speedup) / 60_000_000 + 1e-9)
          assert.equal(plan.minute[i], minute)
          found[plan.functionAt[i]!]![minute]!++
        })
        assert.deepEqual(
          found,
          rows.map((row) => row.slice(0, minutes)),
        )
      },
    ),
  )
})

test('other functions, more minutes and another arrival process leave what a function does as it was', () => {
  const a = traceFunction('a', [5, 7])
  const b = traceFunction('b', [3, 3])
  const whole = planned(trace(a, b))
  assert.deepEqual(own(planned(trace(a, b), { functions: 1 }), 'a'), own(whole, 'a'))
  assert.deepEqual(own(planned(trace(b, a)), 'a'), own(whole, 'a'))
  assert.deepEqual(own(planned(trace(a, b), { minutes: 1 }), 'a'), own(whole, 'a').slice(0, 5))
  const uniform = own(planned(trace(a, b), { arrival: 'uniform' }), 'a')
  assert.deepEqual(
    uniform.map((row) => row.askedMs),
    own(whole, 'a').map((row) => row.askedMs),
  )
  assert.notDeepEqual(
    uniform.map((row) => row.fireUs),
    own(whole, 'a').map((row) => row.fireUs),
  )
})

test('another seed draws others; the speedup compresses arrivals and nothing else', () => {
  const from = trace(traceFunction('a', [20, 20]))
  const plan = planned(from)
  assert.deepEqual(planned(from), plan)
  assert.notDeepEqual(planned(from, { seed: 43 }).fireUs, plan.fireUs)
  const fast = planned(from, { speedup: 10 })
  assert.deepEqual(
    fast.fireUs,
    plan.fireUs.map((at) => at / 10),
  )
  assert.deepEqual(fast.askedMs, plan.askedMs)
})

test('asks beyond the trace are refused', () => {
  const from = trace(traceFunction('a', [0, 1]))
  const codeOf = (options: Partial<PlanOptions>, one = from) => {
    const made = makePlan(one, { ...OPTIONS, ...options })
    return made.ok ? 'ok' : made.problems[0]!.code
  }
  assert.equal(codeOf({}), 'ok')
  assert.equal(codeOf({ minutes: 3 }), 'study/minutes')
  assert.equal(codeOf({ functions: 2 }), 'study/functions')
  assert.equal(codeOf({ minutes: 1 }), 'study/invocations')
  assert.equal(codeOf({}, trace(traceFunction('a', [10_000_000, 0]))), 'study/invocations')
})

test('the peak by hand: equidistant invocations that overlap', () => {
  // a: at 0, 15, 30, 45 s for about 20 s, so two at once; b: once, for about 1 s.
  const plan = planned(
    trace(traceFunction('a', [4], 20_000), traceFunction('b', [1], 1_000), traceFunction('c', [0])),
    { minutes: 1, arrival: 'equidistant' },
  )
  assert.deepEqual(peakOf(plan, 1), { activeFunctions: 2, running: 2, instances: 3 })
  assert.deepEqual(peakOf(plan, 2), { activeFunctions: 2, running: 2, instances: 2 })
})
