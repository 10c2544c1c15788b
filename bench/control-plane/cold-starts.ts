import { pause } from '../children.ts'
import { cpuTime } from '../process-tree.ts'
import { median, quantile } from '../statistics.ts'
import type { Fleet } from './fleet.ts'
import type { Plane } from './plane.ts'

/** What a start of a function from zero took: medians over the functions. */
export type ColdStartCost = {
  /** From the control plane to nodes, and from nodes to it; its bytes both ways together. */
  readonly told: number
  readonly said: number
  readonly bytes: number
  /** Milliseconds from the request to its slot, the simulated start of its instance (5 ms) included. */
  readonly latencies: readonly number[]
}

export type Orders = {
  readonly perSecond: number
  /** Of the control plane's process, all threads, in milliseconds for each instance. */
  readonly cpuEach: number
  readonly p99: number
}

/** Long enough for what follows a start: ticks of engines and of the autoscaler. In milliseconds. */
const AFTER_MS = 2_500

/** One request for each of the functions, which are all at zero, a few at a time. */
export async function coldStartCost(fleet: Fleet, keys: readonly string[]): Promise<ColdStartCost> {
  await fleet.traffic(null)
  const { latencies } = await fleet.coldStarts({ keys, underWay: 16, hold: false })
  await pause(AFTER_MS)
  const { functions } = await fleet.traffic(null)
  const each = keys.map((key) => {
    const cost = functions[key]
    if (!cost) throw new Error(`nobody said anything of ${key}, which has started`)
    return cost
  })
  return {
    told: median(each.map(({ toNode }) => toNode.messages)),
    said: median(each.map(({ fromNode }) => fromNode.messages)),
    bytes: median(each.map(({ toNode, fromNode }) => toNode.bytes + fromNode.bytes)),
    latencies,
  }
}

/** Resolves when all functions have come back to zero instances. */
export async function allAtRest(plane: Plane, seconds = 60): Promise<void> {
  const deadline = performance.now() + seconds * 1000
  while (performance.now() < deadline) {
    const { json } = await plane.client.status({ what: 'instances' })
    if ((JSON.parse(json) as unknown[]).length === 0) return
    await pause(500)
  }
  throw new Error(`after ${seconds} s without requests instances still run`)
}

/** Requests that stay in flight, so that each needs an instance of its own, with many under way at once. */
export async function sustainedOrders(plane: Plane, fleet: Fleet, keys: readonly string[]): Promise<Orders> {
  const before = { cpu: cpuTime([plane.child.pid]), instances: (await fleet.state(null)).instances }
  const { latencies, seconds } = await fleet.coldStarts({ keys, underWay: 1_024, hold: true })
  const instances = (await fleet.state(null)).instances - before.instances
  return {
    perSecond: instances / seconds,
    cpuEach: (cpuTime([plane.child.pid]) - before.cpu) / 1e6 / instances,
    p99: quantile(latencies, 0.99),
  }
}
