import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { BenchRun } from './bench.ts'
import type { Children } from './children.ts'
import { startHeldRequests } from './held-requests.ts'
import { authorization, meshConfig, service } from './manifests.ts'
import { startMesh } from './mayfly.ts'
import { interleaved } from './rounds.ts'
import { measured, type Row } from './row.ts'
import { openSettler, type Resident, type Settler } from './settle.ts'
import { median } from './statistics.ts'
import { RULES, requestHead } from './workload.ts'

const idleFunctions = 4000
const ruledFunctions = 1000
const heldRequests = 2000
const kibibyte = 1024
const megabyte = 1e6

/** Resident memory of the whole mesh (all its processes but the functions'), as differences between settled meshes. */
export async function memory({ rounds, children, say }: BenchRun): Promise<Row[]> {
  const settler = await openSettler()
  const meshes = Object.entries(meshesOf(children.folder))
  const started = await interleaved(rounds, meshes, async ([kind, manifests], round) => {
    say(`round ${round + 1}/${rounds}: ${kind}`)
    const mesh = await startMesh(children, kind, manifests, settler.environment)
    const bytes = await settler.residentBytes(mesh.processes)
    await children.stop(mesh.child)
    return bytes
  })
  const [empty, idle, ruled] = [...started.values()] as [Resident[], Resident[], Resident[]]
  const held: number[] = []
  for (let round = 0; round < rounds; round++) {
    say(`round ${round + 1}/${rounds}: ${heldRequests} requests in flight`)
    held.push((await bytesOfHeldRequests(children, settler)) / megabyte)
  }
  settler.close()
  return [
    measured({ name: 'memory: an empty mesh', unit: 'MB', ...figures(empty, undefined, megabyte, 'MB') }),
    measured({
      name: 'memory: an idle function',
      unit: 'KiB',
      ...figures(idle, empty, idleFunctions * kibibyte, `KiB; each of ${idleFunctions} without policies`),
      goals: [{ of: 'median', atMost: 4 }],
    }),
    measured({
      name: `memory: ${ruledFunctions} functions with 10 rules each`,
      unit: 'MB',
      ...figures(ruled, empty, megabyte, 'MB over an empty mesh'),
      goals: [{ of: 'median', atMost: 20 }],
    }),
    measured({
      name: `memory: ${heldRequests} requests in flight`,
      unit: 'MB',
      rounds: held,
      goals: [{ of: 'median', atMost: 40 }],
      note: 'over the same mesh before them, warmed up',
    }),
  ]
}

function meshesOf(folder: string): Record<'empty' | 'idle' | 'ruled', object[]> {
  const code = join(folder, 'idle.ts')
  writeFileSync(code, "export default { fetch: () => new Response('idle') }\n")
  const mesh = meshConfig({ engines: 1 })
  const names = (count: number) => Array.from({ length: count }, (_, index) => `f${index}`)
  const image = `file:${code}`
  return {
    empty: [mesh],
    idle: [mesh, ...names(idleFunctions).map((name) => service(name, image))],
    ruled: [
      mesh,
      ...names(ruledFunctions).flatMap((name) => [service(name, image), authorization(name, RULES)]),
    ],
  }
}

// The difference to `base`, round by round. What was resident before the forced collection is noted: a mesh that nobody
// presses for memory keeps that for long.
function figures(
  resident: readonly Resident[],
  base: readonly Resident[] | undefined,
  bytes: number,
  what: string,
): { rounds: number[]; note: string } {
  const difference = (of: keyof Resident) =>
    resident.map((one, round) => (one[of] - (base?.[round]?.[of] ?? 0)) / bytes)
  const standing = median(difference('standing')).toFixed(1)
  return { rounds: difference('settled'), note: `before the forced collection ${standing} ${what}` }
}

// The mesh has served requests before, so that code compiled on the way is not counted as a request's.
async function bytesOfHeldRequests(children: Children, settler: Settler): Promise<number> {
  const upstream = await startHeldRequests(children)
  const image = `endpoint:127.0.0.1:${upstream.port}`
  const manifests = [meshConfig({ engines: 1 }), service('api', image), authorization('api', RULES)]
  const mesh = await startMesh(children, 'held', manifests, settler.environment)
  const head = requestHead(mesh.host('api'))
  for (let batch = 0; batch < 20; batch++) {
    await upstream.hold(mesh.gatewayPort, head, 100)
    await upstream.release()
  }
  const before = await settler.residentBytes(mesh.processes)
  await upstream.hold(mesh.gatewayPort, head, heldRequests)
  const during = await settler.residentBytes(mesh.processes)
  await upstream.release()
  await children.stop(mesh.child)
  await children.stop(upstream.child)
  return during.settled - before.settled
}
