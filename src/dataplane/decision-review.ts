import { IN_DIRECTION, IN_HEAD_LEN, IN_HEAD_PTR } from '../sidecar/layout/record.ts'
import { bytesAt, type DecisionInput } from './decision-input.ts'
import { fingerprint } from './decision-inputs.ts'
import type { DecisionRecord, StageRecord } from './decision-ring.ts'
import type { EngineContext } from './engine-context.ts'
import { type RedactedHead, redactHead } from './redaction.ts'
import { recordedAnswers } from './redecide.ts'

/** What deciding once more from the same input gives: a decision is pure, so anything but `same` needs an explanation. */
export type Again =
  | 'same'
  /** The sidecar is broken, or its guest another one than then. */
  | 'differs'
  /** The function has had another policy since. */
  | 'other-policy'
  /** The input has been overwritten by later ones, or was too large to be kept. */
  | 'not-kept'

export interface ReviewedDecision extends DecisionRecord {
  stages: (StageRecord & { again: Again })[]
  /** What the client sent, without what would let a reader act as the client; null where it is not kept. */
  request: RedactedHead | null
}

/** Makes a past decision once more and compares. */
export function reviewDecision(engine: EngineContext, record: DecisionRecord): ReviewedDecision {
  const inputs = engine.inputs.find(record.requestId)
  const stages = record.stages.map((stage) => {
    // Calls of one chain may share their request id: the latest with this function, direction and policy is meant.
    const input = inputs.findLast(
      (one) =>
        one.function === stage.function &&
        one.policyHash === stage.policyHash &&
        one.bytes.readUInt32LE(IN_DIRECTION) === stage.direction,
    )
    return { ...stage, again: input ? decideAgain(engine, input) : ('not-kept' as const) }
  })
  const first = stages[0]
  const shown = inputs.findLast(
    (one) => one.function === first?.function && one.bytes.readUInt32LE(IN_DIRECTION) === first.direction,
  )
  return { ...record, stages, request: shown ? headOf(shown) : null }
}

function decideAgain(engine: EngineContext, input: DecisionInput): Again {
  const entry = engine.functions.get(input.function)
  const { redecide } = engine.sidecars
  if (!redecide || entry?.slice.policyHash !== input.policyHash) return 'other-policy'
  const decision = redecide.call(engine.sidecars, input, entry.policy, recordedAnswers(input))
  return decision.kind !== 'needs' && fingerprint(decision) === input.outcome ? 'same' : 'differs'
}

function headOf(input: DecisionInput): RedactedHead {
  const { bytes } = input
  return redactHead(bytesAt(input, bytes.readUInt32LE(IN_HEAD_PTR), bytes.readUInt32LE(IN_HEAD_LEN)))
}
