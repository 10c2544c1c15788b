import type { FunctionSpec } from '../api/function-spec.ts'
import { claimPathOf, type WasmPolicy, type WasmPolicyState } from '../api/wasm-policy.ts'
import {
  SLOT_AUTHORITY,
  SLOT_CARRY,
  SLOT_CLIENT_ADDRESS,
  SLOT_METHOD,
  SLOT_PATH,
  SLOT_PRINCIPAL,
  SLOT_QUERY,
  STAGE_AFTER,
  STAGE_BEFORE,
  STAGE_RESPONSE,
  STAGES,
  USER_POLICIES_HEADER,
} from '../sidecar/layout/user-policies.ts'
import { ByteWriter } from './byte-writer.ts'
import { claimPath, fieldNameHash } from './condition.ts'
import type { CompiledSection, RuleName, SectionProblem } from './section.ts'
import { applies } from './selector.ts'
import type {
  StateKeySlice,
  UserPoliciesSlice,
  UserPolicySlice,
  UserStageSlice,
  UserStateSlice,
} from './user-policy-slice.ts'

/** What user policies are compiled from. */
export interface UserPoliciesInput {
  readonly config: { readonly rootNamespace: string }
  readonly wasmPolicies?: readonly WasmPolicy[]
}

/** The SHA-256 of a policy's module, in hexadecimal. */
export type ModuleOf = (policy: WasmPolicy) => string

/** All those of a function run for each of its requests. */
const MOST_POLICIES = 16

/** The function's section of users' own policies; without bytes where nothing applies to it. */
export function compileUserPolicies(mesh: UserPoliciesInput, fn: FunctionSpec): CompiledSection {
  const policies = policiesFor(mesh, fn)
  if (policies.length === 0) return { ok: true, bytes: Buffer.alloc(0), rules: [] }
  if (policies.length > MOST_POLICIES) return { ok: false, problems: [tooMany(policies, fn)] }
  const offsets: number[] = []
  const blocks: Buffer[] = []
  let end = USER_POLICIES_HEADER
  for (let stage = 0; stage < STAGES; stage++) {
    const run = runOf(policies, stage)
    offsets.push(run.length === 0 ? 0 : end)
    if (run.length === 0) continue
    const block = stageBlock(policies, stage, run)
    blocks.push(block)
    end += block.length
  }
  const out = new ByteWriter()
  for (const offset of offsets) out.u32(offset)
  for (const block of blocks) out.bytes(block)
  const rules = policies.map(
    (policy): RuleName => ({ policy: nameOf(policy), index: 0, source: policy.source }),
  )
  return { ok: true, bytes: out.finish(), rules }
}

/** What the engine is told of the same policies; null where there is none. */
export function userPoliciesSlice(
  mesh: UserPoliciesInput,
  fn: FunctionSpec,
  moduleOf: ModuleOf,
): UserPoliciesSlice | null {
  const policies = policiesFor(mesh, fn)
  if (policies.length === 0) return null
  const stages = Array.from({ length: STAGES }, (_, stage): UserStageSlice => {
    const run = runOf(policies, stage)
    return { ...toldIn(policies, stage, run), run }
  })
  return { policies: policies.map((policy) => policySlice(policy, stages, moduleOf(policy))), stages }
}

/** One policy alone, as a test of it runs. */
export function singlePolicySlice(policy: WasmPolicy, module: string): UserPoliciesSlice {
  const stages = Array.from({ length: STAGES }, (_, stage): UserStageSlice => {
    const run = runOf([policy], stage)
    return { ...toldIn([policy], stage, run), run }
  })
  return { policies: [policySlice(policy, stages, module)], stages }
}

/** The policies that apply, numbered so that those of a request's stage follow one another in the order in which they run. */
function policiesFor({ config, wasmPolicies = [] }: UserPoliciesInput, fn: FunctionSpec): WasmPolicy[] {
  return wasmPolicies
    .filter(({ metadata, spec }) =>
      applies(metadata.namespace, spec.selector?.matchLabels, fn, config.rootNamespace),
    )
    .toSorted(
      (a, b) =>
        position(a) - position(b) ||
        Number(!hasRequest(a)) - Number(!hasRequest(b)) ||
        a.spec.order.priority - b.spec.order.priority ||
        (nameOf(a) < nameOf(b) ? -1 : 1),
    )
}

function position({ spec }: WasmPolicy): number {
  return spec.order.position === 'before' ? STAGE_BEFORE : STAGE_AFTER
}

function hasRequest({ spec }: WasmPolicy): boolean {
  return spec.phases.includes('request')
}

/** Which policies run in a stage, in order. A response passes them the other way round, from the innermost outwards. */
function runOf(policies: readonly WasmPolicy[], stage: number): number[] {
  const all = policies.map((policy, index) => ({ policy, index }))
  if (stage !== STAGE_RESPONSE) {
    return all
      .filter(({ policy }) => hasRequest(policy) && position(policy) === stage)
      .map(({ index }) => index)
  }
  return all
    .filter(({ policy }) => policy.spec.phases.includes('response'))
    .toSorted(
      (a, b) =>
        position(b.policy) - position(a.policy) ||
        b.policy.spec.order.priority - a.policy.spec.order.priority ||
        (nameOf(a.policy) < nameOf(b.policy) ? 1 : -1),
    )
    .map(({ index }) => index)
}

