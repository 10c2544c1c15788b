// One user policy on what a sidecar would tell of a message, for tests.

import { hash } from 'node:crypto'
import { readManifests } from '../api/read-manifests.ts'
import { ofKind } from '../api/resource.ts'
import type { WasmPolicy } from '../api/wasm-policy.ts'
import { singlePolicySlice } from '../policy/user-policies.ts'
import {
  ANSWER_CARRY,
  ANSWER_CARRY_LEN,
  ANSWER_DENIES,
  ANSWER_OPERATIONS,
  ANSWER_SIZE,
  ANSWER_STATUS,
  ANSWER_TEXT,
  ANSWER_TEXT_LEN,
  APPLY_KIND,
  APPLY_LENGTH,
  APPLY_NAME,
  APPLY_NAME_LEN,
  APPLY_ON_RESPONSE,
  APPLY_VALUE_LEN,
  KEY_HEADER,
  KEY_SLOTS,
  KEY_STAGE,
  KEY_STATUS,
  KEY_TIME,
  SLOT_ABSENT,
  SLOT_CARRY,
  SLOT_FIRST_FIELD,
  SLOT_METHOD,
  SLOT_PATH,
  SLOT_PRINCIPAL,
  SLOT_SIZE,
  STAGE_AFTER,
  STAGE_BEFORE,
  STAGE_RESPONSE,
} from '../sidecar/layout/user-policies.ts'
import { UserStates } from '../state/user-state.ts'
import { termsOf } from './user-policies.ts'
import { newUserPolicyCounters, UserPolicyChain } from './user-policy-chain.ts'
import { loadUserModule } from './user-policy-module.ts'
import type { StageShape } from './user-policy-request.ts'

export interface Told {
  stage?: number
  status?: number
  time?: number
  method?: string
  path?: string
  principal?: string
  headers?: Record<string, string>
  carry?: Buffer
}

export interface Verdict {
  denies: boolean
  status: number
  text: string
  /** "set NAME VALUE" and the like; on the response with "response " before it. */
  operations: string[]
  carry: Buffer
}

/** The WasmPolicy of a spec; throws with all errors where it is not valid. */
export function policyOf(spec: Record<string, unknown>): WasmPolicy {
  const manifest = {
    apiVersion: 'mayfly.dev/v1',
    kind: 'WasmPolicy',
    metadata: { name: 'tested' },
    spec: { module: { file: 'tested.wasm' }, ...spec },
  }
  const read = readManifests([{ path: 'policy.yaml', text: JSON.stringify(manifest) }])
  if (!read.ok) throw new Error(read.errors.map(({ field, message }) => `${field}: ${message}`).join('\n'))
  return ofKind(read.resources, 'WasmPolicy')[0]!
}

/** Lets a module judge by the manifest of `spec`. */
export function tester(module: Uint8Array, spec: Record<string, unknown>, states = new UserStates('test')) {
  const policy = policyOf(spec)
  const slice = singlePolicySlice(policy, hash('sha256', module))
  const loaded = loadUserModule(module, termsOf(slice.policies[0]!))
  if (!loaded.ok) throw new Error(loaded.refusal.message)
  const sandbox = loaded.module.sandbox()
  const counters = newUserPolicyCounters()
  const chain = new UserPolicyChain(slice, [{ module: loaded.module, sandbox }], states, counters)
  const usual = policy.spec.order.position === 'before' ? STAGE_BEFORE : STAGE_AFTER
  return {
    slice,
    chain,
    counters,
    states,
    sandbox,
    judge(told: Told = {}): Verdict {
      const stage = told.stage ?? usual
      return readAnswer(chain.answer(stageKey(stage, slice.stages[stage]!, told)))
    },
    respond(told: Told = {}): Verdict {
      const key = stageKey(STAGE_RESPONSE, slice.stages[STAGE_RESPONSE]!, { status: 200, ...told })
      return readAnswer(chain.answer(key))
    },
  }
}

/** The key that a sidecar would write. */
export function stageKey(stage: number, shape: StageShape, told: Told): Buffer {
  const slots: (Buffer | null)[] = Array.from(
    { length: SLOT_FIRST_FIELD + shape.fields.length + shape.claims.length },
    () => null,
  )
  const texts: [number, string | undefined][] = [
    [SLOT_METHOD, told.method],
    [SLOT_PATH, told.path],
    [SLOT_PRINCIPAL, told.principal],
  ]
  for (const [slot, text] of texts) if (text !== undefined) slots[slot] = Buffer.from(text, 'latin1')
  if (told.carry) slots[SLOT_CARRY] = told.carry
  for (const [index, name] of shape.fields.entries()) {
    const value = told.headers?.[name]
    if (value !== undefined) slots[SLOT_FIRST_FIELD + index] = Buffer.from(value, 'latin1')
  }
  const head = Buffer.alloc(KEY_HEADER + slots.length * SLOT_SIZE)
  head.writeUInt32LE(stage, KEY_STAGE)
  head.writeUInt32LE(told.status ?? 0, KEY_STATUS)
  head.writeUInt32LE(slots.length, KEY_SLOTS)
  head.writeBigUInt64LE(BigInt(told.time ?? 0), KEY_TIME)
  let at = head.length
  for (const [slot, value] of slots.entries()) {
    head.writeUInt32LE(at, KEY_HEADER + slot * SLOT_SIZE)
    head.writeUInt32LE(value?.length ?? SLOT_ABSENT, KEY_HEADER + slot * SLOT_SIZE + 4)
    at += value?.length ?? 0
  }
  return Buffer.concat([head, ...slots.map((value) => value ?? Buffer.alloc(0))])
}

export function readAnswer(answer: Buffer): Verdict {
  const part = (offset: number) => {
    const start = answer.readUInt32LE(offset)
    return answer.subarray(start, start + answer.readUInt32LE(offset + 4))
  }
  const operations: string[] = []
  let at = ANSWER_SIZE
  for (let left = answer.readUInt32LE(ANSWER_OPERATIONS); left > 0; left--) {
    const name = at + APPLY_NAME
    const nameEnd = name + answer.readUInt16LE(at + APPLY_NAME_LEN)
    const value = answer.toString('latin1', nameEnd, nameEnd + answer.readUInt32LE(at + APPLY_VALUE_LEN))
    const verb = ['', 'set', 'add', 'remove'][answer.readUInt8(at + APPLY_KIND)]
    const where = answer.readUInt8(at + APPLY_ON_RESPONSE) === 1 ? 'response ' : ''
    operations.push(`${where}${verb} ${answer.toString('latin1', name, nameEnd)} ${value}`.trim())
    at += answer.readUInt32LE(at + APPLY_LENGTH)
  }
  if (ANSWER_TEXT_LEN !== ANSWER_TEXT + 4 || ANSWER_CARRY_LEN !== ANSWER_CARRY + 4) throw new Error('layout')
  return {
    denies: answer.readUInt32LE(ANSWER_DENIES) !== 0,
    status: answer.readUInt32LE(ANSWER_STATUS),
    text: part(ANSWER_TEXT).toString('latin1'),
    operations,
    carry: Buffer.from(part(ANSWER_CARRY)),
  }
}
