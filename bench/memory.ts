import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { BenchRun } from './bench.ts'
import { startHeldRequests } from './held-requests.ts'
import { authorization, meshConfig, service } from './manifests.ts'
import { type Mesh, startMesh } from './mayfly.ts'
import { interleaved } from './rounds.ts'
import { measured, type Row } from './row.ts'
import { openSettler, type Settler } from './settle.ts'
import { RULES, requestHead } from './workload.ts'

const idleFunctions = 4000
const ruledFunctions = 1000
const heldRequests = 2000
const megabyte = 1e6

/** Resident memory of the whole mesh (all its processes but the functions'), as differences between settled meshes. */
export async function memory({ rounds, children, say }: BenchRun): Promise<Row[]> {
  const settler = await openSettler()
  const code = join(children.folder, 'idle.ts')
  writeFileSync(code, "export default { fetch: () => new Response('idle') }\n")
  const names = (count: number) => Array.from({ length: count }, (_, index) => `f${index}`)
  const meshes = {
    empty: [],
    idle: names(idleFunctions).map((name) => service(name, `file:${code}`)),
    ruled: names(ruledFunctions).flatMap((name) => [
      service(name, `file:${code}`),
      authorization(name, RULES),
    ]),
  }
  const started = await interleaved(rounds, Object.entries(meshes), async ([kind, manifests], round) => {
    say(`round ${round + 1}/${rounds}: ${kind}`)
    const mesh = await startMesh(
      children,
      kind,
      [meshConfig({ engines: 1 }), ...manifests],
      settler.environment,
    )
    const bytes = await settler.settledBytes(mesh.processes)
    await children.stop(mesh.child)
    return bytes
  })
  const [empty, idle, ruled] = [...started.values()] as [number[], number[], number[]]
  const held: number[] = []
  for (let round = 0; round < rounds; round++) {
    say(`round ${round + 1}/${rounds}: ${heldRequests} requests in flight`)
    held.push(await heldBytes(children, settler))
  }
  settler.close()
  return [
    measured({ name: 'memory: an empty mesh', unit: 'MB', rounds: empty.map((bytes) => bytes / megabyte) }),
    measured({
      name: 'memory: an idle function',
      unit: 'KiB',
      rounds: idle.map((bytes, round) => (bytes - empty[round]!) / idleFunctions / 1024),
      goals: [{ of: 'median', atMost: 4 }],
      note: `a mesh of ${idleFunctions} functions without policies less an empty one, for each function`,
    }),
    measured({
      name: `memory: ${ruledFunctions} functions with 10 rules each`,
      unit: 'MB',
      rounds: ruled.map((bytes, round) => (bytes - empty[round]!) / megabyte),
      goals: [{ of: 'median', atMost: 20 }],
      note: 'over an empty mesh',
    }),
    measured({
      name: `memory: ${heldRequests} requests in flight`,
      unit: 'MB',
      rounds: held.map((bytes) => bytes / megabyte),
      goals: [{ of: 'median', atMost: 40 }],
      note: 'over the same mesh before them, warmed up',
    }),
  ]
}

// The mesh has served requests before, so that code compiled on the way is not counted as a request's.
async function heldBytes(children: BenchRun['children'], settler: Settler): Promise<number> {
  const upstream = await startHeldRequests(children)
  const mesh: Mesh = await startMesh(
    children,
    'held',
    [
      meshConfig({ engines: 1 }),
      service('api', `endpoint:127.0.0.1:${upstream.port}`),
      authorization('api', RULES),
    ],
    settler.environment,
  )
  const head = requestHead(mesh.host('api'))
  for (let batch = 0; batch < 20; batch++) {
    await upstream.hold(mesh.gatewayPort, head, 100)
    await upstream.release()
  }
  const before = await settler.settledBytes(mesh.processes)
  await upstream.hold(mesh.gatewayPort, head, heldRequests)
  const during = await settler.settledBytes(mesh.processes)
  await upstream.release()
  await children.stop(mesh.child)
  await children.stop(upstream.child)
  return during - before
}
