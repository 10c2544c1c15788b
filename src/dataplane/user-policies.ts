import type { UserPoliciesSlice, UserPolicySlice } from '../policy/user-policy-slice.ts'
import { NEED_USER_POLICY } from '../sidecar/layout/record.ts'
import { UserStates } from '../state/user-state.ts'
import type { Answerer } from './needs.ts'
import { type ModuleInUse, newUserPolicyCounters, UserPolicyChain } from './user-policy-chain.ts'
import { loadUserModule } from './user-policy-module.ts'
import { warmUp } from './user-policy-warm-up.ts'

/** A module as control sends it. */
export interface UserModule {
  /** SHA-256 of the bytes, in hexadecimal. */
  hash: string
  bytes: Uint8Array
}

/** All modules that the mesh's policies bring, of which an engine is sent those that it lacks, and all states that they have. */
export interface UserModulesSlice {
  upsert: UserModule[]
  keep: string[]
  states: string[]
}

/** The user policies of one engine: their modules, each with one sandbox, and their state. */
export class UserPolicies {
  readonly counters = newUserPolicyCounters()
  readonly states: UserStates
  readonly #bytes = new Map<string, Uint8Array>()
  /** By module and the terms on which it was loaded. */
  readonly #loaded = new Map<string, ModuleInUse>()
  readonly #warm = new WeakSet<ModuleInUse>()
  readonly #chains = new WeakMap<UserPoliciesSlice, UserPolicyChain>()

  /** `engine` tells this engine's writes from others'. */
  constructor(engine: string) {
    this.states = new UserStates(engine)
  }

  /** Takes the modules that functions will name, and forgets those that none names any more. */
  takeModules({ upsert, keep, states }: UserModulesSlice): void {
    for (const { hash, bytes } of upsert) this.#bytes.set(hash, Uint8Array.from(bytes))
    const kept = new Set(keep)
    for (const hash of this.#bytes.keys()) if (!kept.has(hash)) this.#bytes.delete(hash)
    for (const place of this.#loaded.keys()) if (!kept.has(place.split(' ')[0]!)) this.#loaded.delete(place)
    this.states.keepOnly(new Set(states))
  }

  /** Whether all modules of the policies have been run so often that the platform has compiled them well. */
  isWarm(slice: UserPoliciesSlice): boolean {
    return slice.policies.every((policy) => {
      const loaded = this.#loaded.get(placeOf(policy))
      return loaded !== undefined && this.#warm.has(loaded)
    })
  }

  /** Loads and runs the policies' modules, a little at a time; resolves when they are warm. A module that cannot be loaded is left. */
  async warm(slice: UserPoliciesSlice): Promise<void> {
    try {
      const modules = slice.policies.map((policy) => this.#moduleOf(policy))
      // With states of its own: nothing of it is kept.
      const chain = new UserPolicyChain(slice, modules, new UserStates(''), newUserPolicyCounters())
      await warmUp(chain)
      for (const module of modules) this.#warm.add(module)
    } catch {
      // Requests will fail by the same cause, and are counted then.
    }
  }

  readonly answer: Answerer = (need, entry) => {
    const slice = entry.slice.userPolicies
    if (!slice) throw new Error(`${entry.slice.key} has no user policies`)
    return this.#chainOf(slice).answer(need.key)
  }

  #chainOf(slice: UserPoliciesSlice): UserPolicyChain {
    const known = this.#chains.get(slice)
    if (known !== undefined) return known
    const modules = slice.policies.map((policy) => this.#moduleOf(policy))
    const chain = new UserPolicyChain(slice, modules, this.states, this.counters)
    this.#chains.set(slice, chain)
    return chain
  }

  #moduleOf(policy: UserPolicySlice): ModuleInUse {
    const place = placeOf(policy)
    const known = this.#loaded.get(place)
    if (known !== undefined) return known
    const bytes = this.#bytes.get(policy.module)
    if (bytes === undefined) throw new Error(`the module of ${policy.name} was not sent`)
    const loaded = loadUserModule(bytes, termsOf(policy))
    if (!loaded.ok) throw new Error(`the module of ${policy.name} is refused: ${loaded.refusal.message}`)
    const inUse = { module: loaded.module, sandbox: loaded.module.sandbox() }
    this.#loaded.set(place, inUse)
    return inUse
  }
}

/** With what an engine answers the needs of user policies. */
export function userPolicyAnswerer(policies: UserPolicies): [number, Answerer] {
  return [NEED_USER_POLICY, policies.answer]
}

/** On what terms a policy's module is loaded. */
export function termsOf(policy: UserPolicySlice) {
  return {
    phases: policy.phases,
    computesKeys: policy.states.some(({ key }) => key.from === 'module'),
    memoryPages: policy.memoryPages,
    fuel: policy.fuel,
    newInstance: policy.newInstance,
  }
}

function placeOf(policy: UserPolicySlice): string {
  const { phases, computesKeys, memoryPages, fuel, newInstance } = termsOf(policy)
  return `${policy.module} ${memoryPages} ${fuel} ${newInstance} ${computesKeys} ${phases.join('+')}`
}
