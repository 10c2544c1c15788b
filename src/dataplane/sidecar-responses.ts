import {
  ADDED_BYTES,
  IN_ATTEMPT,
  IN_CONTEXT_PTR,
  IN_DIRECTION,
  IN_LOCAL_FIELDS_PTR,
  IN_LOCAL_STATUS,
  IN_LOCAL_TEXT_PTR,
  IN_POLICY_PTR,
  IN_RESPONSE_FLAGS,
  IN_RETRY_PTR,
  IN_UPSTREAM_PTR,
  MAX_RUNS,
  REASON_MEMORY,
} from '../sidecar/layout/record.ts'
import { countReason } from './sidecar-counters.ts'
import type { Answer, AttemptFacts, Need, ResponseDecision } from './sidecar-decision.ts'
import { headBytes } from './sidecar-head-bytes.ts'
import { roomOfAnswers, type SidecarMemory } from './sidecar-memory.ts'
import { BadOutput } from './sidecar-output.ts'
import { INCOMPLETE, readResponseDecision, readTrailers } from './sidecar-reading.ts'

import { LARGE_ROOM, type SidecarSandboxes, SLACK, SMALL_ROOM } from './sidecar-sandboxes.ts'

/** Answers what a response phase needs, at once. */
export type AnswerNeed = (need: Need) => Buffer

/** The response phases of an engine's sidecars. */
export class SidecarResponses {
  readonly #sandboxes: SidecarSandboxes

  constructor(sandboxes: SidecarSandboxes) {
    this.#sandboxes = sandboxes
  }

  /** Reads an upstream's response head, for the client of the request that left `context`. */
  respond(
    policy: Buffer,
    context: Buffer,
    received: Buffer,
    start: number,
    end: number,
    now: number,
    upstream: string,
    responseFlags: number,
    answer: AnswerNeed | null = null,
    attempt: AttemptFacts | null = null,
  ): ResponseDecision {
    // Whether it comes from another sidecar only the context says, so all are given that much.
    const length = headBytes(received, start, end, this.#sandboxes.maxHeadBytes + ADDED_BYTES)
    if (length < 0) return INCOMPLETE
    const load = (memory: SidecarMemory) => {
      memory.head(received, start, length)
      memory.text(IN_UPSTREAM_PTR, upstream)
    }
    return this.#respond(policy, context, now, responseFlags, load, length, 0, answer, attempt)
  }

  /** Words a reply of the mesh's own; the head of the result is the whole reply, `headLength` that of its head. */
  reply(
    policy: Buffer,
    context: Buffer,
    status: number,
    text: string,
    fields: string,
    now: number,
    responseFlags: number,
    answer: AnswerNeed | null = null,
    attempt: AttemptFacts | null = null,
  ): ResponseDecision {
    const load = (memory: SidecarMemory) => {
      memory.word(IN_LOCAL_STATUS, status)
      memory.text(IN_LOCAL_TEXT_PTR, text)
      memory.text(IN_LOCAL_FIELDS_PTR, fields)
    }
    const extra = 6 * (text.length + fields.length)
    return this.#respond(policy, context, now, responseFlags, load, 0, extra, answer, attempt)
  }

  /** The trailer section to send for the one received, lines and empty line; null where it is not acceptable. */
  trailers(section: Buffer, direction: number): Buffer | null {
    if (section.length === 2 && section[0] === 0x0d && section[1] === 0x0a) return section
    if (section.length > this.#sandboxes.maxHeadBytes) return null
    this.#sandboxes.counters.trailers++
    try {
      const memory = this.#sandboxes.begin(
        2 * section.length + SLACK <= SMALL_ROOM ? this.#sandboxes.small : this.#sandboxes.large,
        0,
        0,
      )
      memory.word(IN_DIRECTION, direction)
      memory.head(section, 0, section.length)
      const lines = readTrailers(memory, this.#sandboxes.run(memory, 'trailers'))
      if (typeof lines !== 'number') return lines
      this.#sandboxes.counters.bad++
      countReason(this.#sandboxes.counters.badBy, lines)
    } catch (error) {
      this.#sandboxes.failed(error)
    }
    return null
  }

  #respond(
    policy: Buffer,
    context: Buffer,
    now: number,
    responseFlags: number,
    load: (memory: SidecarMemory) => void,
    headLength: number,
    extra: number,
    answer: AnswerNeed | null,
    attempt: AttemptFacts | null,
  ): ResponseDecision {
    const answers: Answer[] = []
    const run = (size: SidecarMemory) => {
      const memory = this.#sandboxes.begin(size, now, this.#sandboxes.maxHeadBytes + ADDED_BYTES)
      load(memory)
      memory.bytes(IN_POLICY_PTR, policy)
      memory.bytes(IN_CONTEXT_PTR, context)
      memory.word(IN_RESPONSE_FLAGS, responseFlags)
      if (attempt !== null) {
        memory.bytes(IN_RETRY_PTR, attempt.record)
        memory.word(IN_ATTEMPT, attempt.number)
      }
      memory.answers(answers)
      return readResponseDecision(memory, this.#sandboxes.run(memory, 'respond'), headLength)
    }
    try {
      for (let runs = 1; runs <= MAX_RUNS; runs++) {
        const needed =
          policy.length + 2 * context.length + 3 * headLength + extra + roomOfAnswers(answers) + SLACK
        if (needed > LARGE_ROOM)
          throw new BadOutput(`the response phase would need ${needed} bytes of memory`)
        let decision = run(needed <= SMALL_ROOM ? this.#sandboxes.small : this.#sandboxes.large)
        if (decision.kind === 'bad' && decision.reason === REASON_MEMORY && needed <= SMALL_ROOM)
          decision = run(this.#sandboxes.large)
        if (decision.kind !== 'needs') return this.#sandboxes.counted(decision)
        if (answer === null) throw new BadOutput('the response phase needs what nobody answers')
        for (const need of decision.needs) answers.push({ need, bytes: answer(need) })
      }
      throw new BadOutput('the response phase needs ever more')
    } catch (error) {
      return this.#sandboxes.failed(error)
    }
  }
}
