import type { BenchRun } from './bench.ts'
import { type Children, pause } from './children.ts'
import { startUpstream, type Upstream } from './nginx.ts'
import { openLoop } from './open-loop.ts'
import { missingPeers } from './peers.ts'
import { cpuTime } from './process-tree.ts'
import { checkRecords, type ProxyName, type RunningProxy, startProxies } from './proxies.ts'
import { interleaved } from './rounds.ts'
import { type Goal, measured, type Row, unmeasured } from './row.ts'
import { saturate } from './saturation.ts'
import { median } from './statistics.ts'
import { REPLY_BODY } from './workload.ts'

type Load = 'saturation' | '1000/s'

/** What one load of a few seconds showed. CPU times are in microseconds for each request, latencies in microseconds. */
type Sample = { cpu: number; engineCpu: number; p50: number; p99: number; perSecond: number; lateP50: number }

const unit = 'us/request'
const loads: readonly Load[] = ['saturation', '1000/s']
const saturationSeconds = 2
const openLoopSeconds = 3
/** Logs and spans are written behind the requests: their work counts until this long after the last reply. */
const settleMilliseconds = 1200

const goals: readonly { against: ProxyName; goals: readonly Goal[] }[] = [
  { against: 'nginx', goals: [{ of: 'ratio', atMost: 2 }] },
  { against: 'envoy+policies', goals: [{ of: 'ratio', atMost: 0.3 }] },
]

/** CPU time per request of nginx, Envoy bare and with our policies' equivalents, and Mayfly, in one run. */
export async function forward({ rounds, children, say }: BenchRun): Promise<Row[]> {
  const missing = missingPeers()
  if (missing.includes('nginx') || missing.includes('wrk')) {
    const why = `not installed: ${missing.join(', ')}`
    return loads.flatMap((load) => rowsOf(load, new Map(), new Map([['mayfly', why]])))
  }
  const upstream = await startUpstream(children)
  const { running: proxies, absent } = await startProxies(children, upstream.port, !missing.includes('envoy'))
  for (const [name, why] of absent) say(`${name} is not measured: ${why}`)
  const answered = new Map<RunningProxy, number>()
  const run = async (proxy: RunningProxy, load: Load, seconds: number) => {
    const { sample, requests } = await measure(children, upstream, proxy, load, seconds)
    answered.set(proxy, (answered.get(proxy) ?? 0) + requests)
    return sample
  }

  for (const proxy of proxies) {
    say(`warming up ${proxy.name}`)
    // The open loop compares every reply's bytes, so a proxy that answers wrongly ends the bench before wrk loads it.
    await run(proxy, '1000/s', 1)
    await run(proxy, 'saturation', 3)
  }
  const rows: Row[] = []
  for (const load of loads) {
    const samples = await interleaved(rounds, proxies, (proxy, round) => {
      say(`${load}, round ${round + 1}/${rounds}: ${proxy.name}`)
      return run(proxy, load, load === 'saturation' ? saturationSeconds : openLoopSeconds)
    })
    rows.push(...rowsOf(load, new Map([...samples].map(([{ name }, list]) => [name, list])), absent))
  }
  for (const proxy of proxies) await checkRecords(proxy, answered.get(proxy)!)
  return rows
}

async function measure(
  children: Children,
  upstream: Upstream,
  proxy: RunningProxy,
  load: Load,
  seconds: number,
) {
  const { port, head } = proxy
  const engines = proxy.engines ?? proxy.processes
  const servedBefore = await upstream.requests()
  const cpuBefore = cpuTime(proxy.processes())
  const enginesBefore = cpuTime(engines())
  const result = load === 'saturation' ? await saturated() : await constantRate()
  await pause(settleMilliseconds)
  const cpu = cpuTime(proxy.processes()) - cpuBefore
  const engineCpu = cpuTime(engines()) - enginesBefore
  const served = (await upstream.requests()) - servedBefore
  // wrk hangs up on what is in flight at its end: the upstream served that, and wrk does not count it.
  if (served < result.requests || served > result.requests + 64) {
    throw new Error(`${proxy.name} answered ${result.requests} requests, but the upstream served ${served}`)
  }
  const sample: Sample = {
    ...result,
    cpu: cpu / served / 1000,
    engineCpu: engineCpu / served / 1000,
    perSecond: result.requests / seconds,
  }
  return { sample, requests: result.requests }

  async function saturated() {
    const { requests, errors, bytes, p50, p99 } = await saturate(children, port, head, seconds)
    if (errors > 0) throw new Error(`${proxy.name} failed ${errors} of ${requests} requests at saturation`)
    if (bytes < requests * REPLY_BODY.length)
      throw new Error(`${proxy.name} sent replies without their bodies`)
    return { requests, p50, p99, lateP50: 0 }
  }

  async function constantRate() {
    const load = { port, head, body: REPLY_BODY, rate: 1000, seconds }
    const { planned, answered, failures, p50, p99, lateP50 } = await openLoop(children, load)
    if (answered < planned) {
      throw new Error(
        `${proxy.name} answered ${answered} of ${planned} requests: ${JSON.stringify(failures)}`,
      )
    }
    return { requests: answered, p50, p99, lateP50 }
  }
}

type Samples = ReadonlyMap<ProxyName, readonly Sample[]>

function rowsOf(load: Load, samples: Samples, absent: ReadonlyMap<ProxyName, string>): Row[] {
  const rows: Row[] = []
  const of = (name: ProxyName, figure: keyof Sample) => samples.get(name)?.map((sample) => sample[figure])
  const baseline = (name: ProxyName, figure: keyof Sample) => {
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
    const why = absent.get('mayfly') ?? absent.get(against)
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
