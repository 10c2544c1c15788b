import type { BenchRun } from './bench.ts'
import { pause } from './children.ts'
import { interleaved } from './rounds.ts'
import { distribution, measured, type Row } from './row.ts'
import { preparePhases } from './sandbox-phases.ts'
import { prepareUserPolicy } from './user-policy.ts'

const warmUpRuns = 20_000
/** Runs of a round; a new instance is dear, and the garbage of many would be collected in the others' time. */
const runs = {
  request: 30_000,
  requestInNewInstance: 3_000,
  response: 30_000,
  trap: 10_000,
  userPolicy: 30_000,
} as const

type Phase = keyof typeof runs

/** One whole phase in a fresh sandbox, through what an engine calls, against a new memory and instance each time. */
export async function sandbox({ rounds, say }: BenchRun): Promise<Row[]> {
  const phases = { ...preparePhases(), userPolicy: prepareUserPolicy() }
  const names = Object.keys(runs) as Phase[]
  for (const name of names) {
    say(`warming up: ${name}`)
    time(phases[name], name === 'requestInNewInstance' ? runs[name] : warmUpRuns)
  }
  const samples = await interleaved(rounds, names, async (name, round) => {
    say(`round ${round + 1}/${rounds}: ${name}`)
    // Memories of new instances are released by finalizers, which need a turn of the event loop.
    await pause(100)
    return time(phases[name], runs[name])
  })
  const of = (name: Phase) => distribution(samples.get(name)!)
  const unit = 'us'
  const fresh = of('requestInNewInstance')
  return [
    measured({
      name: 'sandbox: request phase, fresh sandbox',
      unit,
      ...of('request'),
      baseline: { name: 'new instance', rounds: fresh.rounds },
      goals: [
        { of: 'median', atMost: 5 },
        { of: 'p99', atMost: 15 },
        { of: 'ratio', atMost: 0.3 },
      ],
      note: `${runs.request} runs a round`,
    }),
    measured({ name: 'sandbox: request phase, new memory and instance', unit, ...fresh }),
    measured({ name: 'sandbox: response phase with log line, fresh sandbox', unit, ...of('response') }),
    measured({ name: 'sandbox: request phase that runs out of fuel at once', unit, ...of('trap') }),
    measured({
      name: "sandbox: a user's policy (API key), fresh sandbox and call",
      unit,
      ...of('userPolicy'),
      baseline: { name: 'request phase', rounds: of('request').rounds },
      goals: [{ of: 'ratio', atMost: 2 }],
    }),
  ]
}

/** Microseconds of each of `count` calls. */
function time(call: () => void, count: number): Float64Array {
  const samples = new Float64Array(count)
  for (let run = 0; run < count; run++) {
    const start = performance.now()
    call()
    samples[run] = (performance.now() - start) * 1000
  }
  return samples
}
