import type { BenchRun } from '../bench.ts'
import { pause } from '../children.ts'
import { processTree } from '../process-tree.ts'
import { measured, type Row } from '../row.ts'
import { openSettler } from '../settle.ts'
import { median, quantile } from '../statistics.ts'
import { allAtRest, type ColdStartCost, coldStartCost, sustainedOrders } from './cold-starts.ts'
import { type Fleet, startFleet } from './fleet.ts'
import { functionKey, functionManifests, joinNodes, type MeshSize, sizeText } from './mesh-size.ts'
import { type Plane, startPlane } from './plane.ts'
import { changePolicies } from './policy-changes.ts'

const MAIN: MeshSize = { functions: 1_000, nodes: 100 }
/** Against it the costs of a start are to be the same. */
const OTHERS: readonly MeshSize[] = [
  { functions: 100, nodes: 100 },
  { functions: 10_000, nodes: 100 },
  { functions: 1_000, nodes: 10 },
  { functions: 1_000, nodes: 500 },
]
const LARGE: MeshSize = { functions: 10_000, nodes: 500 }
/** Functions that are started one by one. */
const SAMPLE = 100
const ORDERS = 20_000
const CHANGES_PER_SECOND = 500
const CHANGES_SECONDS = 10
const megabyte = 1e6

/** The control plane with simulated nodes: what starts and changes cost, and how many of them it takes. */
export async function controlPlane({ children, say }: BenchRun): Promise<Row[]> {
  const rows: Row[] = []
  for (const size of [MAIN, ...OTHERS]) {
    await withMesh(size, {}, async (plane, fleet, firstSync) => {
      say(`${sizeText(size)}: starts from zero`)
      rows.push(...(await startRows(plane, fleet, size)))
      if (size !== MAIN) return
      rows.push(firstSync)
      say(`${sizeText(size)}: ${CHANGES_PER_SECOND} changes of policies a second`)
      const all = Array.from({ length: size.functions }, (_, i) => functionKey(i))
      await fleet.coldStarts({ keys: all, underWay: 64, hold: true })
      rows.push(...(await changeRows(plane, fleet, size)))
      say(`${sizeText(size)}: as many orders as it takes`)
      rows.push(...(await orderRows(plane, fleet, size)))
    })
  }
  say(`${sizeText(LARGE)}: memory`)
  rows.push(await memoryRow())
  return rows

  async function withMesh(
    size: MeshSize,
    environment: Readonly<Record<string, string>>,
    measure: (plane: Plane, fleet: Fleet, firstSync: Row) => Promise<void>,
  ): Promise<void> {
    const plane = await startPlane(children, environment)
    const fleet = startFleet(children)
    try {
      await joinNodes(plane, fleet, plane.data, size.nodes)
      await pause(500)
      const firstSync = syncRow((await fleet.traffic(null)).total.toNode.bytes, size)
      await plane.apply(functionManifests(0, size.functions))
      await measure(plane, fleet, firstSync)
    } finally {
      // Nodes whose control plane is gone are a failure of the bench.
      await children.stop(fleet.child)
      await children.stop(plane.child)
    }
  }

  async function memoryRow(): Promise<Row> {
    const settler = await openSettler()
    let bytes = { standing: 0, settled: 0 }
    await withMesh(LARGE, settler.environment, async (plane) => {
      bytes = await settler.residentBytes(() => processTree(plane.child.pid))
    })
    settler.close()
    return measured({
      name: `control plane: resident, ${sizeText(LARGE)}`,
      unit: 'MB',
      rounds: [bytes.settled / megabyte],
      goals: [{ of: 'median', atMost: 300 }],
      note: `before the forced collection ${(bytes.standing / megabyte).toFixed(0)} MB`,
    })
  }
}

function syncRow(bytes: number, { nodes }: MeshSize): Row {
  return measured({
    name: 'control plane: first sync of a node, 0 functions',
    unit: 'bytes',
    rounds: [bytes / nodes],
    goals: [{ of: 'median', atMost: 2_000 }],
    note: `mean over ${nodes} nodes that join one after the other, with what they are told of each other`,
  })
}

