// Running sidecars: the input is marshalled into a fresh sandbox, the guest runs, and its output is checked before the
// engine sees it. Whatever goes wrong in a sandbox becomes a value of kind `failed`: the request is not let through.

import { type SandboxModule, TRAP_FUEL } from '../sandbox/sandbox.ts'
import {
  ADDED_BYTES,
  DIRECTION_INBOUND,
  IN_ATTEMPT,
  IN_CIRCUITS_PTR,
  IN_CONTEXT_PTR,
  IN_DIRECTION,
  IN_FLAG_ROUTE,
  IN_FLAG_SERVE,
  IN_FLAG_TLS,
  IN_HEAD_LEN,
  IN_LOCAL_FIELDS_PTR,
  IN_LOCAL_STATUS,
  IN_LOCAL_TEXT_PTR,
  IN_POLICY_PTR,
  IN_RESPONSE_FLAGS,
  IN_RETRY_PTR,
  IN_TARGET_PORT,
  IN_TARGET_PTR,
  IN_UPSTREAM_PTR,
  INPUT,
  MAX_RUNS,
  OUT_RESULT,
  OUTPUT,
  REASON_MEMORY,
  RESULT_OPENED,
  VARIABLE,
} from '../sidecar/layout/record.ts'
import type { DecisionInput } from './decision-input.ts'
import type { DecisionInputs } from './decision-inputs.ts'
import {
  type Counted,
  countDecision,
  countReason,
  newCounters,
  type SidecarCounters,
} from './sidecar-counters.ts'
import type {
  Abandoned,
  Answer,
  AttemptFacts,
  ConnectionFacts,
  Decision,
  DecisionRun,
  Failed,
  Need,
  Opened,
  ResponseDecision,
} from './sidecar-decision.ts'
import { loadGuest } from './sidecar-guest.ts'
import { headBytes } from './sidecar-head-bytes.ts'
import { roomOfAnswers, SidecarMemory } from './sidecar-memory.ts'
import { BadOutput } from './sidecar-output.ts'
import {
  INCOMPLETE,
  NOTHING,
  readAbandoned,
  readDecision,
  readOpened,
  readResponseDecision,
  readTrailers,
} from './sidecar-reading.ts'

export type { SidecarCounters } from './sidecar-counters.ts'
export type * from './sidecar-decision.ts'

const SMALL_PAGES = 1
const LARGE_PAGES = 16
const SMALL_ROOM = SMALL_PAGES * 65_536 - VARIABLE
const LARGE_ROOM = LARGE_PAGES * 65_536 - VARIABLE
/** Room for what is written besides heads, texts and context: added fields, the log line's own text. */
const SLACK = 8192
/** Fuel of one phase in either memory: above what the dearest heads that fit it cost (test/dear-heads.test.ts). */
const SMALL_FUEL = 8_000_000
const LARGE_FUEL = 32_000_000
const DEFAULT_MAX_HEAD = 16_384

/** Answers what a response phase needs, at once. */
export type AnswerNeed = (need: Need) => Buffer

interface OpenInput {
  received: Buffer
  start: number
  length: number
  most: number
  facts: ConnectionFacts
  now: number
  random: Buffer
}

/** Both sides of a call are judged in this engine. */
export const BOTH_SIDES = IN_FLAG_ROUTE | IN_FLAG_SERVE

const NO_ANSWERS: readonly Answer[] = []

/** What a phase is judged for, beside the head itself. */
interface Judging {
  policy: Buffer
  target: string
  targetPort: number
  sides: number
  answers: readonly Answer[]
  /** The record at IN_CIRCUITS_PTR; null: no circuit is judged. */
  circuits: Buffer | null
}

/** The sidecars of one engine. Phases run one after the other, each in a fresh sandbox of one of two sizes. */
export class Sidecars {
  /** Largest head of a request or response. */
  maxHeadBytes = DEFAULT_MAX_HEAD
  /** The engine drains: a client's connection is closed after its response. */
  draining = false
  readonly counters: SidecarCounters = newCounters()
  /** Where each input of `decide` is copied to; null: nowhere. */
  inputs: DecisionInputs | null = null
  readonly #small: SidecarMemory
  readonly #large: SidecarMemory
  /** Where the last `open` ran, until its `decide`. */
  #opened: SidecarMemory | null = null
  #input: OpenInput | null = null

  constructor(small: SandboxModule, large: SandboxModule) {
    this.#small = new SidecarMemory(small.sandbox())
    this.#large = new SidecarMemory(large.sandbox())
  }

