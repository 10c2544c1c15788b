import type { Mesh } from '../control/mesh.ts'
import { allInstanceStatuses } from '../control/mesh-status.ts'
import type { NodeBook } from '../control/nodes/node-book.ts'
import type { NodeRegistry } from '../control/nodes/node-registry.ts'
import { formatAddress } from './parse-address.ts'

/** A node as lists show it. */
export interface NodeRow {
  node: string
  roles: string[]
  /** `out of reach`: its stream is broken, what it runs may serve on; `gone`: what it ran was started elsewhere. */
  state: 'ready' | 'out of reach' | 'gone'
  schedulable: boolean
  /** Where other nodes reach it; null: they need not, or it is not there. */
  address: string | null
  /** Where clients reach a gateway. */
  gateway: string | null
  /** How many functions its engines know. */
  functions: number
  /** Instances that it has, in whatever state. */
  instances: number
  engines: string[]
}

/** A node of a mesh over several machines. */
export interface ClusterNodeRow extends NodeRow {
  zone: string
  version: string
  cpus: number
  memoryBytes: number
  /** What its instances ask for together; null: it is not there, or runs none. */
  requested: { readonly cpuMillis: number; readonly memoryBytes: number } | null
  /** RFC 3339, UTC; null: not since the control plane began. */
  lastSeen: string | null
  joined: string
  /** What it said that was not its to say. */
  refused: number
}

/** The nodes of a mesh of one process. */
export function localNodes(mesh: Mesh): NodeRow[] {
  const counts = instancesByNode(mesh)
  return mesh.nodes().map((node) => ({
    ...node,
    state: 'ready' as const,
    gateway: node.roles.includes('gateway') ? mesh.gateway : null,
    instances: counts.get(node.node) ?? 0,
  }))
}

/** All nodes that have joined a mesh, whether they are there now or not. */
export async function clusterNodes(
  mesh: Mesh,
  registry: NodeRegistry,
  book: NodeBook,
): Promise<ClusterNodeRow[]> {
  const counts = instancesByNode(mesh)
  const present = new Map(mesh.nodes().map((node) => [node.node, node]))
  return (await book.list()).map(({ name, role, joinedAt, schedulable }) => {
    const there = present.get(name)
    const node = registry.node(name)
    const seenAt = registry.seenAt(name)
    const {
      version = '',
      zone = '',
      cpus = 0,
      memoryBytes = 0,
      gatewayHost = '',
      gatewayPort = 0,
    } = node?.hello ?? {}
    return {
      node: name,
      roles: there?.roles ?? [role === 'gateway' ? 'gateway' : 'functions'],
      state: node === undefined ? 'gone' : node.attached ? 'ready' : 'out of reach',
      schedulable,
      address: there?.address ?? null,
      gateway: gatewayPort === 0 ? null : `http://${formatAddress(gatewayHost, gatewayPort)}`,
      functions: there?.functions ?? 0,
      instances: counts.get(name) ?? 0,
      engines: there?.engines ?? [],
      zone,
      version,
      cpus,
      memoryBytes,
      requested: there?.requested ?? null,
      lastSeen: seenAt === null ? null : new Date(seenAt).toISOString(),
      joined: joinedAt,
      refused: node?.refused ?? 0,
    }
  })
}

function instancesByNode(mesh: Mesh): Map<string, number> {
  const counts = new Map<string, number>()
  for (const { node } of allInstanceStatuses(mesh))
    if (node !== null) counts.set(node, (counts.get(node) ?? 0) + 1)
  return counts
}
