// What policies ask of the engine (NEED_* of layout/record.ts). The engine answers and runs the phase again with all answers
// so far. A phase is deterministic, so its n-th need in one run is its n-th need in the next, and gets the n-th answer:
// ask the same needs in the same order, whatever the answers to those asked together with them are.

import {
  ANSWER_HEADER,
  ANSWERS_HEADER,
  IN_STATE_LEN,
  IN_STATE_PTR,
  MAX_NEEDS,
  NEED_SIZE,
  NEEDS,
  OUT_NEEDS,
  OUTPUT,
} from './layout/record.ts'
import { inU32, outU32 } from './message.ts'

let asked: i32 = 0
let answers: i32 = 0
let answer: i32 = 0
let answerSize: i32 = 0

/** Starts a run of a phase: the answers are those that the engine has injected. */
export function beginNeeds(): void {
  asked = 0
  answer = inU32(IN_STATE_PTR) + ANSWERS_HEADER
  answers = inU32(IN_STATE_LEN) < (ANSWERS_HEADER as u32) ? 0 : load<i32>(answer - ANSWERS_HEADER)
  outU32(OUT_NEEDS, 0)
}

/** Whether something is asked that has not been answered yet. */
export function hasNeeds(): bool {
  return load<i32>(OUTPUT + OUT_NEEDS) != 0
}

/** Address of the engine's answer (answerLen its length), or 0: then it is asked, and the policy is to return VERDICT_WAIT. */
export function need(kind: i32, keyPtr: i32, keyLen: i32): i32 {
  if (asked++ < answers) return nextAnswer(kind, keyLen)
  const count = load<i32>(OUTPUT + OUT_NEEDS)
  if (count == MAX_NEEDS) unreachable()
  const entry = NEEDS + count * NEED_SIZE
  store<i32>(entry, kind)
  store<i32>(entry + 4, keyPtr)
  store<i32>(entry + 8, keyLen)
  outU32(OUT_NEEDS, count + 1)
  return 0
}

/** Length of the answer that `need` gave last. */
export function answerLen(): i32 {
  return answerSize
}

function nextAnswer(kind: i32, keyLen: i32): i32 {
  const header = answer
  // An answer to another question would be judged by as if it were this one's.
  if (load<i32>(header) != kind || load<i32>(header + 4) != keyLen) unreachable()
  answerSize = load<i32>(header + 8)
  answer = header + ANSWER_HEADER + ((answerSize + 7) & ~7)
  return header + ANSWER_HEADER
}
