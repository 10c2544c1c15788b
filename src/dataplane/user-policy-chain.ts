import type { UserPoliciesSlice } from '../policy/user-policy-slice.ts'
import type { Sandbox, SandboxModule } from '../sandbox/sandbox.ts'
import { SLOT_CARRY, SLOT_FIRST_FIELD, STAGE_RESPONSE } from '../sidecar/layout/user-policies.ts'
import { OPERATION_ADD, OPERATION_REMOVE } from '../sidecar/layout/user-policy.ts'
import type { UserStates } from '../state/user-state.ts'
import { type Carried, type PolicyFailure, type PolicyOutcome, UserPolicy } from './user-policy.ts'
import { decodeCarried, encodeAnswer, encodeCarried, type StageDenial } from './user-policy-answer.ts'
import type { FieldOperation } from './user-policy-output.ts'
import { readStageRequest, type StageRequest } from './user-policy-request.ts'

/** Most bytes that all policies of a stage carry together. */
const MOST_CARRIED = 4096

/** What has come of user policies in one engine; only ever grows. */
export interface UserPolicyCounters {
  runs: number
  allowed: number
  denied: number
  /** Policies that could not judge, by why. */
  failed: Record<PolicyFailure, number>
  /** Those of them whose manifest lets the request pass then. */
  failedOpen: number
  /** By policy: what went wrong last. */
  lastFailure: Record<string, string>
}

export function newUserPolicyCounters(): UserPolicyCounters {
  return {
    runs: 0,
    allowed: 0,
    denied: 0,
    failed: { fuel: 0, trap: 0, output: 0, 'state-full': 0, 'too-large': 0 },
    failedOpen: 0,
    lastFailure: {},
  }
}

/** A module and the sandbox in which all policies of an engine that bring it run, one after the other. */
export interface ModuleInUse {
  readonly module: SandboxModule
  readonly sandbox: Sandbox
}

/** The user policies of one function, ready to run stage by stage. */
export class UserPolicyChain {
  readonly slice: UserPoliciesSlice
  readonly #stages: readonly { readonly number: number; readonly policy: UserPolicy }[][]
  readonly #carries: ReadonlySet<number>
  readonly #states: UserStates
  readonly #counters: UserPolicyCounters

  /** `modules` are those of the slice's policies, in their order. */
  constructor(
    slice: UserPoliciesSlice,
    modules: readonly ModuleInUse[],
    states: UserStates,
    counters: UserPolicyCounters,
  ) {
    this.slice = slice
    this.#states = states
    this.#counters = counters
    this.#stages = slice.stages.map((stage, stageNumber) =>
      stage.run.map((number) => {
        const { module, sandbox } = modules[number]!
        return {
          number,
          policy: new UserPolicy(slice.policies[number]!, module, sandbox, stageNumber, stage),
        }
      }),
    )
    this.#carries = new Set(slice.stages[STAGE_RESPONSE]!.run)
  }

  /** Answers a sidecar's need: runs the stage's policies in order, up to the first that denies. */
  answer(key: Buffer): Buffer {
    const request = readStageRequest(key, this.slice.stages)
    const isResponse = request.stage === STAGE_RESPONSE
    const carried = isResponse ? decodeCarried(request.slots[SLOT_CARRY] ?? NOTHING) : null
    const operations: FieldOperation[] = []
    const carry: Buffer[] = []
    for (const { number, policy } of this.#stages[request.stage]!) {
      this.#counters.runs++
      const before = carried?.get(number) ?? (isResponse ? NOTHING_CARRIED : null)
      const outcome = this.#store(policy, policy.run(request, this.#states, before), request)
      const denial = this.#judge(number, policy, outcome, isResponse)
      if (outcome.kind !== 'failed') {
        operations.push(...outcome.operations)
        this.#show(outcome.operations, request)
        if (denial === null && this.#carries.has(number) && !isResponse) {
          if (outcome.carry.length > 0 || outcome.keys.length > 0)
            carry.push(encodeCarried(number, { bytes: outcome.carry, keys: outcome.keys }))
        }
      }
      if (denial !== null) return encodeAnswer(denial, operations, NOTHING)
    }
    const all = carry.length === 0 ? NOTHING : Buffer.concat(carry)
    if (all.length > MOST_CARRIED)
      throw new Error(`user policies carry ${all.length} bytes: at most ${MOST_CARRIED}`)
    return encodeAnswer(null, operations, all)
  }

  /** Applies the changes of state, all or none. */
  #store(policy: UserPolicy, outcome: PolicyOutcome, { time }: StageRequest): PolicyOutcome {
    if (outcome.kind === 'failed' || outcome.changes.length === 0) return outcome
    const { states } = policy.slice
    for (const { state, bytes } of outcome.changes) {
      const terms = states[state]!
      if (this.#states.fits(terms, outcome.keys[state]!, time, terms.type === 'set' ? bytes : null)) continue
      return { kind: 'failed', why: 'state-full', message: `no more fits the state ${terms.name}` }
    }
    for (const { state, amount, bytes } of outcome.changes) {
      this.#states.change(states[state]!, outcome.keys[state]!, time, amount, bytes)
    }
    return outcome
  }

  #judge(
    number: number,
    { slice }: UserPolicy,
    outcome: PolicyOutcome,
    isResponse: boolean,
  ): StageDenial | null {
    const counters = this.#counters
    switch (outcome.kind) {
      case 'allow':
        counters.allowed++
        return null
      case 'deny':
        counters.denied++
        return { policy: number, status: outcome.status, text: outcome.text }
      case 'failed': {
        counters.failed[outcome.why]++
        noteFailure(counters.lastFailure, slice.name, outcome.message)
        // A client chooses the size of its request: what does not fit must not pass by that.
        if (slice.allowsOnFailure && outcome.why !== 'too-large') {
          counters.failedOpen++
          return null
        }
        const status = outcome.why === 'too-large' && !isResponse ? 431 : 500
        return { policy: number, status, text: `the policy ${slice.name} failed` }
      }
    }
  }

  /** Lets the policies after it see the fields as the policy has left them. */
  #show(operations: readonly FieldOperation[], request: StageRequest): void {
    const isResponse = request.stage === STAGE_RESPONSE
    const { fields } = this.slice.stages[request.stage]!
    for (const { kind, onResponse, name, value } of operations) {
      const index = fields.indexOf(name)
      if (index < 0 || onResponse !== isResponse) continue
      const slot = SLOT_FIRST_FIELD + index
      const before = request.slots[slot]
      if (kind === OPERATION_REMOVE) request.slots[slot] = null
      else if (kind === OPERATION_ADD && before) request.slots[slot] = Buffer.concat([before, COMMA, value])
      else request.slots[slot] = value
    }
  }
}

function noteFailure(last: Record<string, string>, policy: string, message: string): void {
  // Policies come and go; that which failed first is forgotten.
  const known = Object.keys(last)
  if (known.length >= MOST_FAILURES && !Object.hasOwn(last, policy)) delete last[known[0]!]
  last[policy] = message
}

/** Policies of which the last failure is kept. */
const MOST_FAILURES = 64
const NOTHING = Buffer.alloc(0)
const COMMA = Buffer.from(',')
const NOTHING_CARRIED: Carried = { bytes: NOTHING, keys: [] }