async function startRows(plane: Plane, fleet: Fleet, size: MeshSize): Promise<Row[]> {
  // Functions from all over, so that a cost that grows with their number shows.
  const step = Math.floor(size.functions / SAMPLE)
  const keys = Array.from({ length: SAMPLE }, (_, i) => functionKey(i * step))
  const unknown = await coldStartCost(fleet, keys)
  await allAtRest(plane)
  const known = await coldStartCost(fleet, keys)
  await allAtRest(plane)
  return [...costRows(size, 'unknown', unknown, 4_000), ...costRows(size, 'known', known, 1_000)]
}

function costRows(size: MeshSize, what: string, cost: ColdStartCost, mostBytes: number): Row[] {
  const name = `control plane: start of a function ${what} to gateway and node, ${sizeText(size)}`
  return [
    measured({
      name: `${name}: told`,
      unit: 'messages',
      rounds: [cost.told],
      goals: [{ of: 'median', atMost: 2 }],
      note: `nodes say ${cost.said} messages`,
    }),
    measured({
      name: `${name}: both ways`,
      unit: 'bytes',
      rounds: [cost.bytes],
      goals: [{ of: 'median', atMost: mostBytes }],
    }),
    measured({
      name: `${name}: request to slot`,
      unit: 'ms',
      rounds: [median(cost.latencies)],
      p99s: [quantile(cost.latencies, 0.99)],
      note: 'of it 5 ms are the simulated start; 16 under way',
    }),
  ]
}

async function orderRows(plane: Plane, fleet: Fleet, size: MeshSize): Promise<Row[]> {
  const keys = Array.from({ length: ORDERS }, (_, i) => functionKey(i % size.functions))
  const orders = await sustainedOrders(plane, fleet, keys)
  return [
    measured({
      name: `control plane: instances ordered and ready, ${sizeText(size)}`,
      unit: '1/s',
      rounds: [orders.perSecond],
      goals: [{ of: 'median', atLeast: 2_500 }],
      note: `1,024 under way; p99 from request to slot ${orders.p99.toFixed(0)} ms; the simulated nodes share the machine`,
    }),
    measured({
      name: `control plane: CPU time for each instance, ${sizeText(size)}`,
      unit: 'ms',
      rounds: [orders.cpuEach],
      goals: [{ of: 'median', atMost: 0.4 }],
      note: '0.4 ms is 2,500/s on one CPU',
    }),
  ]
}

async function changeRows(plane: Plane, fleet: Fleet, size: MeshSize): Promise<Row[]> {
  const changes = await changePolicies(plane, fleet, size.functions, CHANGES_PER_SECOND, CHANGES_SECONDS)
  const name = `control plane: a policy changed, ${sizeText(size)}`
  return [
    measured({
      name: `${name}: apply's return to the last node told`,
      unit: 'ms',
      rounds: [median(changes.lags)],
      p99s: [quantile(changes.lags, 0.99)],
      goals: [{ of: 'p99', atMost: 50 }],
      note: `at ${CHANGES_PER_SECOND} changes a second, after the first ones (of which p99 was ${quantile(changes.firstLags, 0.99).toFixed(0)} ms); apply itself: median ${median(changes.applies).toFixed(0)} ms, p99 ${quantile(changes.applies, 0.99).toFixed(0)} ms`,
    }),
    measured({
      name: `${name}: sustained`,
      unit: '1/s',
      rounds: [changes.perSecond],
      goals: [{ of: 'median', atLeast: CHANGES_PER_SECOND * 0.95 }],
    }),
    measured({
      name: `${name}: nodes told`,
      unit: 'nodes',
      rounds: [median(changes.nodesTold)],
      note: `most ${Math.max(...changes.nodesTold)}; of ${size.nodes}, those that run it or have sent it requests`,
    }),
  ]
}
