// What a sidecar tells of a message to the policies of one stage: the key of a NEED_USER_POLICY (layout/user-policies.ts), read as hostile.

import {
  KEY_DIRECTION,
  KEY_HEADER,
  KEY_SLOTS,
  KEY_STAGE,
  KEY_STATUS,
  KEY_TIME,
  SLOT_ABSENT,
  SLOT_FIRST_FIELD,
  SLOT_SIZE,
  STAGE_RESPONSE,
  STAGES,
} from '../sidecar/layout/user-policies.ts'

export interface StageRequest {
  /** STAGE_* */
  readonly stage: number
  /** The response's; 0 for a request. */
  readonly status: number
  /** DIRECTION_* */
  readonly direction: number
  /** Milliseconds since the epoch. */
  readonly time: number
  /** By SLOT_*, then the stage's fields and claims; null where there is nothing. Policies that run change the fields. */
  readonly slots: (Buffer | null)[]
}

/** What the policies of a stage are told of. */
export interface StageShape {
  readonly fields: readonly string[]
  readonly claims: readonly string[]
}

/** Throws where the key is not one for that function's stages. */
export function readStageRequest(key: Buffer, stages: readonly StageShape[]): StageRequest {
  if (key.length < KEY_HEADER) throw new Error('a key of user policies is cut off')
  const stage = key.readUInt32LE(KEY_STAGE)
  const shape = stages[stage]
  if (stage >= STAGES || shape === undefined) throw new Error(`there is no stage ${stage}`)
  const count = key.readUInt32LE(KEY_SLOTS)
  if (count !== SLOT_FIRST_FIELD + shape.fields.length + shape.claims.length) {
    throw new Error(`stage ${stage} does not have ${count} slots`)
  }
  const bytesAt = KEY_HEADER + count * SLOT_SIZE
  if (key.length < bytesAt) throw new Error('the slots of user policies are cut off')
  const slots: (Buffer | null)[] = []
  for (let at = KEY_HEADER; at < bytesAt; at += SLOT_SIZE) {
    const length = key.readUInt32LE(at + 4)
    if (length === SLOT_ABSENT) {
      slots.push(null)
      continue
    }
    const start = key.readUInt32LE(at)
    if (start < bytesAt || start > key.length || length > key.length - start) {
      throw new Error(`a slot of ${length} bytes at ${start} lies outside its key`)
    }
    slots.push(key.subarray(start, start + length))
  }
  const status = key.readUInt32LE(KEY_STATUS)
  if (stage === STAGE_RESPONSE && (status < 100 || status > 999)) throw new Error(`the status is ${status}`)
  return {
    stage,
    status,
    direction: key.readUInt32LE(KEY_DIRECTION),
    time: key.readUInt32LE(KEY_TIME) + key.readUInt32LE(KEY_TIME + 4) * 0x1_0000_0000,
    slots,
  }
}

/** The values of a claim's slot: each u32 length and bytes. */
export function claimValues(slot: Buffer): Buffer[] {
  const values: Buffer[] = []
  let at = 0
  while (at < slot.length) {
    if (slot.length - at < 4) throw new Error('a claim is cut off')
    const length = slot.readUInt32LE(at)
    at += 4
    if (length > slot.length - at) throw new Error('a claim is cut off')
    values.push(slot.subarray(at, at + length))
    at += length
  }
  return values
}
