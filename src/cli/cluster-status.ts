import type { Mesh } from '../control/mesh.ts'
import {
  allInstanceStatuses,
  functionStatus,
  instanceStatuses,
  policyStatuses,
} from '../control/mesh-status.ts'
import type { NodeBook } from '../control/nodes/node-book.ts'
import type { NodeRegistry } from '../control/nodes/node-registry.ts'
import { pastDecision } from '../control/past-decision.ts'
import type { ReviewedDecision } from '../dataplane/decision-review.ts'
import { clusterNodes } from './node-rows.ts'
import { clusterUsage } from './usage-sample.ts'

/** What a mesh over several machines is doing (MeshService.Status); undefined: there is no such thing. */
export async function clusterStatus(
  { mesh, registry, nodes }: { mesh: Mesh; registry: NodeRegistry; nodes: NodeBook },
  what: string,
  name: string,
): Promise<unknown> {
  switch (what) {
    case 'functions':
      return [...mesh.compiled.functions.values()].map((fn) => functionStatus(mesh, fn))
    case 'instances':
      return allInstanceStatuses(mesh)
    case 'policies':
      return policyStatuses(mesh)
    case 'nodes':
      return clusterNodes(mesh, registry, nodes)
    case 'engines':
      return engines(mesh)
    case 'identities':
      return mesh.identities()
    case 'mesh':
      return { config: mesh.compiled.config, pid: process.pid }
    case 'sample':
      return clusterUsage(mesh, registry)
    case 'describe':
      return describe(mesh, name)
    case 'decisions':
      return decision(mesh, name)
    default:
      return undefined
  }
}

async function engines(mesh: Mesh) {
  const answers = await mesh.query({ kind: 'counters' })
  const counters = new Map(answers.map(({ engine, answer }) => [engine, answer]))
  return mesh.engines().map(({ engine, pid }) => ({ engine, pid, counters: counters.get(engine) ?? null }))
}

async function decision(mesh: Mesh, requestId: string) {
  const answers = await mesh.query({ kind: 'decision', requestId })
  const decisions = answers.flatMap(({ engine, answer }) =>
    (Array.isArray(answer) ? (answer as ReviewedDecision[]) : []).map((one) => ({ engine, decision: one })),
  )
  return pastDecision(mesh.compiled, decisions)
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
