import type { Mesh } from '../control/mesh.ts'
import { functionStatus, instanceStatuses, policyStatuses } from '../control/mesh-status.ts'
import type { NodeRegistry } from '../control/nodes/node-registry.ts'

/** What a mesh over several machines is doing (MeshService.Status); undefined: there is no such thing. */
export async function clusterStatus(
  { mesh, registry }: { mesh: Mesh; registry: NodeRegistry },
  what: string,
  name: string,
): Promise<unknown> {
  switch (what) {
    case 'functions':
      return [...mesh.compiled.functions.values()].map((fn) => functionStatus(mesh, fn))
    case 'instances':
      return [...mesh.compiled.functions.keys()].flatMap((key) => instanceStatuses(mesh, key))
    case 'policies':
      return policyStatuses(mesh)
    case 'nodes':
      return mesh.nodes().map((node) => ({ ...node, ...nodeFacts(registry, node.node) }))
    case 'engines':
      return engines(mesh)
    case 'identities':
      return mesh.identities()
    case 'mesh':
      return { config: mesh.compiled.config, pid: process.pid }
    case 'describe':
      return describe(mesh, name)
    default:
      return undefined
  }
}

function nodeFacts(registry: NodeRegistry, name: string) {
  const node = registry.node(name)
  if (!node) return {}
  const { version, zone, cpus, memoryBytes } = node.hello
  return { state: node.attached ? 'ready' : 'out of reach', version, zone, cpus, memoryBytes }
}

async function engines(mesh: Mesh) {
  const answers = await mesh.query({ kind: 'counters' })
  const counters = new Map(answers.map(({ engine, answer }) => [engine, answer]))
  return mesh.engines().map(({ engine, pid }) => ({ engine, pid, counters: counters.get(engine) ?? null }))
}

function describe(mesh: Mesh, key: string) {
  const compiled = mesh.compiled.functions.get(key)
  if (!compiled) return undefined
  return {
    status: functionStatus(mesh, compiled),
    instances: instanceStatuses(mesh, key),
    spec: compiled.spec,
    rules: compiled.policy.rules,
  }
}
