import type { BenchRun } from './bench.ts'
import { startUpstream } from './nginx.ts'
import { missingPeers } from './peers.ts'
import { missingRecords, type ProxyName, type RunningProxy, startProxies } from './proxies.ts'
import { LOADS, type Load, measureProxy, type ProxySample } from './proxy-load.ts'
import { interleaved } from './rounds.ts'
import { type Goal, measured, type Row, unmeasured } from './row.ts'
import { median } from './statistics.ts'

const unit = 'us/request'
const saturationSeconds = 2
const openLoopSeconds = 3

const goals: readonly { against: ProxyName; goals: readonly Goal[] }[] = [
  { against: 'nginx', goals: [{ of: 'ratio', atMost: 2 }] },
  { against: 'envoy+policies', goals: [{ of: 'ratio', atMost: 0.3 }] },
]

/** CPU time per request of nginx, Envoy bare and with our policies' equivalents, and Mayfly, in one run. */
export async function forward({ rounds, children, say }: BenchRun): Promise<Row[]> {
  const missing = missingPeers()
  if (missing.includes('nginx') || missing.includes('wrk')) {
    const why = `not installed: ${missing.join(', ')}`
    return LOADS.flatMap((load) => rowsOf(load, new Map(), new Map([['mayfly', why]])))
  }
  const upstream = await startUpstream(children)
  const { running, absent } = await startProxies(children, upstream.port, !missing.includes('envoy'))
  const answered = new Map<RunningProxy, number>()
  const run = async (proxy: RunningProxy, load: Load, seconds: number) => {
    const { sample, requests } = await measureProxy(children, upstream, proxy, load, seconds)
    answered.set(proxy, (answered.get(proxy) ?? 0) + requests)
    return sample
  }

  for (const proxy of running) {
    say(`warming up ${proxy.name}`)
    // The open loop compares every reply's bytes, so a proxy that answers wrongly ends the bench before wrk loads it.
    await run(proxy, '1000/s', 1)
    await run(proxy, 'saturation', 3)
  }
  const samples = new Map<Load, Samples>()
  for (const load of LOADS) {
    const taken = await interleaved(rounds, running, async (proxy, round) => {
      const sample = await run(proxy, load, load === 'saturation' ? saturationSeconds : openLoopSeconds)
      say(`${load}, round ${round + 1}/${rounds}: ${proxy.name} ${sample.cpu.toFixed(1)} ${unit}`)
      return sample
    })
    samples.set(load, new Map([...taken].map(([{ name }, list]) => [name, list])))
  }
  const invalid = new Map(absent)
  for (const proxy of running) {
    const problem = await missingRecords(proxy, answered.get(proxy)!)
    if (problem !== null) invalid.set(proxy.name, `did only a part of its work: ${problem}`)
  }
  for (const [name, why] of invalid) say(`${name} is not measured: ${why}`)
  return LOADS.flatMap((load) => rowsOf(load, samples.get(load)!, invalid))
}

type Samples = ReadonlyMap<ProxyName, readonly ProxySample[]>

// A proxy in `invalid` did not run or did not do its work: it has no figures that could be compared.
function rowsOf(load: Load, taken: Samples, invalid: ReadonlyMap<ProxyName, string>): Row[] {
  const samples = new Map([...taken].filter(([name]) => !invalid.has(name)))
  const rows: Row[] = []
  const of = (name: ProxyName, figure: keyof ProxySample) =>
    samples.get(name)?.map((sample) => sample[figure])
  const baseline = (name: ProxyName, figure: keyof ProxySample) => {
    const figures = of(name, figure)
    return figures === undefined ? {} : { baseline: { name, rounds: figures } }
  }
  for (const name of samples.keys()) {
    if (name !== 'mayfly')
      rows.push(measured({ name: `${load}: ${name} CPU`, unit, rounds: of(name, 'cpu')! }))
  }
  for (const { against, goals: promised } of goals) {
    const name = `${load}: mayfly CPU vs ${against}`
    const rounds = of('mayfly', 'cpu')
    const why = invalid.get('mayfly') ?? invalid.get(against)
    rows.push(
      rounds === undefined || why !== undefined
        ? unmeasured(name, unit, promised, why ?? 'mayfly did not run')
        : measured({ name, unit, rounds, ...baseline(against, 'cpu'), goals: promised }),
    )
  }
  const engine = of('mayfly', 'engineCpu')
  if (engine !== undefined) {
    const name = `${load}: mayfly CPU, engine alone`
    rows.push(measured({ name, unit, rounds: engine, ...baseline('nginx', 'cpu') }))
  }
  for (const name of samples.keys()) {
    rows.push(
      load === 'saturation'
        ? measured({
            name: `${load}: ${name}`,
            unit: 'requests/s',
            rounds: of(name, 'perSecond')!,
            ...baseline('nginx', 'perSecond'),
          })
        : measured({
            name: `${load}: ${name} latency`,
            unit: 'us',
            rounds: of(name, 'p50')!,
            p99s: of(name, 'p99')!,
            ...baseline('nginx', 'p50'),
            note: `of it ${median(of(name, 'lateP50')!).toFixed(0)} us the generator's own lateness`,
          }),
    )
  }
  return rows.map((row) => ({ ...row, name: `forward/${row.name}` }))
}
