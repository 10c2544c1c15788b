import type { ToEngine } from '../dataplane/engine-messages.ts'
import type { UserModulesSlice } from '../dataplane/user-policies.ts'
import { UserStates, type UserStateUpdate } from '../state/user-state.ts'
import type { CompiledMesh } from './compile-mesh.ts'

/** Takes the modules of users' policies to the engines, and what one engine has stored for them to the others. */
export class UserPolicyHub {
  readonly #send: (engine: string, message: ToEngine) => void
  /** All that engines have told: what an engine that starts is given. */
  readonly #states = new UserStates('')

  constructor(send: (engine: string, message: ToEngine) => void) {
    this.#send = send
  }

  /** Sends the engines the modules that are new; before the functions that name them. */
  apply(engines: readonly string[], before: CompiledMesh, next: CompiledMesh): void {
    if (before.modules.size + next.modules.size === 0) return
    const modules = modulesSlice(next, before)
    this.#states.keepOnly(new Set(modules.states))
    for (const engine of engines) this.#send(engine, { type: 'user-modules', modules })
  }

  forNewEngine(compiled: CompiledMesh, now: number): ToEngine[] {
    if (compiled.modules.size === 0) return []
    const updates = this.#states.snapshot(now)
    const messages: ToEngine[] = [{ type: 'user-modules', modules: modulesSlice(compiled, null) }]
    if (updates.length > 0) messages.push({ type: 'user-state', updates })
    return messages
  }

  /** Passes on what an engine has stored. */
  receive(from: string, updates: readonly UserStateUpdate[], engines: readonly string[]): void {
    this.#states.merge(updates)
    for (const engine of engines) {
      if (engine !== from) this.#send(engine, { type: 'user-state', updates: [...updates] })
    }
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
