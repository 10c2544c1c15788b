import type { PolicyProxy } from './policy-proxies.ts'
import type { Load, ProxySample } from './proxy-load.ts'
import { measured, type Row } from './row.ts'
import { median } from './statistics.ts'

type Samples = ReadonlyMap<PolicyProxy['name'], readonly ProxySample[]>

/** The rows of one load; `problem` says what work was left undone, and then no goal counts as met. */
export function policyRows(load: Load, samples: Samples, problem?: string): Row[] {
  const of = (name: PolicyProxy['name'], figure: keyof ProxySample) =>
    samples.get(name)?.map((sample) => sample[figure]) ?? []
  const against = (figure: keyof ProxySample) => ({ name: 'envoy pair', rounds: of('envoy pair', figure) })
  const unit = 'us/request'
  const rows = [
    measured({
      name: 'mayfly CPU, both engines',
      unit,
      rounds: of('mayfly', 'engineCpu'),
      baseline: against('cpu'),
      goals: [{ of: 'ratio', atMost: 0.25 }],
    }),
    measured({
      name: 'mayfly CPU, both engines, vs relays',
      unit,
      rounds: of('mayfly', 'engineCpu'),
      baseline: { name: 'relay pair', rounds: of('relay pair', 'cpu') },
    }),
    measured({
      name: 'relay pair CPU',
      unit,
      rounds: of('relay pair', 'cpu'),
      baseline: against('cpu'),
    }),
    measured({
      name: 'mayfly CPU, all processes',
      unit,
      rounds: of('mayfly', 'cpu'),
      baseline: against('cpu'),
    }),
  ]
  if (load === 'saturation') {
    const figures = { unit: 'requests/s', rounds: of('mayfly', 'perSecond'), baseline: against('perSecond') }
    rows.push(measured({ name: 'mayfly throughput', ...figures }))
  } else {
    const direct = { p50: median(of('direct', 'p50')), p99: median(of('direct', 'p99')) }
    const added = (name: PolicyProxy['name'], figure: 'p50' | 'p99') =>
      of(name, figure).map((value) => value - direct[figure])
    rows.push(
      measured({
        name: 'mayfly latency added, p50',
        unit: 'us',
        rounds: added('mayfly', 'p50'),
        baseline: { name: 'envoy pair', rounds: added('envoy pair', 'p50') },
        goals: [{ of: 'ratio', atMost: 0.3 }],
        note: `over ${direct.p50.toFixed(0)} us without a proxy`,
      }),
      measured({
        name: 'mayfly latency added, p99',
        unit: 'us',
        rounds: added('mayfly', 'p99'),
        baseline: { name: 'envoy pair', rounds: added('envoy pair', 'p99') },
        note: `over ${direct.p99.toFixed(0)} us without a proxy`,
      }),
    )
  }
  return rows.map((row) => {
    const name = `policies/${load}: ${row.name}`
    return problem === undefined ? { ...row, name } : { ...row, name, met: row.met && false, note: problem }
  })
}
