import type { UserPolicySlice, UserStageSlice, UserStateSlice } from '../policy/user-policy-slice.ts'
import { type Sandbox, type SandboxModule, TRAP_FUEL } from '../sandbox/sandbox.ts'
import {
  SLOT_CLIENT_ADDRESS,
  SLOT_FIRST_FIELD,
  SLOT_PRINCIPAL,
  STAGE_RESPONSE,
} from '../sidecar/layout/user-policies.ts'
import {
  AREA_PER_PAGE,
  MAX_KEY,
  RETURN_ALLOW,
  RETURN_DENY,
  RETURN_KEYS,
} from '../sidecar/layout/user-policy.ts'
import type { UserStates } from '../state/user-state.ts'
import { InputTooLarge, PolicyInput } from './user-policy-input.ts'
import { BadPolicyOutput, type FieldOperation, PolicyOutput, type StateChange } from './user-policy-output.ts'
import { claimValues, type StageRequest } from './user-policy-request.ts'

/** Why a policy could not judge. */
export type PolicyFailure = 'fuel' | 'trap' | 'output' | 'state-full' | 'too-large'

export type PolicyOutcome =
  | {
      readonly kind: 'allow' | 'deny'
      /** A denial's. */
      readonly status: number
      readonly text: string
      readonly operations: readonly FieldOperation[]
      readonly changes: readonly StateChange[]
      /** For the response phase of the same request: what the module carries, and the keys of its states. */
      readonly carry: Buffer
      readonly keys: readonly (string | null)[]
    }
  | { readonly kind: 'failed'; readonly why: PolicyFailure; readonly message: string }

/** What the request phase left for the response phase. */
export interface Carried {
  readonly bytes: Buffer
  readonly keys: readonly (string | null)[]
}

/** One policy of one stage, ready to run. */
export class UserPolicy {
  readonly slice: UserPolicySlice
  readonly #sandbox: Sandbox
  readonly #entry: 'request' | 'response'
  readonly #input: PolicyInput
  readonly #output: PolicyOutput
  readonly #stage: UserStageSlice
  readonly #computesKeys: boolean

  constructor(
    slice: UserPolicySlice,
    module: SandboxModule,
    sandbox: Sandbox,
    stageNumber: number,
    stage: UserStageSlice,
  ) {
    this.slice = slice
    this.#sandbox = sandbox
    this.#stage = stage
    const isResponse = stageNumber === STAGE_RESPONSE
    this.#entry = isResponse ? 'response' : 'request'
    const base = module.pages * AREA_PER_PAGE
    const fields = (isResponse ? slice.responseFields : slice.fields).map((name) => ({
      name,
      slot: SLOT_FIRST_FIELD + stage.fields.indexOf(name),
    }))
    const firstClaim = SLOT_FIRST_FIELD + stage.fields.length
    const claims = isResponse
      ? []
      : slice.claims.map((name) => ({ name, slot: firstClaim + stage.claims.indexOf(name) }))
    this.#input = new PolicyInput(slice, sandbox, base, isResponse, fields, claims)
    this.#output = new PolicyOutput(slice, sandbox.memory, base)
    this.#computesKeys = !isResponse && slice.states.some(({ key }) => key.from === 'module')
  }

  /** Runs the module in a fresh sandbox. Nothing is stored: the caller applies the changes. */
  run(request: StageRequest, states: UserStates, carried: Carried | null): PolicyOutcome {
    const sandbox = this.#sandbox
    try {
      sandbox.fresh()
      this.#input.write(request, carried?.bytes ?? null)
      const keys = carried?.keys ?? this.#findKeys(request)
      if (this.#computesKeys) {
        const failure = this.#call('keys', RETURN_KEYS)
        if (failure !== null) return failure
        for (const [state, key] of this.#output.keys()) (keys as (string | null)[])[state] = key
      }
      for (const [index, key] of keys.entries()) {
        if (key === null) continue
        this.#input.writeState(index, states.read(this.slice.states[index]!, key, request.time))
      }
      const result = sandbox.call(this.#entry)
      if (result !== RETURN_ALLOW && result !== RETURN_DENY) return this.#failure(this.#entry, result)
      return this.#read(result === RETURN_DENY, keys)
    } catch (error) {
      if (error instanceof BadPolicyOutput) return { kind: 'failed', why: 'output', message: error.message }
      if (error instanceof InputTooLarge) return { kind: 'failed', why: 'too-large', message: error.message }
      throw error
    }
  }

  #read(denies: boolean, keys: readonly (string | null)[]): PolicyOutcome {
    const output = this.#output
    return {
      kind: denies ? 'deny' : 'allow',
      status: denies ? output.status() : 0,
      text: denies ? output.text() : '',
      operations: output.operations(this.#entry === 'request'),
      changes: output.changes(keys),
      carry: this.#entry === 'request' ? output.carry() : NOTHING,
      keys,
    }
  }

  #call(entry: string, expected: number): PolicyOutcome | null {
    const result = this.#sandbox.call(entry)
    return result === expected ? null : this.#failure(entry, result)
  }

  #failure(entry: string, result: number): PolicyOutcome {
    if (result === TRAP_FUEL) {
      const message = `${entry} used up its fuel of ${this.#sandbox.module.fuel}`
      return { kind: 'failed', why: 'fuel', message }
    }
    if (result < 0) {
      return { kind: 'failed', why: 'trap', message: `${entry} trapped: ${this.#sandbox.trapText()}` }
    }
    return { kind: 'failed', why: 'output', message: `${entry} returned ${result}` }
  }

  /** The keys that the request itself has; null: none. */
  #findKeys(request: StageRequest): (string | null)[] {
    return this.slice.states.map((state) => this.#keyOf(state, request))
  }

  #keyOf({ key }: UserStateSlice, { slots }: StageRequest): string | null {
    switch (key.from) {
      case 'field':
        return keyText(slots[SLOT_FIRST_FIELD + key.index])
      case 'claim': {
        const slot = slots[SLOT_FIRST_FIELD + this.#stage.fields.length + key.index]
        return slot ? keyText(claimValues(slot)[0]) : null
      }
      case 'principal':
        return keyText(slots[SLOT_PRINCIPAL])
      case 'clientAddress':
        return keyText(slots[SLOT_CLIENT_ADDRESS])
      case 'constant':
        return ''
      case 'module':
        return null
    }
  }
}

const NOTHING = Buffer.alloc(0)

/** A key that is too long would be cut, and two clients could share it. */
function keyText(value: Buffer | null | undefined): string | null {
  if (!value) return null
  if (value.length > MAX_KEY)
    throw new InputTooLarge(`a key of ${value.length} bytes: at most ${MAX_KEY} are stored`)
  return value.toString('latin1')
}
