// The engine's answer to a sidecar about the policies of one stage, and what it gives the sidecar to carry to the response phase.

import {
  ANSWER_CARRY,
  ANSWER_CARRY_LEN,
  ANSWER_DENIES,
  ANSWER_OPERATIONS,
  ANSWER_POLICY,
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
} from '../sidecar/layout/user-policies.ts'
import type { Carried } from './user-policy.ts'
import type { FieldOperation } from './user-policy-output.ts'

export interface StageDenial {
  /** Number of the policy among the function's. */
  readonly policy: number
  readonly status: number
  readonly text: string
}

/** Nothing is denied, changed or carried. */
const ALLOWED = Buffer.alloc(ANSWER_SIZE)

export function encodeAnswer(
  denial: StageDenial | null,
  operations: readonly FieldOperation[],
  carry: Buffer,
): Buffer {
  if (denial === null && operations.length === 0 && carry.length === 0) return ALLOWED
  let textAt = ANSWER_SIZE
  for (const operation of operations) textAt += blockLength(operation)
  const text = Buffer.from(denial?.text ?? '', 'latin1')
  const answer = Buffer.alloc(textAt + text.length + carry.length)
  answer.writeUInt32LE(denial === null ? 0 : 1, ANSWER_DENIES)
  answer.writeUInt32LE(denial?.status ?? 0, ANSWER_STATUS)
  answer.writeUInt32LE(denial?.policy ?? 0, ANSWER_POLICY)
  answer.writeUInt32LE(textAt, ANSWER_TEXT)
  answer.writeUInt32LE(text.length, ANSWER_TEXT_LEN)
  answer.writeUInt32LE(textAt + text.length, ANSWER_CARRY)
  answer.writeUInt32LE(carry.length, ANSWER_CARRY_LEN)
  answer.writeUInt32LE(operations.length, ANSWER_OPERATIONS)
  let at = ANSWER_SIZE
  for (const operation of operations) {
    const { kind, onResponse, name, value } = operation
    const length = blockLength(operation)
    answer.writeUInt32LE(length, at + APPLY_LENGTH)
    answer.writeUInt8(kind, at + APPLY_KIND)
    answer.writeUInt8(onResponse ? 1 : 0, at + APPLY_ON_RESPONSE)
    answer.writeUInt16LE(name.length, at + APPLY_NAME_LEN)
    answer.writeUInt32LE(value.length, at + APPLY_VALUE_LEN)
    answer.write(name, at + APPLY_NAME, 'latin1')
    answer.set(value, at + APPLY_NAME + name.length)
    at += length
  }
  answer.set(text, textAt)
  answer.set(carry, textAt + text.length)
  return answer
}

function blockLength({ name, value }: FieldOperation): number {
  return (APPLY_NAME + name.length + value.length + 3) & ~3
}

/** u16 number of the policy, u16 length and what it carries, u8 number of keys, for each u16 length (0xffff: no key) and the key. */
export function encodeCarried(policy: number, { bytes, keys }: Carried): Buffer {
  const texts = keys.map((key) => (key === null ? null : Buffer.from(key, 'latin1')))
  const size = texts.reduce((sum, text) => sum + 2 + (text?.length ?? 0), 5 + bytes.length)
  const out = Buffer.alloc(size)
  out.writeUInt16LE(policy, 0)
  out.writeUInt16LE(bytes.length, 2)
  out.set(bytes, 4)
  let at = 4 + bytes.length
  at = out.writeUInt8(texts.length, at)
  for (const text of texts) {
    at = out.writeUInt16LE(text?.length ?? NO_KEY, at)
    if (text === null) continue
    out.set(text, at)
    at += text.length
  }
  return out
}

const NO_KEY = 0xffff

/** By number of the policy. The bytes went through a sidecar, so they are read as hostile. */
export function decodeCarried(bytes: Buffer): Map<number, Carried> {
  const carried = new Map<number, Carried>()
  let at = 0
  const take = (length: number): number => {
    if (length > bytes.length - at) throw new Error('what user policies carry is cut off')
    at += length
    return at - length
  }
  while (at < bytes.length) {
    const policy = bytes.readUInt16LE(take(2))
    const length = bytes.readUInt16LE(take(2))
    const start = take(length)
    const keys: (string | null)[] = []
    for (let left = bytes.readUInt8(take(1)); left > 0; left--) {
      const size = bytes.readUInt16LE(take(2))
      if (size === NO_KEY) keys.push(null)
      else {
        const key = take(size)
        keys.push(bytes.toString('latin1', key, key + size))
      }
    }
    carried.set(policy, { bytes: bytes.subarray(start, start + length), keys })
  }
  return carried
}
