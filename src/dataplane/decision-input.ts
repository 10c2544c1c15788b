// One decision's input: all that a sidecar judged a request by, as it lay in the sandbox (layout/record.ts), without the policy.

import {
  DIRECTION_INBOUND,
  IN_CIRCUITS_PTR,
  IN_DIRECTION,
  IN_END,
  IN_HEAD_PTR,
  IN_PEER_HASH_PTR,
  IN_PEER_PTR,
  IN_POLICY_LEN,
  IN_POLICY_PTR,
  IN_RETRY_PTR,
  IN_STATE_PTR,
  IN_TARGET_PTR,
  INPUT,
  OUTPUT,
  VARIABLE,
} from '../sidecar/layout/record.ts'

/** All that one sidecar judged a request by, and what it made of it. */
export interface DecisionInput {
  requestId: string
  /** "namespace/name" of the function whose policy judged. */
  function: string
  policyHash: string
  /** The input record and the variable input without the policy, as they lay in the sandbox (layout/record.ts). */
  bytes: Buffer
  /** Hash of the decision that was made of it (decision-inputs.ts). */
  outcome: number
}

/** Bytes of the input record, with which `bytes` begins. */
export const RECORD_BYTES = OUTPUT - INPUT

/** Writes an input and a policy into a fresh sandbox's memory; false where they do not fit. */
export function restoreInput(memory: Buffer, { bytes }: DecisionInput, policy: Buffer): boolean {
  const place = bytes.readUInt32LE(IN_POLICY_PTR)
  const oldLength = bytes.readUInt32LE(IN_POLICY_LEN)
  const end = bytes.readUInt32LE(IN_END)
  // In the place of the policy that judged, or behind everything.
  const fits = policy.length <= oldLength
  const at = fits ? place : (end + 7) & ~7
  const newEnd = fits ? end : at + policy.length
  if (newEnd > memory.length) return false
  bytes.copy(memory, INPUT, 0, RECORD_BYTES)
  const before = RECORD_BYTES + place - VARIABLE
  bytes.copy(memory, VARIABLE, RECORD_BYTES, before)
  bytes.copy(memory, place + oldLength, before)
  policy.copy(memory, at)
  memory.writeUInt32LE(at, INPUT + IN_POLICY_PTR)
  memory.writeUInt32LE(policy.length, INPUT + IN_POLICY_LEN)
  memory.writeUInt32LE(newEnd, INPUT + IN_END)
  return true
}

/** What the callee's sidecar would be given of a call that its caller's sidecar forwards as `head`. */
export function inboundInput(
  outbound: DecisionInput,
  head: Buffer,
  callee: string,
  principal: string,
): DecisionInput {
  const record = Buffer.from(outbound.bytes.subarray(0, RECORD_BYTES))
  const parts: Buffer[] = []
  let end = VARIABLE
  const place = (offset: number, bytes: Buffer) => {
    record.writeUInt32LE(bytes.length === 0 ? 0 : end, INPUT + offset)
    record.writeUInt32LE(bytes.length, INPUT + offset + 4)
    parts.push(bytes)
    end += bytes.length
  }
  place(IN_HEAD_PTR, head)
  place(IN_PEER_PTR, Buffer.from(principal, 'utf8'))
  place(IN_TARGET_PTR, Buffer.from(callee, 'utf8'))
  for (const offset of [IN_STATE_PTR, IN_CIRCUITS_PTR, IN_RETRY_PTR, IN_PEER_HASH_PTR]) place(offset, EMPTY)
  place(IN_POLICY_PTR, Buffer.alloc(-end & 7))
  record.writeUInt32LE(end, INPUT + IN_POLICY_PTR)
  record.writeUInt32LE(0, INPUT + IN_POLICY_LEN)
  record.writeUInt32LE(DIRECTION_INBOUND, INPUT + IN_DIRECTION)
  record.writeUInt32LE(end, INPUT + IN_END)
  const { requestId } = outbound
  return { requestId, function: callee, policyHash: '', bytes: Buffer.concat([record, ...parts]), outcome: 0 }
}

const EMPTY = Buffer.alloc(0)

/** A text of the input record, "" where it has none; `offset` is an IN_* of a pointer with its length behind it. */
export function inputText(input: DecisionInput, offset: number): string {
  const length = input.bytes.readUInt32LE(INPUT + offset + 4)
  return bytesAt(input, input.bytes.readUInt32LE(INPUT + offset), length).toString('utf8')
}

/** What lay at an address of the sandbox's variable input. */
export function bytesAt({ bytes }: DecisionInput, address: number, length: number): Buffer {
  if (length === 0) return Buffer.alloc(0)
  const policy = bytes.readUInt32LE(IN_POLICY_PTR)
  const hole = address < policy ? 0 : bytes.readUInt32LE(IN_POLICY_LEN)
  const start = RECORD_BYTES + address - VARIABLE - hole
  return bytes.subarray(start, start + length)
}
