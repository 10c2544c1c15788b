import type { BenchRun } from './bench.ts'
import { forwardRows, type Samples } from './forward-rows.ts'
import { startUpstream } from './nginx.ts'
import { missingPeers } from './peers.ts'
import { missingRecords, type ProxyName, type RunningProxy, startProxies } from './proxies.ts'
import { LOADS, type Load, measureProxy } from './proxy-load.ts'
import { interleaved } from './rounds.ts'
import type { Row } from './row.ts'

const saturationSeconds = 2
const openLoopSeconds = 3

/** CPU time per request of nginx, Envoy bare and with our policies' equivalents, and Mayfly, in one run. */
export async function forward({ rounds, children, say, fail }: BenchRun): Promise<Row[]> {
  const missing = missingPeers()
  if (missing.includes('nginx') || missing.includes('wrk')) {
    const why = `not installed: ${missing.join(', ')}`
    const nothing = { samples: new Map(), absent: new Map([['mayfly' as const, why]]), partial: new Map() }
    return LOADS.flatMap((load) => forwardRows(load, nothing))
  }
  const upstream = await startUpstream(children)
  const { running, absent } = await startProxies(children, upstream.port, !missing.includes('envoy'))
  for (const [name, why] of absent) say(`${name} is not measured: ${why}`)
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
      say(`${load}, round ${round + 1}/${rounds}: ${proxy.name} ${sample.cpu.toFixed(1)} us/request`)
      return sample
    })
    samples.set(load, new Map([...taken].map(([{ name }, list]) => [name, list])))
  }
  const partial = new Map<ProxyName, string>()
  for (const proxy of running) {
    const problem = await missingRecords(proxy, answered.get(proxy)!)
    if (problem === null) continue
    partial.set(proxy.name, `${proxy.name} did only a part of its work: ${problem}`)
    fail(partial.get(proxy.name)!)
  }
  return LOADS.flatMap((load) => forwardRows(load, { samples: samples.get(load)!, absent, partial }))
}
