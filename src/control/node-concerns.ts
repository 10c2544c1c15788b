import type { FromEngine } from '../dataplane/engine-messages.ts'
import type { CompiledMesh } from './compile-mesh.ts'
import type { FunctionSlices } from './function-slices.ts'
import type { MeshNode } from './mesh-node.ts'

/** Limits and users' states, each with the functions that have them. */
interface Owners {
  limits: ReadonlyMap<string, readonly string[]>
  /** With what each state is, as JSON. */
  states: ReadonlyMap<string, { terms: string; functions: readonly string[] }>
}

/**
 * What of an engine's message is its node's to say: of functions that the node knows, it may tell requests, lease quota and
 * share state. The rest is left out; null: nothing is left.
 */
export function concerning(
  message: FromEngine,
  node: MeshNode,
  compiled: CompiledMesh,
  slices: FunctionSlices,
): FromEngine | null {
  const knows = (key: string) => slices.knows(node, key)
  switch (message.type) {
    case 'function-wanted':
      // By host functions are asked for where requests come from outside.
      return message.host === null || node.isGateway ? message : null
    case 'demand': {
      const reports = message.reports.filter(({ key }) => knows(key))
      return reports.length > 0 ? { ...message, reports } : null
    }
    case 'quota': {
      const { limits } = ownersOf(compiled)
      const isOwn = ({ limit }: { limit: string }) => limits.get(limit)?.some(knows) === true
      const { request } = message
      // Asks are answered in their order: one that is not the node's is for a limit that nobody has.
      const asks = request.asks.map((ask) => (isOwn(ask) ? ask : { ...ask, limit: '' }))
      return { ...message, request: { ...request, asks, settlements: request.settlements.filter(isOwn) } }
    }
    case 'user-state': {
      const { states } = ownersOf(compiled)
      const updates = message.updates.filter(({ id, type, windowMs, scope, maxKeys, maxMembers }) => {
        const state = states.get(id)
        const terms = JSON.stringify({ id, type, windowMs, scope, maxKeys, maxMembers })
        return state?.terms === terms && state.functions.some(knows)
      })
      return updates.length > 0 ? { ...message, updates } : null
    }
    default:
      return message
  }
}

const owners = new WeakMap<CompiledMesh, Owners>()

function ownersOf(compiled: CompiledMesh): Owners {
  const known = owners.get(compiled)
  if (known) return known
  const limits = new Map<string, string[]>()
  const states = new Map<string, { terms: string; functions: string[] }>()
  for (const [key, { quotaLimits, userPolicies }] of compiled.functions) {
    for (const { id } of quotaLimits) {
      const same = limits.get(id)
      if (same) same.push(key)
      else limits.set(id, [key])
    }
    for (const policy of userPolicies?.policies ?? []) {
      for (const { id, type, windowMs, scope, maxKeys, maxMembers } of policy.states) {
        const terms = JSON.stringify({ id, type, windowMs, scope, maxKeys, maxMembers })
        const same = states.get(id)
        if (same) same.functions.push(key)
        else states.set(id, { terms, functions: [key] })
      }
    }
  }
  const made = { limits, states }
  owners.set(compiled, made)
  return made
}
