import { IN_END, IN_POLICY_LEN, IN_POLICY_PTR, INPUT, VARIABLE } from '../sidecar/layout/record.ts'
import { type DecisionInput, RECORD_BYTES } from './decision-input.ts'
import type { Decision } from './sidecar-decision.ts'

const REQUEST_ID_BYTES = 36

/**
 * The inputs of the last decisions, within a fixed budget of bytes; older ones are overwritten. As in DecisionRing they are
 * copied into memory that was allocated once. They hold what clients sent, secrets too, so they stay in the engine.
 */
export class DecisionInputs {
  readonly counters = { kept: 0, overwritten: 0, tooLarge: 0 }
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
    this.counters.overwritten++
    this.#functions[this.#first] = ''
    this.#hashes[this.#first] = ''
    this.#first = (this.#first + 1) % this.#most
    this.#count--
  }
}

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