/** The header fields and claims that a stage's policies read, or find keys of state in. */
function toldIn(policies: readonly WasmPolicy[], stage: number, run: readonly number[]) {
  const fields = new Set<string>()
  const claims = new Set<string>()
  for (const index of run) {
    const { reads, state } = policies[index]!.spec
    for (const name of stage === STAGE_RESPONSE ? reads.responseHeaders : reads.headers) fields.add(name)
    if (stage === STAGE_RESPONSE) continue
    for (const claim of reads.claims) claims.add(claim)
    for (const { key } of state) {
      if (key.from === 'header') fields.add(key.name!)
      if (key.from === 'claim') claims.add(key.name!)
    }
  }
  return { fields: [...fields], claims: [...claims] }
}

function stageBlock(policies: readonly WasmPolicy[], stage: number, run: readonly number[]): Buffer {
  const { fields, claims } = toldIn(policies, stage, run)
  const out = new ByteWriter()
  out.block(() => {
    out
      .u32(attributesIn(policies, stage, run))
      .u32(fields.length)
      .u32(claims.length)
    out.u32(run.length).u32(run[0]!)
    for (const field of fields) {
      const name = Buffer.from(field, 'latin1')
      out.block(() => out.u32(fieldNameHash(field)).u32(name.length).bytes(name))
    }
    for (const claim of claims) {
      const path = claimPath(claimPathOf(claim))
      out.block(() => out.u32(path.length).bytes(path))
    }
  })
  return out.finish()
}

/** As bits by SLOT_*. */
function attributesIn(policies: readonly WasmPolicy[], stage: number, run: readonly number[]): number {
  if (stage === STAGE_RESPONSE) return 1 << SLOT_CARRY
  let bits = 0
  for (const index of run) {
    const { reads, state } = policies[index]!.spec
    for (const slot of slotsOf(reads.attributes)) bits |= 1 << slot
    for (const { key } of state) {
      if (key.from === 'principal') bits |= 1 << SLOT_PRINCIPAL
      if (key.from === 'clientAddress') bits |= 1 << SLOT_CLIENT_ADDRESS
    }
  }
  return bits
}

const SLOTS: Readonly<Record<string, number>> = {
  method: SLOT_METHOD,
  path: SLOT_PATH,
  query: SLOT_QUERY,
  authority: SLOT_AUTHORITY,
  principal: SLOT_PRINCIPAL,
  clientAddress: SLOT_CLIENT_ADDRESS,
}

function slotsOf(attributes: readonly string[]): number[] {
  return attributes.flatMap((attribute) => SLOTS[attribute] ?? [])
}

function policySlice(policy: WasmPolicy, stages: readonly UserStageSlice[], module: string): UserPolicySlice {
  const { spec } = policy
  const { reads, writes, limits } = spec
  const stage = stages[position(policy)]!
  return {
    name: nameOf(policy),
    module,
    phases: spec.phases,
    slots: slotsOf(reads.attributes),
    direction: reads.attributes.includes('direction'),
    time: reads.attributes.includes('time'),
    fields: reads.headers,
    responseFields: reads.responseHeaders,
    claims: reads.claims,
    writesFields: writes.headers,
    writesResponseFields: writes.responseHeaders,
    configuration: spec.configuration === undefined ? '' : JSON.stringify(spec.configuration),
    states: spec.state.map((state) => stateSlice(policy, state, stage)),
    memoryPages: limits.memoryPages ?? 0,
    fuel: limits.fuel,
    newInstance: spec.freshness === 'newInstance',
    allowsOnFailure: spec.onFailure === 'allow',
  }
}

function stateSlice(policy: WasmPolicy, state: WasmPolicyState, stage: UserStageSlice): UserStateSlice {
  return {
    name: state.name,
    id: `${nameOf(policy)}/${state.name}`,
    type: state.type,
    key: keySlice(state, stage),
    windowMs: state.window,
    scope: state.scope,
    maxKeys: state.maxKeys,
    maxMembers: state.maxMembers ?? 16,
    maxValueBytes: state.maxValueBytes ?? 64,
  }
}

function keySlice({ key }: WasmPolicyState, stage: UserStageSlice): StateKeySlice {
  switch (key.from) {
    case 'header':
      return { from: 'field', index: stage.fields.indexOf(key.name!) }
    case 'claim':
      return { from: 'claim', index: stage.claims.indexOf(key.name!) }
    default:
      return { from: key.from }
  }
}

function nameOf({ metadata }: WasmPolicy): string {
  return `${metadata.namespace}/${metadata.name}`
}

function tooMany(policies: readonly WasmPolicy[], fn: FunctionSpec): SectionProblem {
  const policy = policies[MOST_POLICIES]!
  return {
    code: 'too-large',
    resource: `WasmPolicy ${nameOf(policy)}`,
    source: policy.source,
    field: 'spec.selector',
    message: `with this policy ${fn.key} has ${policies.length} policies of its own, at most ${MOST_POLICIES} can run`,
  }
}
