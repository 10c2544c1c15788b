import type { ToEngine } from '../dataplane/engine-messages.ts'
import type { UserModulesSlice } from '../dataplane/user-policies.ts'
import { UserStates, type UserStateUpdate } from '../state/user-state.ts'
import type { CompiledMesh } from './compile-mesh.ts'

/** A node's engines. */
export interface HubNode {
  readonly name: string
  readonly engines: readonly string[]
}

/** Takes the modules of users' policies to the engines, and what one engine has stored for them to the others. */
export class UserPolicyHub {
  readonly #send: (engine: string, message: ToEngine) => void
  /** What engines have told, so that one that starts holds what the others hold: by node, and ('') for the whole cluster. */
  readonly #held = new Map<string, UserStates>()

  constructor(send: (engine: string, message: ToEngine) => void) {
    this.#send = send
  }

  /** Sends the engines the modules that are new; before the functions that name them. */
  apply(engines: readonly string[], before: CompiledMesh, next: CompiledMesh): void {
    if (before.modules.size + next.modules.size === 0) return
    const modules = modulesSlice(next, before)
    const kept = new Set(modules.states)
    for (const states of this.#held.values()) states.keepOnly(kept)
    for (const engine of engines) this.#send(engine, { type: 'user-modules', modules })
  }

  /** What a new engine is told of the modules. */
  modules(compiled: CompiledMesh): ToEngine[] {
    return compiled.modules.size === 0
      ? []
      : [{ type: 'user-modules', modules: modulesSlice(compiled, null) }]
  }

  /** What a new engine of the node, which has the modules, is told of what others hold. */
  states(node: string, now: number): ToEngine[] {
    const updates = ['', node].flatMap((place) => this.#held.get(place)?.snapshot(now) ?? [])
    return updates.length > 0 ? [{ type: 'user-state', updates }] : []
  }

  /** Passes on what an engine has stored: state of scope `node` within its node. */
  receive(from: string, node: string, updates: readonly UserStateUpdate[], nodes: readonly HubNode[]): void {
    const near = updates.filter(({ scope }) => scope === 'node')
    const wide = updates.filter(({ scope }) => scope === 'cluster')
    this.#statesOf(node).merge(near)
    this.#statesOf('').merge(wide)
    for (const { name, engines } of nodes) {
      const told = name === node ? [...updates] : wide
      if (told.length === 0) continue
      for (const engine of engines) {
        if (engine !== from) this.#send(engine, { type: 'user-state', updates: told })
      }
    }
  }

  #statesOf(place: string): UserStates {
    const known = this.#held.get(place)
    if (known !== undefined) return known
    const states = new UserStates('')
    this.#held.set(place, states)
    return states
  }
}

function modulesSlice(compiled: CompiledMesh, before: CompiledMesh | null): UserModulesSlice {
  const states = new Set<string>()
  for (const { userPolicies } of compiled.functions.values()) {
    for (const policy of userPolicies?.policies ?? []) for (const { id } of policy.states) states.add(id)
  }
  const lacking = [...compiled.modules].filter(([hash]) => !before?.modules.has(hash))
  return {
    upsert: lacking.map(([hash, bytes]) => ({ hash, bytes })),
    keep: [...compiled.modules.keys()],
    states: [...states],
  }
}
