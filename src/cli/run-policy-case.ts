import type { WasmPolicy } from '../api/wasm-policy.ts'
import { termsOf } from '../dataplane/user-policies.ts'
import { type Carried, type PolicyOutcome, UserPolicy } from '../dataplane/user-policy.ts'
import { loadUserModule } from '../dataplane/user-policy-module.ts'
import type { FieldOperation } from '../dataplane/user-policy-output.ts'
import type { StageRequest, StageShape } from '../dataplane/user-policy-request.ts'
import { singlePolicySlice } from '../policy/user-policies.ts'
import type { UserPolicySlice } from '../policy/user-policy-slice.ts'
import type { Sandbox } from '../sandbox/sandbox.ts'
import { DIRECTION_INBOUND, DIRECTION_INGRESS } from '../sidecar/layout/record.ts'
import { STAGE_AFTER, STAGE_BEFORE, STAGE_RESPONSE } from '../sidecar/layout/user-policies.ts'
import { OPERATION_ADD, OPERATION_SET } from '../sidecar/layout/user-policy.ts'
import { UserStates } from '../state/user-state.ts'
import type { Expectation, PolicyCase, PolicyStep } from './policy-cases.ts'

/** What became of a case: what was not as expected, and the most fuel that one run took. */
export interface CaseResult {
  problems: string[]
  fuel: number
}

/** A policy in a sandbox that is reset, and in one that is a new instance each time: both must come to the same. */
export interface TestBench {
  readonly slice: UserPolicySlice
  readonly benches: readonly Bench[]
}

interface Bench {
  readonly name: string
  readonly sandbox: Sandbox
  readonly request: UserPolicy | null
  readonly response: UserPolicy | null
  readonly requestShape: StageShape
  readonly responseShape: StageShape
}

export function testBench(policy: WasmPolicy, module: Uint8Array): TestBench {
  const { policies, stages } = singlePolicySlice(policy, '')
  const slice = policies[0]!
  const requestStage = policy.spec.order.position === 'before' ? STAGE_BEFORE : STAGE_AFTER
  const benches = [false, true].map((alwaysNew): Bench => {
    const loaded = loadUserModule(module, termsOf(slice), alwaysNew)
    if (!loaded.ok) throw new Error(loaded.refusal.message)
    const sandbox = loaded.module.sandbox()
    const inStage = (phase: 'request' | 'response', stage: number) =>
      slice.phases.includes(phase)
        ? new UserPolicy(slice, loaded.module, sandbox, stage, stages[stage]!)
        : null
    return {
      name: alwaysNew ? 'in a new instance' : 'in a reset one',
      sandbox,
      request: inStage('request', requestStage),
      response: inStage('response', STAGE_RESPONSE),
      requestShape: stages[requestStage]!,
      responseShape: stages[STAGE_RESPONSE]!,
    }
  })
  return { slice, benches }
}

export function runCase({ slice, benches }: TestBench, { steps }: PolicyCase): CaseResult {
  const result: CaseResult = { problems: [], fuel: 0 }
  const states = benches.map(() => new UserStates(''))
  for (const [index, step] of steps.entries()) {
    const runs = benches.map((bench, i) => runStep(bench, slice, states[i]!, step))
    const [first, second] = runs
    result.fuel = Math.max(result.fuel, first!.fuel)
    if (first!.trace !== second!.trace) {
      result.problems.push(`step ${index + 1}: a reset sandbox and a new instance come to different ends`)
    }
    for (const problem of first!.problems) result.problems.push(`step ${index + 1}: ${problem}`)
  }
  return result
}

interface StepRun {
  problems: string[]
  /** All that can be seen of the runs: outcome, fuel and memory. */
  trace: string
  fuel: number
}

function runStep(bench: Bench, slice: UserPolicySlice, states: UserStates, step: PolicyStep): StepRun {
  const run: StepRun = { problems: [], trace: '', fuel: 0 }
  const { time } = step.request
  let carried: Carried | null = null
  if (bench.request) {
    const outcome = bench.request.run(requestOf(step, bench.requestShape), states, null)
    note(run, bench, outcome)
    store(slice, outcome, states, time)
    if (outcome.kind !== 'failed') carried = { bytes: outcome.carry, keys: outcome.keys }
    compare(run.problems, 'expect', step.expect, outcome, slice, states, time)
  }
  if (bench.response && step.response && step.expectResponse) {
    const request = responseOf(step, bench.responseShape)
    const outcome = bench.response.run(request, states, carried ?? { bytes: Buffer.alloc(0), keys: [] })
    note(run, bench, outcome)
    store(slice, outcome, states, time)
    compare(run.problems, 'expectResponse', step.expectResponse, outcome, slice, states, time)
  } else if (step.response) {
    run.problems.push('response: the policy has no response phase')
  }
  return run
}

