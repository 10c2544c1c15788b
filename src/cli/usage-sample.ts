import type { Mesh } from '../control/mesh.ts'
import type { NodeRegistry } from '../control/nodes/node-registry.ts'
import { type NodeUsage, readNodeUsage, usageHere } from '../control/nodes/node-usage.ts'
import type { Usage } from '../runtime/process-usage.ts'

/** What a mesh has used up to a moment. CPU time and requests only grow; two samples make a rate. */
export interface UsageSample {
  /** Milliseconds since the epoch. */
  at: number
  /** `own` is Mayfly's part: agent and engines, and in a mesh of one process control as well; null: the node did not answer. */
  nodes: { node: string; roles: string[]; own: Usage | null; requests: number; inFlight: number }[]
  instances: ({ id: string; function: string; node: string } & Usage)[]
  functions: { function: string; ready: number; requests: number }[]
}

/** Of a mesh over several machines. */
export async function clusterUsage(mesh: Mesh, registry: NodeRegistry): Promise<UsageSample> {
  const usages = await Promise.all(
    registry
      .nodes()
      .map(async (node) => [node.name, readNodeUsage(await node.ask({ kind: 'usage' }))] as const),
  )
  return sample(mesh, new Map(usages))
}

/** Of a mesh whose nodes are all of this process. */
export async function localUsage(mesh: Mesh): Promise<UsageSample> {
  const pids = new Map(mesh.engines().map(({ engine, pid }) => [engine, pid]))
  const usages = await Promise.all(
    mesh.nodes().map(async ({ node, engines }) => {
      const instances = instancesOf(mesh).filter(({ id }) => mesh.hostOf(id) === node)
      const usage = await usageHere(
        engines.map((engine) => pids.get(engine)),
        instances,
      )
      return [node, usage] as const
    }),
  )
  return sample(mesh, new Map(usages))
}

async function sample(mesh: Mesh, usages: ReadonlyMap<string, NodeUsage | null>): Promise<UsageSample> {
  const counters = new Map(
    (await mesh.query({ kind: 'counters' })).map(({ engine, answer }) => [
      engine,
      answer as { requests?: number; requestsInFlight?: number },
    ]),
  )
  const sum = (engines: string[], name: 'requests' | 'requestsInFlight') =>
    engines.reduce((total, engine) => total + Number(counters.get(engine)?.[name] ?? 0), 0)
  const nodes = mesh.nodes().map(({ node, roles, engines }) => ({
    node,
    roles,
    own: usages.get(node)?.own ?? null,
    requests: sum(engines, 'requests'),
    inFlight: sum(engines, 'requestsInFlight'),
  }))
  const functionOf = new Map(instancesOf(mesh).map((instance) => [instance.id, instance.function]))
  const instances = [...usages].flatMap(([node, usage]) =>
    (usage?.instances ?? []).flatMap(({ id, cpuMs, rssBytes }) =>
      // A node tells of its own instances.
      mesh.hostOf(id) === node ? [{ id, function: functionOf.get(id) ?? '', node, cpuMs, rssBytes }] : [],
    ),
  )
  const functions = [...mesh.compiled.functions.keys()].flatMap((key) => {
    const controller = mesh.controller(key)
    if (!controller) return []
    const ready = controller.instances().filter(({ state }) => state === 'ready').length
    return [{ function: key, ready, requests: controller.requests }]
  })
  return { at: Date.now(), nodes, instances, functions }
}

function instancesOf(mesh: Mesh) {
  return [...mesh.compiled.functions.keys()].flatMap((key) => mesh.controller(key)?.instances() ?? [])
}
