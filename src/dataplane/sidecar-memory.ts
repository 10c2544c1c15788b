// Writing a phase's input into a sandbox's memory, by src/sidecar/layout/record.ts.

import type { Sandbox } from '../sandbox/sandbox.ts'
import {
  ABI_VERSION,
  ANSWER_HEADER,
  ANSWERS_HEADER,
  IN_ABI,
  IN_DIRECTION,
  IN_END,
  IN_FLAG_DRAINING,
  IN_FLAG_FORWARDED,
  IN_FLAG_PLAINTEXT,
  IN_FLAG_TLS,
  IN_FLAGS,
  IN_HEAD_LEN,
  IN_HEAD_PTR,
  IN_LOCAL_IP,
  IN_LOCAL_PORT,
  IN_MAX_HEAD,
  IN_MEMORY,
  IN_PEER_HASH_PTR,
  IN_PEER_PTR,
  IN_RANDOM,
  IN_SOURCE_IP,
  IN_SOURCE_PORT,
  IN_STATE_PTR,
  IN_TIME,
  INPUT,
  STATIC_DATA,
  VARIABLE,
} from '../sidecar/layout/record.ts'
import { type DecisionInput, restoreInput } from './decision-input.ts'
import type { Answer, ConnectionFacts } from './sidecar-decision.ts'

/** A sandbox with the record's words at hand. */
export class SidecarMemory {
  readonly sandbox: Sandbox
  readonly memory: Buffer
  /** The records as u32: index is the offset divided by 4. */
  readonly words: Uint32Array
  readonly size: number
  #end = VARIABLE
  #mark = VARIABLE

  constructor(sandbox: Sandbox) {
    this.sandbox = sandbox
    this.memory = sandbox.memory
    this.size = this.memory.length
    this.words = new Uint32Array(this.memory.buffer, this.memory.byteOffset, STATIC_DATA / 4)
  }

  /** Starts a phase: a fresh sandbox with the facts that all phases are given. */
  begin(now: number, maxHead: number, draining: boolean): void {
    this.sandbox.fresh()
    this.#end = VARIABLE
    const { words } = this
    words[(INPUT + IN_ABI) >> 2] = ABI_VERSION
    words[(INPUT + IN_MEMORY) >> 2] = this.size
    words[(INPUT + IN_MAX_HEAD) >> 2] = maxHead
    words[(INPUT + IN_TIME) >> 2] = now % 0x1_0000_0000
    words[(INPUT + IN_TIME + 4) >> 2] = Math.floor(now / 0x1_0000_0000)
    words[(INPUT + IN_FLAGS) >> 2] = draining ? IN_FLAG_DRAINING : 0
    words[(INPUT + IN_END) >> 2] = VARIABLE
  }

  connection(facts: ConnectionFacts, random: Buffer): void {
    const { words, memory } = this
    words[(INPUT + IN_DIRECTION) >> 2] = facts.direction
    let flags = facts.tls ? IN_FLAG_TLS : 0
    if (facts.plaintext) flags |= IN_FLAG_PLAINTEXT
    if (facts.forwarded) flags |= IN_FLAG_FORWARDED
    words[(INPUT + IN_FLAGS) >> 2]! |= flags
    this.addresses(facts)
    memory.set(random, INPUT + IN_RANDOM)
    if (facts.peer !== '') this.text(IN_PEER_PTR, facts.peer)
    if (facts.peerHash) this.text(IN_PEER_HASH_PTR, facts.peerHash)
  }

  /** Both ends of the connection. */
  addresses({ sourceIp, sourcePort, localIp, localPort }: ConnectionFacts): void {
    const { words, memory } = this
    words[(INPUT + IN_SOURCE_PORT) >> 2] = sourcePort
    words[(INPUT + IN_LOCAL_PORT) >> 2] = localPort
    memory.set(sourceIp, INPUT + IN_SOURCE_IP)
    memory.set(localIp, INPUT + IN_LOCAL_IP)
  }

  head(received: Buffer, start: number, length: number): void {
    const { words } = this
    words[(INPUT + IN_HEAD_PTR) >> 2] = this.#end
    words[(INPUT + IN_HEAD_LEN) >> 2] = length
    received.copy(this.memory, this.#end, start, start + length)
    this.#take(length)
  }

  /** Copies bytes in and notes address and length at `offset` of the input record. */
  bytes(offset: number, bytes: Buffer): void {
    // A policy's tables are read as words.
    this.#end = (this.#end + 7) & ~7
    const { words } = this
    words[(INPUT + offset) >> 2] = this.#end
    words[(INPUT + offset + 4) >> 2] = bytes.length
    bytes.copy(this.memory, this.#end)
    this.#take(bytes.length)
  }

  /** The same for text, as UTF-8. */
  text(offset: number, text: string): void {
    const { words } = this
    words[(INPUT + offset) >> 2] = this.#end
    const length = this.memory.write(text, this.#end)
    words[(INPUT + offset + 4) >> 2] = length
    this.#take(length)
  }

  /** Bits beside those that `begin` and `connection` set. */
  flags(bits: number): void {
    this.words[(INPUT + IN_FLAGS) >> 2]! |= bits
  }

  /** Injects the answers to the needs of earlier runs, in their order. */
  answers(answers: readonly Answer[]): void {
    if (answers.length === 0) return
    this.#end = (this.#end + 7) & ~7
    const { words, memory } = this
    const start = this.#end
    let at = start + ANSWERS_HEADER
    memory.writeInt32LE(answers.length, start)
    for (const { need, bytes } of answers) {
      memory.writeInt32LE(need.kind, at)
      memory.writeInt32LE(need.key.length, at + 4)
      memory.writeInt32LE(bytes.length, at + 8)
      bytes.copy(memory, at + ANSWER_HEADER)
      at += answerBytes(bytes)
    }
    words[(INPUT + IN_STATE_PTR) >> 2] = start
    words[(INPUT + IN_STATE_PTR + 4) >> 2] = at - start
    this.#take(at - start)
  }

  /** Notes that all input up to here stays for a repeated run. */
  mark(): void {
    this.#mark = this.#end
  }

  /** Starts a phase from the input of an earlier one, by another policy and other answers; false where they do not fit. */
  restore(input: DecisionInput, policy: Buffer, answers: readonly Answer[]): boolean {
    this.sandbox.fresh()
    if (!restoreInput(this.memory, input, policy)) return false
    const { words } = this
    this.#end = words[(INPUT + IN_END) >> 2]!
    words[(INPUT + IN_MEMORY) >> 2] = this.size
    words[(INPUT + IN_STATE_PTR) >> 2] = 0
    words[(INPUT + IN_STATE_PTR + 4) >> 2] = 0
    if (roomOfAnswers(answers) > this.room) return false
    this.answers(answers)
    return true
  }

  /** Takes back the input since the mark. */
  rewind(): void {
    this.#end = this.#mark
  }

  word(offset: number, value: number): void {
    this.words[(INPUT + offset) >> 2] = value
  }

  /** Bytes that are still free for input and output. */
  get room(): number {
    return this.size - this.#end
  }

  #take(length: number): void {
    this.#end += length
    this.words[(INPUT + IN_END) >> 2] = this.#end
  }
}

/** Room that the answers take in a sandbox. */
export function roomOfAnswers(answers: readonly Answer[]): number {
  let room = ANSWERS_HEADER + 8
  for (const { bytes } of answers) room += answerBytes(bytes)
  return room
}

function answerBytes(bytes: Buffer): number {
  return ANSWER_HEADER + ((bytes.length + 7) & ~7)
}