function note(run: StepRun, { sandbox }: Bench, outcome: PolicyOutcome): void {
  const fuel = sandbox.module.fuel - sandbox.fuelLeft()
  run.fuel = Math.max(run.fuel, fuel)
  run.trace += `${JSON.stringify(outcome)} ${fuel} ${sandbox.memory.toString('base64')}\n`
}

function store(slice: UserPolicySlice, outcome: PolicyOutcome, states: UserStates, time: number): void {
  if (outcome.kind === 'failed') return
  for (const { state, amount, bytes } of outcome.changes) {
    states.change(slice.states[state]!, outcome.keys[state]!, time, amount, bytes)
  }
}

function requestOf({ request }: PolicyStep, shape: StageShape): StageRequest {
  const bytes = (value: string | undefined) => (value === undefined ? null : Buffer.from(value, 'latin1'))
  const { method, path, query, authority, principal, clientAddress, headers, claims } = request
  return {
    stage: STAGE_BEFORE,
    status: 0,
    direction: request.direction === 'outside' ? DIRECTION_INGRESS : DIRECTION_INBOUND,
    time: request.time,
    slots: [
      ...[method, path, query, authority, principal, clientAddress].map(bytes),
      null,
      ...shape.fields.map((name) => bytes(headers[name])),
      ...shape.claims.map((name) => claimSlot(claims[name])),
    ],
  }
}

function responseOf({ request, response }: PolicyStep, shape: StageShape): StageRequest {
  const { status, headers } = response!
  return {
    stage: STAGE_RESPONSE,
    status,
    direction: DIRECTION_INGRESS,
    time: request.time,
    slots: [
      ...Array.from({ length: 7 }, () => null),
      ...shape.fields.map((name) =>
        headers[name] === undefined ? null : Buffer.from(headers[name]!, 'latin1'),
      ),
    ],
  }
}

function claimSlot(claim: string | string[] | undefined): Buffer | null {
  if (claim === undefined) return null
  return Buffer.concat(
    [claim].flat().map((value) => {
      const length = Buffer.alloc(4)
      length.writeUInt32LE(Buffer.byteLength(value))
      return Buffer.concat([length, Buffer.from(value)])
    }),
  )
}

function compare(
  problems: string[],
  where: string,
  expected: Expectation,
  outcome: PolicyOutcome,
  slice: UserPolicySlice,
  states: UserStates,
  time: number,
): void {
  const differs = (field: string, wanted: unknown, got: unknown) => {
    if (wanted === undefined || JSON.stringify(wanted) === JSON.stringify(got)) return
    problems.push(`${where}.${field}: expected ${JSON.stringify(wanted)}, got ${JSON.stringify(got)}`)
  }
  if (outcome.kind === 'failed') {
    if (expected.verdict !== 'fail') problems.push(`${where}: the policy failed: ${outcome.message}`)
    return
  }
  differs('verdict', expected.verdict, outcome.kind)
  if (outcome.kind === 'deny') {
    differs('status', expected.status, outcome.status)
    differs('text', expected.text, outcome.text)
  }
  differs('headers', expected.headers, described(outcome.operations, false))
  differs('responseHeaders', expected.responseHeaders, described(outcome.operations, true))
  for (const [name, wanted] of Object.entries(expected.state ?? {})) {
    const index = slice.states.findIndex((state) => state.name === name)
    const key = outcome.keys[index] ?? null
    const stored = key === null ? undefined : states.read(slice.states[index]!, key, time)
    const type = slice.states[index]?.type
    const got =
      stored === undefined
        ? null
        : type === 'counter'
          ? stored.number
          : type === 'set'
            ? [...stored.members].sort()
            : stored.value
    differs(`state.${name}`, Array.isArray(wanted) ? wanted.toSorted() : wanted, got)
  }
}

function described(operations: readonly FieldOperation[], onResponse: boolean): string[] {
  return operations
    .filter((operation) => operation.onResponse === onResponse)
    .map(({ kind, name, value }) => {
      if (kind === OPERATION_SET) return `set ${name} ${value.toString('latin1')}`
      return kind === OPERATION_ADD ? `add ${name} ${value.toString('latin1')}` : `remove ${name}`
    })
}
