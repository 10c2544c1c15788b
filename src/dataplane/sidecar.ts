// Running sidecars: the input is marshalled into a fresh sandbox, the guest runs, and its output is checked before the
// engine sees it. Whatever goes wrong in a sandbox becomes a value of kind `failed`: the request is not let through.

import {
  ADDED_BYTES,
  DIRECTION_INBOUND,
  IN_CIRCUITS_PTR,
  IN_FLAG_ROUTE,
  IN_FLAG_SERVE,
  IN_FLAG_TLS,
  IN_HEAD_LEN,
  IN_POLICY_PTR,
  IN_TARGET_PORT,
  IN_TARGET_PTR,
  INPUT,
  REASON_MEMORY,
  RESULT_OPENED,
} from '../sidecar/layout/record.ts'
import type { DecisionInput } from './decision-input.ts'
import type { DecisionInputs } from './decision-inputs.ts'
import type { SidecarCounters } from './sidecar-counters.ts'
import type { Abandoned, Answer, ConnectionFacts, Decision, DecisionRun, Opened } from './sidecar-decision.ts'
import { headBytes } from './sidecar-head-bytes.ts'
import { roomOfAnswers, type SidecarMemory } from './sidecar-memory.ts'
import { BadOutput } from './sidecar-output.ts'
import { INCOMPLETE, NOTHING, readAbandoned, readDecision, readOpened } from './sidecar-reading.ts'

import { SidecarResponses } from './sidecar-responses.ts'
import { loadSandboxes, type SidecarSandboxes, SLACK, SMALL_ROOM } from './sidecar-sandboxes.ts'

export type { SidecarCounters } from './sidecar-counters.ts'
export type * from './sidecar-decision.ts'
export type { AnswerNeed } from './sidecar-responses.ts'

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
  /** Where each input of `decide` is copied to; null: nowhere. */
  inputs: DecisionInputs | null = null
  readonly respond: SidecarResponses['respond']
  readonly reply: SidecarResponses['reply']
  readonly trailers: SidecarResponses['trailers']
  readonly #sandboxes: SidecarSandboxes
  #input: OpenInput | null = null

  constructor(sandboxes: SidecarSandboxes) {
    this.#sandboxes = sandboxes
    const responses = new SidecarResponses(sandboxes)
    this.respond = responses.respond.bind(responses)
    this.reply = responses.reply.bind(responses)
    this.trailers = responses.trailers.bind(responses)
  }

  get counters(): SidecarCounters {
    return this.#sandboxes.counters
  }

  get maxHeadBytes(): number {
    return this.#sandboxes.maxHeadBytes
  }

  set maxHeadBytes(most: number) {
    this.#sandboxes.maxHeadBytes = most
  }

  get draining(): boolean {
    return this.#sandboxes.draining
  }

  set draining(drains: boolean) {
    this.#sandboxes.draining = drains
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
    this.#sandboxes.opened = null
    const fromSidecar = facts.direction === DIRECTION_INBOUND || facts.forwarded === true
    const most = this.#sandboxes.maxHeadBytes + (fromSidecar ? ADDED_BYTES : 0)
    const length = headBytes(received, start, end, most)
    if (length < 0) return INCOMPLETE
    this.#input = { received, start, length, most, facts, now, random }
    try {
      const opened = this.#open(
        3 * length + SLACK <= SMALL_ROOM ? this.#sandboxes.small : this.#sandboxes.large,
        this.#input,
      )
      return this.#sandboxes.counted(opened)
    } catch (error) {
      return this.#sandboxes.failed(error)
    }
  }

  /** Puts the connection that another node's engine told of in place of the one on which `open` just got its head. */
  relocate(facts: ConnectionFacts): void {
    if (this.#sandboxes.opened === null) return
    this.#input!.facts = facts
    this.#sandboxes.opened.addresses(facts)
    this.#sandboxes.opened.flags(facts.tls ? IN_FLAG_TLS : 0)
  }

  /** Judges as `judge` does a request whose policies need nothing; where they do, the request is not let through. */
  decide(policy: Buffer, target: string, targetPort: number): Decision {
    const decision = this.judge(policy, target, targetPort, BOTH_SIDES, NO_ANSWERS)
    return decision.kind === 'needs'
      ? this.#sandboxes.failed(new BadOutput('the sidecar needs what nobody answers'))
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
    const memory = this.#sandboxes.opened
    this.#sandboxes.opened = null
    const judging = { policy, target, targetPort, sides, answers, circuits }
    try {
      if (memory === null) throw new BadOutput('decide without open')
      memory.rewind()
      const needed =
        policy.length + 2 * this.#input!.length + roomOfAnswers(answers) + (circuits?.length ?? 0) + SLACK
      if (memory === this.#sandboxes.small && needed <= memory.room) {
        const decision = this.#decide(memory, judging)
        if (decision.kind !== 'denied' || decision.denial.reason !== REASON_MEMORY)
          return this.#sandboxes.counted(decision)
      }
      return this.#sandboxes.counted(this.#decideInLarge(memory, judging, needed))
    } catch (error) {
      return this.#sandboxes.failed(error)
    }
  }

  /**
   * Judges once more what a decision was made of, by any policy, with these answers to its needs. What is wrong here is no
   * request's business, so it is not counted.
   */
  redecide(input: DecisionInput, policy: Buffer, answers: readonly Answer[]): DecisionRun {
    this.#sandboxes.opened = null
    try {
      for (const memory of [this.#sandboxes.small, this.#sandboxes.large]) {
        if (!memory.restore(input, policy, answers)) continue
        if (this.#sandboxes.run(memory, 'open') !== RESULT_OPENED)
          throw new BadOutput('the same head is read in two ways')
        const decision = readDecision(
          memory,
          this.#sandboxes.run(memory, 'decide'),
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
    const memory = this.#sandboxes.opened
    this.#sandboxes.opened = null
    if (memory === null) return NOTHING
    try {
      return readAbandoned(memory, this.#input!.length)
    } catch (error) {
      this.#sandboxes.failed(error)
      return NOTHING
    }
  }

  #open(memory: SidecarMemory, input: OpenInput): Opened {
    this.#sandboxes.begin(memory, input.now, input.most)
    memory.connection(input.facts, input.random)
    memory.head(input.received, input.start, input.length)
    const opened = readOpened(memory, this.#sandboxes.run(memory, 'open'), input.length)
    if (opened.kind === 'opened') {
      this.#sandboxes.opened = memory
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
    const decision = readDecision(memory, this.#sandboxes.run(memory, 'decide'), this.#input!.length)
    if (decision.kind === 'needs') this.#sandboxes.opened = memory
    return decision
  }

  /** Judges in the large memory; what was opened in the small one is opened again there. */
  #decideInLarge(opened: SidecarMemory, judging: Judging, needed: number): DecisionRun {
    const large = this.#sandboxes.large
    if (opened !== large && this.#open(large, this.#input!).kind !== 'opened') {
      throw new BadOutput('the same head is read in two ways')
    }
    this.#sandboxes.opened = null
    if (needed - this.#input!.length > large.room)
      throw new BadOutput(`the policy of ${judging.policy.length} bytes is too large`)
    return this.#decide(large, judging)
  }
}

/** Loads the guest; throws where it cannot be proved to be what it should be, as without it nothing can run. */
export function loadSidecars(wasm: Buffer): Sidecars {
  return new Sidecars(loadSandboxes(wasm))
}
