import { MAX_RUNS } from '../sidecar/layout/record.ts'
import type { EngineContext } from './engine-context.ts'
import type { FunctionEntry } from './function-table.ts'
import type { AnswerNeed } from './sidecar.ts'
import type { Answer, ConnectionFacts, Decision, Need, Opened } from './sidecar-decision.ts'

/**
 * Answers one kind of need for a function's sidecar, at once or later. The need's key comes out of a sandbox: it is hostile. A throw or a
 * rejected promise fails the request.
 */
export type Answerer = (
  need: Need,
  entry: FunctionEntry,
  /** Those of the request; null in a response phase. */
  facts: ConnectionFacts | null,
) => Buffer | Promise<Buffer>

/** By NEED_* kind. */
export type Answerers = ReadonlyMap<number, Answerer>

/** What one sidecar judges, and all that it judges by. */
export interface Sitting {
  /** Begins with the head. */
  received: Buffer
  facts: ConnectionFacts
  /** Milliseconds since the epoch. */
  now: number
  /** RANDOM_BYTES that are valid for now. */
  random: Buffer
}

/** Whose policy judges, and about whom. */
export interface Duty {
  entry: FunctionEntry
  target: string
  targetPort: number
  /** IN_FLAG_ROUTE, IN_FLAG_SERVE. */
  sides: number
  /** For whom this engine chooses an instance; null: another one does, or none is chosen for this sidecar. */
  client: Client | null
}

/** A client as DestinationRules see it: a function's key, null from outside; and the slot of the subset that it was routed to. */
export interface Client {
  caller: string | null
  slot: number
}

export function open(engine: EngineContext, { received, facts, now, random }: Sitting): Opened {
  return engine.sidecars.open(received, 0, received.length, facts, now, random)
}

/** Lets the sidecar judge what was just opened, and gives it what it needs until it has judged; a promise where that takes time. */
export function judge(engine: EngineContext, sitting: Sitting, duty: Duty): Decision | Promise<Decision> {
  return sit(engine, sitting, duty, [], 1)
}

/** Answers for a response phase of the function's sidecar, which cannot wait; null where nobody's policy judges. */
export function answerAtOnce(engine: EngineContext, entry: FunctionEntry | null): AnswerNeed | null {
  if (entry === null) return null
  return (need) => {
    const given = answerOf(engine, need, entry, null)
    if (given instanceof Uint8Array) return given
    engine.counters.needsFailed++
    throw new Error(`need ${need.kind} is not answered at once`)
  }
}

function sit(
  engine: EngineContext,
  sitting: Sitting,
  duty: Duty,
  answers: Answer[],
  firstRun: number,
): Decision | Promise<Decision> {
  const { entry, target, targetPort, sides } = duty
  for (let run = firstRun; run <= MAX_RUNS; run++) {
    const decision = engine.sidecars.judge(
      entry.policy,
      target,
      targetPort,
      sides,
      answers,
      circuitsFor(duty),
    )
    if (decision.kind !== 'needs') {
      engine.inputs.keep(entry.slice.key, entry.slice.policyHash, decision)
      return decision
    }
    const pending: Promise<void>[] = []
    for (const need of decision.needs) {
      const answer: Answer = { need, bytes: NOTHING }
      answers.push(answer)
      const given = answerOf(engine, need, entry, sitting.facts)
      if (given instanceof Promise)
        pending.push(
          given.then((bytes) => {
            answer.bytes = bytes
          }),
        )
      else if (given === null) return unanswered(engine, need)
      else answer.bytes = given
    }
    if (pending.length > 0) return sitAgain(engine, sitting, duty, answers, run + 1, pending)
  }
  return { kind: 'failed', reason: 'the sidecar needs ever more' }
}

/** The counts as they are now, for the record at IN_CIRCUITS_PTR. */
function circuitsFor({ entry, client }: Duty): Buffer | null {
  if (client === null || entry.circuits === null) return null
  return entry.circuits.inject(client.caller, client.slot, (circuit) => entry.endpoints.isReady(circuit))
}

async function sitAgain(
  engine: EngineContext,
  sitting: Sitting,
  duty: Duty,
  answers: Answer[],
  run: number,
  pending: Promise<void>[],
): Promise<Decision> {
  const lasting = { ...sitting, random: Buffer.from(sitting.random) }
  const { policyHash } = duty.entry.slice
  engine.counters.requestsWaiting++
  try {
    await Promise.all(pending)
  } catch (error) {
    engine.counters.needsFailed++
    return { kind: 'failed', reason: error instanceof Error ? error.message : String(error) }
  } finally {
    engine.counters.requestsWaiting--
  }
  if (open(engine, lasting).kind !== 'opened')
    return { kind: 'failed', reason: 'the same head is read in two ways' }
  // Another policy has come into force meanwhile: it asks its own questions.
  if (duty.entry.slice.policyHash !== policyHash) answers.length = 0
  return sit(engine, lasting, duty, answers, run)
}

function answerOf(
  engine: EngineContext,
  need: Need,
  entry: FunctionEntry,
  facts: ConnectionFacts | null,
): Buffer | Promise<Buffer> | null {
  const answerer = engine.answerers.get(need.kind)
  if (!answerer) return null
  try {
    return answerer(need, entry, facts)
  } catch {
    return null
  }
}

function unanswered(engine: EngineContext, need: Need): Decision {
  engine.counters.needsFailed++
  return { kind: 'failed', reason: `need ${need.kind} is not answered` }
}

const NOTHING = Buffer.alloc(0)
