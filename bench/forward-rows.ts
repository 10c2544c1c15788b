import type { ProxyName } from './proxies.ts'
import type { Load, ProxySample } from './proxy-load.ts'
import { type Goal, measured, type Row, unmeasured } from './row.ts'
import { median } from './statistics.ts'

export type Samples = ReadonlyMap<ProxyName, readonly ProxySample[]>

/** What became of each proxy under one load. */
export type Outcome = {
  readonly samples: Samples
  /** Why a proxy did not run. */
  readonly absent: ReadonlyMap<ProxyName, string>
  /** What a proxy left undone: its figures are shown, but keep no promise, and nothing is promised against them. */
  readonly partial: ReadonlyMap<ProxyName, string>
}

const unit = 'us/request'

const comparisons: readonly { against: ProxyName; goals: readonly Goal[] }[] = [
  { against: 'relay', goals: [] },
  { against: 'nginx', goals: [{ of: 'ratio', atMost: 2 }] },
  { against: 'envoy+policies', goals: [{ of: 'ratio', atMost: 0.3 }] },
]

/** The rows of one load: CPU times, what was promised of them, and throughput or latencies. */
export function forwardRows(load: Load, { samples, absent, partial }: Outcome): Row[] {
  const rows: Row[] = []
  const add = (subject: ProxyName, row: Row) => {
    const problem = partial.get(subject) ?? partial.get(row.against as ProxyName)
    const name = `forward/${load}: ${row.name}`
    if (problem === undefined) rows.push({ ...row, name })
    else rows.push({ ...row, name, met: row.met === null ? null : false, note: problem })
  }
  const of = (name: ProxyName, figure: keyof ProxySample) =>
    samples.get(name)?.map((sample) => sample[figure]) ?? []
  const against = (name: ProxyName, figure: keyof ProxySample) =>
    samples.has(name) ? { baseline: { name, rounds: of(name, figure) } } : {}

  for (const name of samples.keys()) {
    if (name !== 'mayfly') add(name, measured({ name: `${name} CPU`, unit, rounds: of(name, 'cpu') }))
  }
  for (const { against: other, goals } of comparisons) {
    const name = `mayfly CPU vs ${other}`
    if (samples.has('mayfly') && samples.has(other)) {
      add('mayfly', measured({ name, unit, rounds: of('mayfly', 'cpu'), ...against(other, 'cpu'), goals }))
    } else {
      const why = absent.get('mayfly') ?? absent.get(other) ?? 'it did not run'
      add('mayfly', unmeasured(name, unit, goals, why))
    }
  }
  if (samples.has('mayfly')) {
    const name = 'mayfly CPU, engine alone'
    add('mayfly', measured({ name, unit, rounds: of('mayfly', 'engineCpu'), ...against('nginx', 'cpu') }))
  }
  for (const name of samples.keys()) {
    add(
      name,
      load === 'saturation'
        ? measured({
            name: `${name} throughput`,
            unit: 'requests/s',
            rounds: of(name, 'perSecond'),
            ...against('nginx', 'perSecond'),
          })
        : measured({
            name: `${name} latency`,
            unit: 'us',
            rounds: of(name, 'p50'),
            p99s: of(name, 'p99'),
            ...against('nginx', 'p50'),
            note: `of it ${median(of(name, 'lateP50')).toFixed(0)} us the generator's own lateness`,
          }),
    )
  }
  return rows
}
