import { type Children, pause } from './children.ts'
import type { HeadCycle } from './head-cycle.ts'
import type { Upstream } from './nginx.ts'
import { openLoop } from './open-loop.ts'
import { cpuTime } from './process-tree.ts'
import { saturate } from './saturation.ts'
import { REPLY_BODY } from './workload.ts'

/** As much as 64 connections carry; or 1,000 requests a second, whatever becomes of them. */
export const LOADS = ['saturation', '1000/s'] as const
export type Load = (typeof LOADS)[number]

/** What one load of a few seconds showed. CPU times are in microseconds for each request, latencies in microseconds. */
export type ProxySample = {
  readonly cpu: number
  readonly engineCpu: number
  readonly p50: number
  readonly p99: number
  readonly perSecond: number
  /** How late the load generator itself was, at the median. */
  readonly lateP50: number
}

/** What is loaded: its address, what it is sent, and the processes whose CPU time it costs. */
export type Loaded = {
  readonly name: string
  readonly port: number
  readonly heads: HeadCycle
  /** All processes that it consists of. */
  processes(): number[]
  /** Those of them that move requests, where it has others too. */
  engines?(): number[]
}

/** Logs and spans are written behind the requests: their work counts until this long after the last reply. */
const settleMilliseconds = 1200

/** Loads a proxy for some seconds; fails when a reply was wrong or the upstream did not see every request. */
export async function measureProxy(
  children: Children,
  upstream: Upstream,
  proxy: Loaded,
  load: Load,
  seconds: number,
) {
  const { port, heads } = proxy
  const engines = proxy.engines ?? proxy.processes
  const servedBefore = await upstream.requests()
  const cpuBefore = cpuTime(proxy.processes())
  const enginesBefore = cpuTime(engines())
  const result = load === 'saturation' ? await saturated() : await constantRate()
  heads.skip(result.requests)
  await pause(settleMilliseconds)
  const cpu = cpuTime(proxy.processes()) - cpuBefore
  const engineCpu = cpuTime(engines()) - enginesBefore
  const served = (await upstream.requests()) - servedBefore
  // wrk hangs up on what is in flight at its end: the upstream served that, and wrk does not count it.
  if (served < result.requests || served > result.requests + 64) {
    throw new Error(`${proxy.name} answered ${result.requests} requests, but the upstream served ${served}`)
  }
  const sample: ProxySample = {
    ...result,
    cpu: cpu / served / 1000,
    engineCpu: engineCpu / served / 1000,
    perSecond: result.requests / seconds,
  }
  return { sample, requests: result.requests }

  async function saturated() {
    const { requests, errors, bytes, p50, p99 } = await saturate(children, port, heads.all(), seconds)
    if (errors > 0) throw new Error(`${proxy.name} failed ${errors} of ${requests} requests at saturation`)
    if (bytes < requests * REPLY_BODY.length)
      throw new Error(`${proxy.name} sent replies without their bodies`)
    return { requests, p50, p99, lateP50: 0 }
  }

  async function constantRate() {
    const load = { port, heads: heads.next(1000 * seconds), body: REPLY_BODY, rate: 1000, seconds }
    const { planned, answered, failures, p50, p99, lateP50 } = await openLoop(children, load)
    if (answered < planned) {
      throw new Error(
        `${proxy.name} answered ${answered} of ${planned} requests: ${JSON.stringify(failures)}`,
      )
    }
    return { requests: answered, p50, p99, lateP50 }
  }
}
