// Decisions made once more from their kept inputs (decision-inputs.ts), by the policy that judged then or by another one.

import {
  ANSWER_HEADER,
  ANSWERS_HEADER,
  IN_STATE_LEN,
  IN_STATE_PTR,
  MAX_RUNS,
} from '../sidecar/layout/record.ts'
import { bytesAt, type DecisionInput } from './decision-input.ts'
import type { Sidecars } from './sidecar.ts'
import type { Answer, Decision, Need } from './sidecar-decision.ts'

export type Redecider = Pick<Sidecars, 'redecide'>

/** What was answered then, by the need that it answered. */
export type AnswerBook = ReadonlyMap<string, Buffer>

/** A decision, or the needs of which nobody knows the answers, since nobody had asked. */
export type Redecision = Decision | { kind: 'undecided'; needs: readonly Need[] }

/** The answers that a decision was given, in their order; of the needs' keys only the lengths are known. */
export function recordedAnswers(input: DecisionInput): Answer[] {
  const state = bytesAt(input, input.bytes.readUInt32LE(IN_STATE_PTR), input.bytes.readUInt32LE(IN_STATE_LEN))
  const answers: Answer[] = []
  if (state.length < ANSWERS_HEADER) return answers
  let at = ANSWERS_HEADER
  for (let left = state.readUInt32LE(0); left > 0; left--) {
    const length = state.readUInt32LE(at + 8)
    const need = { kind: state.readUInt32LE(at), key: Buffer.alloc(state.readUInt32LE(at + 4)) }
    const start = at + ANSWER_HEADER
    answers.push({ need, bytes: state.subarray(start, start + length) })
    at = start + ((length + 7) & ~7)
  }
  return answers
}

/** Runs the decision step by step to learn which need each recorded answer was for. `policy` is the one that judged. */
export function answerBook(sidecars: Redecider, input: DecisionInput, policy: Buffer): AnswerBook {
  const book = new Map<string, Buffer>()
  const recorded = recordedAnswers(input)
  const answers: Answer[] = []
  for (let run = 1; run <= MAX_RUNS && answers.length < recorded.length; run++) {
    const decision = sidecars.redecide(input, policy, answers)
    if (decision.kind !== 'needs') return book
    for (const need of decision.needs) {
      const answer = recorded[answers.length]
      if (answer?.need.kind !== need.kind || answer.need.key.length !== need.key.length) return book
      answers.push({ need, bytes: answer.bytes })
      book.set(nameOf(need), answer.bytes)
    }
  }
  return book
}

/** Judges by any policy, with what the book says in answer to its needs. */
export function redecide(
  sidecars: Redecider,
  input: DecisionInput,
  policy: Buffer,
  book: AnswerBook,
): Redecision {
  const answers: Answer[] = []
  for (let run = 1; run <= MAX_RUNS; run++) {
    const decision = sidecars.redecide(input, policy, answers)
    if (decision.kind !== 'needs') return decision
    const unknown = decision.needs.filter((need) => !book.has(nameOf(need)))
    if (unknown.length > 0) return { kind: 'undecided', needs: unknown }
    for (const need of decision.needs) answers.push({ need, bytes: book.get(nameOf(need))! })
  }
  return { kind: 'failed', reason: 'the sidecar needs ever more' }
}

function nameOf({ kind, key }: Need): string {
  return `${kind} ${key.toString('latin1')}`
}