  /** Reads the request head at the start of the bytes. `random` is 48 bytes that nobody can foresee. */
  open(
    received: Buffer,
    start: number,
    end: number,
    facts: ConnectionFacts,
    now: number,
    random: Buffer,
  ): Opened {
    this.#opened = null
    const fromSidecar = facts.direction === DIRECTION_INBOUND || facts.forwarded === true
    const most = this.maxHeadBytes + (fromSidecar ? ADDED_BYTES : 0)
    const length = headBytes(received, start, end, most)
    if (length < 0) return INCOMPLETE
    this.#input = { received, start, length, most, facts, now, random }
    try {
      const opened = this.#open(3 * length + SLACK <= SMALL_ROOM ? this.#small : this.#large, this.#input)
      return this.#counted(opened)
    } catch (error) {
      return this.#failed(error)
    }
  }

  /** Puts the connection that another node's engine told of in place of the one on which `open` just got its head. */
  relocate(facts: ConnectionFacts): void {
    if (this.#opened === null) return
    this.#input!.facts = facts
    this.#opened.addresses(facts)
    this.#opened.flags(facts.tls ? IN_FLAG_TLS : 0)
  }

  /** Judges as `judge` does a request whose policies need nothing; where they do, the request is not let through. */
  decide(policy: Buffer, target: string, targetPort: number): Decision {
    const decision = this.judge(policy, target, targetPort, BOTH_SIDES, NO_ANSWERS)
    return decision.kind === 'needs'
      ? this.#failed(new BadOutput('the sidecar needs what nobody answers'))
      : decision
  }

  /**
   * Judges what `open` read just before, by the policy of whose sidecar this is. `target` is "namespace/name", `sides` are
   * IN_FLAG_ROUTE and IN_FLAG_SERVE. Where it needs something, it may be called again with the answers, until another `open`.
   */
  judge(
    policy: Buffer,
    target: string,
    targetPort: number,
    sides: number,
    answers: readonly Answer[],
    circuits: Buffer | null = null,
  ): DecisionRun {
    const memory = this.#opened
    this.#opened = null
    const judging = { policy, target, targetPort, sides, answers, circuits }
    try {
      if (memory === null) throw new BadOutput('decide without open')
      memory.rewind()
      const needed =
        policy.length + 2 * this.#input!.length + roomOfAnswers(answers) + (circuits?.length ?? 0) + SLACK
      if (memory === this.#small && needed <= memory.room) {
        const decision = this.#decide(memory, judging)
        if (decision.kind !== 'denied' || decision.denial.reason !== REASON_MEMORY)
          return this.#counted(decision)
      }
      return this.#counted(this.#decideInLarge(memory, judging, needed))
    } catch (error) {
      return this.#failed(error)
    }
  }

  /**
   * Judges once more what a decision was made of, by any policy, with these answers to its needs. What is wrong here is no
   * request's business, so it is not counted.
   */
  redecide(input: DecisionInput, policy: Buffer, answers: readonly Answer[]): DecisionRun {
    this.#opened = null
    try {
      for (const memory of [this.#small, this.#large]) {
        if (!memory.restore(input, policy, answers)) continue
        if (this.#run(memory, 'open') !== RESULT_OPENED)
          throw new BadOutput('the same head is read in two ways')
        const decision = readDecision(
          memory,
          this.#run(memory, 'decide'),
          memory.words[(INPUT + IN_HEAD_LEN) >> 2]!,
        )
        if (decision.kind !== 'denied' || decision.denial.reason !== REASON_MEMORY) return decision
      }
      throw new BadOutput('the input does not fit a sandbox')
    } catch (error) {
      return { kind: 'failed', reason: error instanceof Error ? error.message : String(error) }
    }
  }

  /** Gives up the request that `open` read just before: what a reply to it needs to know. */
  abandon(): Abandoned {
    const memory = this.#opened
    this.#opened = null
    if (memory === null) return NOTHING
    try {
      return readAbandoned(memory, this.#input!.length)
    } catch (error) {
      this.#failed(error)
      return NOTHING
    }
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
    const length = headBytes(received, start, end, this.maxHeadBytes + ADDED_BYTES)
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
    if (section.length > this.maxHeadBytes) return null
    this.#opened = null
    this.counters.trailers++
    try {
      const memory = this.#begin(2 * section.length + SLACK <= SMALL_ROOM ? this.#small : this.#large, 0, 0)
      memory.word(IN_DIRECTION, direction)
      memory.head(section, 0, section.length)
      const lines = readTrailers(memory, this.#run(memory, 'trailers'))
      if (typeof lines !== 'number') return lines
      this.counters.bad++
      countReason(this.counters.badBy, lines)
    } catch (error) {
      this.#failed(error)
    }
    return null
  }

  #open(memory: SidecarMemory, input: OpenInput): Opened {
    this.#begin(memory, input.now, input.most)
    memory.connection(input.facts, input.random)
    memory.head(input.received, input.start, input.length)
    const opened = readOpened(memory, this.#run(memory, 'open'), input.length)
    if (opened.kind === 'opened') {
      this.#opened = memory
      memory.mark()
    }
    return opened
  }

  #decide(
    memory: SidecarMemory,
    { policy, target, targetPort, sides, answers, circuits }: Judging,
  ): DecisionRun {
    memory.bytes(IN_POLICY_PTR, policy)
    memory.text(IN_TARGET_PTR, target)
    memory.word(IN_TARGET_PORT, targetPort)
    memory.flags(sides)
    if (circuits !== null) memory.bytes(IN_CIRCUITS_PTR, circuits)
    memory.answers(answers)
    this.inputs?.take(memory.memory)
    const decision = readDecision(memory, this.#run(memory, 'decide'), this.#input!.length)
    if (decision.kind === 'needs') this.#opened = memory
    return decision
  }

  /** Judges in the large memory; what was opened in the small one is opened again there. */
  #decideInLarge(opened: SidecarMemory, judging: Judging, needed: number): DecisionRun {
    const large = this.#large
    if (opened !== large && this.#open(large, this.#input!).kind !== 'opened') {
      throw new BadOutput('the same head is read in two ways')
    }
    this.#opened = null
    if (needed - this.#input!.length > large.room)
      throw new BadOutput(`the policy of ${judging.policy.length} bytes is too large`)
    return this.#decide(large, judging)
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
    this.#opened = null
    const answers: Answer[] = []
    const run = (size: SidecarMemory) => {
      const memory = this.#begin(size, now, this.maxHeadBytes + ADDED_BYTES)
      load(memory)
      memory.bytes(IN_POLICY_PTR, policy)
      memory.bytes(IN_CONTEXT_PTR, context)
      memory.word(IN_RESPONSE_FLAGS, responseFlags)
      if (attempt !== null) {
        memory.bytes(IN_RETRY_PTR, attempt.record)
        memory.word(IN_ATTEMPT, attempt.number)
      }
      memory.answers(answers)
      return readResponseDecision(memory, this.#run(memory, 'respond'), headLength)
    }
    try {
      for (let runs = 1; runs <= MAX_RUNS; runs++) {
        const needed =
          policy.length + 2 * context.length + 3 * headLength + extra + roomOfAnswers(answers) + SLACK
        if (needed > LARGE_ROOM)
          throw new BadOutput(`the response phase would need ${needed} bytes of memory`)
        let decision = run(needed <= SMALL_ROOM ? this.#small : this.#large)
        if (decision.kind === 'bad' && decision.reason === REASON_MEMORY && needed <= SMALL_ROOM)
          decision = run(this.#large)
        if (decision.kind !== 'needs') return this.#counted(decision)
        if (answer === null) throw new BadOutput('the response phase needs what nobody answers')
        for (const need of decision.needs) answers.push({ need, bytes: answer(need) })
      }
      throw new BadOutput('the response phase needs ever more')
    } catch (error) {
      return this.#failed(error)
    }
  }

  #begin(memory: SidecarMemory, now: number, mostHead: number): SidecarMemory {
    this.counters.sandboxes++
    memory.begin(now, mostHead, this.draining)
    return memory
  }

  #run(memory: SidecarMemory, entry: string): number {
    const outcome = memory.sandbox.call(entry)
    if (outcome === TRAP_FUEL) throw new BadOutput(`${entry} ran out of fuel`)
    if (outcome < 0) throw new BadOutput(`${entry} trapped: ${memory.sandbox.trapText()}`)
    if (memory.words[(OUTPUT + OUT_RESULT) >> 2] !== outcome)
      throw new BadOutput(`${entry} contradicts itself`)
    return outcome
  }

  #counted<T extends Counted>(decision: T): T {
    countDecision(this.counters, decision)
    return decision
  }

  #failed(error: unknown): Failed {
    this.#opened = null
    this.counters.failed++
    // Anything else is a mistake of the host's own, but it must not let a request through or stop an engine either.
    return { kind: 'failed', reason: error instanceof Error ? error.message : String(error) }
  }
}

/** Loads the guest; throws where it cannot be proved to be what it should be, as without it nothing can run. */
export function loadSidecars(wasm: Buffer): Sidecars {
  return new Sidecars(loadGuest(wasm, SMALL_PAGES, SMALL_FUEL), loadGuest(wasm, LARGE_PAGES, LARGE_FUEL))
}
