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
import type { Decision } from './sidecar-decision.ts'

/** All that one sidecar judged a request by, and what it made of it. */
export interface DecisionInput {
  requestId: string
  /** "namespace/name" of the function whose policy judged. */
  function: string
  policyHash: string
  /** The input record and the variable input without the policy, as they lay in the sandbox (layout/record.ts). */
  bytes: Buffer
  /** Hash of the decision: `fingerprint`. */
  outcome: number
}

const RECORD_BYTES = OUTPUT - INPUT
const REQUEST_ID_BYTES = 36

/**
 * The inputs of the last decisions, within a fixed budget of bytes; older ones are overwritten. As in DecisionRing they are
 * copied into memory that was allocated once. They hold what clients sent, secrets too, so they stay in the engine.
 */
export class DecisionInputs {
  readonly counters = { kept: 0, tooLarge: 0 }
  readonly #bytes: Buffer
  readonly #most: number
  readonly #starts: Uint32Array
  readonly #lengths: Uint32Array
  readonly #outcomes: Uint32Array
  readonly #functions: string[]
  readonly #hashes: string[]
  /** Entries in use: `count` of them from `first`, in the order in which they were kept. */
  #first = 0
  #count = 0
  /** Where the next entry is put together, and how long it is; 0: nothing was taken. */
  #tail = 0
  #taken = 0

  constructor(budget: number, most: number) {
    this.#bytes = Buffer.alloc(budget)
    this.#most = most
    this.#starts = new Uint32Array(most)
    this.#lengths = new Uint32Array(most)
    this.#outcomes = new Uint32Array(most)
    this.#functions = new Array(most).fill('')
    this.#hashes = new Array(most).fill('')
  }

  /** Copies a sandbox's input, which is complete and has not been run by `decide` yet. It is kept only once `keep` says so. */
  take(memory: Buffer): void {
    const policy = memory.readUInt32LE(INPUT + IN_POLICY_PTR)
    const policyEnd = policy + memory.readUInt32LE(INPUT + IN_POLICY_LEN)
    const end = memory.readUInt32LE(INPUT + IN_END)
    const length = REQUEST_ID_BYTES + RECORD_BYTES + (policy - VARIABLE) + (end - policyEnd)
    this.#taken = 0
    if (length * 4 > this.#bytes.length) {
      this.counters.tooLarge++
      return
    }
    if (this.#tail + length > this.#bytes.length) this.#tail = 0
    this.#free(this.#tail, this.#tail + length)
    let at = this.#tail + REQUEST_ID_BYTES
    at += memory.copy(this.#bytes, at, INPUT, INPUT + RECORD_BYTES)
    at += memory.copy(this.#bytes, at, VARIABLE, policy)
    memory.copy(this.#bytes, at, policyEnd, end)
    this.#taken = length
  }

  /** Keeps what was taken last, as the input of this decision. */
  keep(function_: string, policyHash: string, decision: Decision): void {
    const length = this.#taken
    this.#taken = 0
    const requestId = idOf(decision)
    if (length === 0 || requestId.length !== REQUEST_ID_BYTES) return
    if (this.#count === this.#most) this.#dropFirst()
    const slot = (this.#first + this.#count) % this.#most
    this.#bytes.write(requestId, this.#tail, 'latin1')
    this.#starts[slot] = this.#tail
    this.#lengths[slot] = length
    this.#outcomes[slot] = fingerprint(decision)
    this.#functions[slot] = function_
    this.#hashes[slot] = policyHash
    this.#count++
    this.#tail += length
    this.counters.kept++
  }

  get size(): number {
    return this.#count
  }

  /** The inputs by which a request was judged, the caller's before the callee's. */
  find(requestId: string): DecisionInput[] {
    if (requestId.length !== REQUEST_ID_BYTES) return []
    const wanted = Buffer.from(requestId, 'latin1')
    const found: DecisionInput[] = []
    for (let i = 0; i < this.#count; i++) {
      const start = this.#starts[(this.#first + i) % this.#most]!
      if (wanted.equals(this.#bytes.subarray(start, start + REQUEST_ID_BYTES))) found.push(this.#entry(i))
    }
    return found
  }

  /** Copies of all entries, oldest first. */
  all(): DecisionInput[] {
    return Array.from({ length: this.#count }, (_, i) => this.#entry(i))
  }

  #entry(index: number): DecisionInput {
    const slot = (this.#first + index) % this.#most
    const start = this.#starts[slot]!
    return {
      requestId: this.#bytes.toString('latin1', start, start + REQUEST_ID_BYTES),
      function: this.#functions[slot]!,
      policyHash: this.#hashes[slot]!,
      bytes: Buffer.from(this.#bytes.subarray(start + REQUEST_ID_BYTES, start + this.#lengths[slot]!)),
      outcome: this.#outcomes[slot]!,
    }
  }

  /** Forgets the oldest entries until none lies in the range. */
  #free(start: number, end: number): void {
    while (this.#count > 0) {
      const at = this.#starts[this.#first]!
      if (at >= end || at + this.#lengths[this.#first]! <= start) return
      this.#dropFirst()
    }
  }

  #dropFirst(): void {
    this.#functions[this.#first] = ''
    this.#hashes[this.#first] = ''
    this.#first = (this.#first + 1) % this.#most
    this.#count--
  }
}

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

/**
 * A hash of what a decision does: its status and verdicts, the lengths of all that it writes and some bytes of it. All of
 * them would cost as much as the decision's own sandbox does.
 */
export function fingerprint(decision: Decision): number {
  if (decision.kind === 'failed') return 0
  if (decision.kind === 'forward') {
    const { head, verdicts, context, route } = decision
    return sampled(route, 1, sampled(context, STRIDE, sampled(verdicts, 1, sampled(head, STRIDE, SEED))))
  }
  const { status, text, fields, verdicts, context } = decision.denial
  const lengths = mixed(mixed(mixed(SEED, status), text.length), fields.length)
  return sampled(context, STRIDE, sampled(verdicts, 1, lengths))
}

/** FNV-1a, over words. */
const SEED = 2166136261
/** Each so many bytes one is looked at. */
const STRIDE = 61

function mixed(hash: number, word: number): number {
  return Math.imul(hash ^ word, 16777619) >>> 0
}

function sampled(bytes: Buffer, stride: number, seed: number): number {
  let hash = mixed(seed, bytes.length)
  for (let i = 0; i < bytes.length; i += stride) hash = mixed(hash, bytes[i]!)
  return hash
}

function idOf(decision: Decision): string {
  if (decision.kind === 'forward') return decision.requestId
  return decision.kind === 'denied' ? decision.denial.requestId : ''
}
