// Policies that users bring: modules of their own, which the engine runs on what the sidecar tells them. The engine has checked what
// they answer; here it takes effect on the message.

import { forgetForwarded } from './field-as-forwarded.ts'
import {
  NEED_USER_POLICY,
  OUT_FIELDS_LEN,
  OUT_FIELDS_PTR,
  POLICY_USER,
  REASON_TOO_MANY_ADDED,
  REASON_USER_POLICY,
  VERDICT_ALLOW,
  VERDICT_DENY,
  VERDICT_WAIT,
} from './layout/record.ts'
import {
  ANSWER_CARRY,
  ANSWER_CARRY_LEN,
  ANSWER_DENIES,
  ANSWER_OPERATIONS,
  ANSWER_POLICY,
  ANSWER_SIZE,
  ANSWER_STATUS,
  ANSWER_TEXT,
  ANSWER_TEXT_LEN,
  APPLY_KIND,
  APPLY_LENGTH,
  APPLY_NAME,
  APPLY_NAME_LEN,
  APPLY_ON_RESPONSE,
  APPLY_VALUE_LEN,
  STAGE_AFTER,
  STAGE_BEFORE,
  STAGE_FIRST,
  STAGE_POLICIES,
  STAGE_RESPONSE,
  USER_POLICIES_HEADER,
} from './layout/user-policies.ts'
import { OPERATION_ADD, OPERATION_REMOVE } from './layout/user-policy.ts'
import {
  addField,
  deny,
  outBytes,
  outOverflowed,
  outPosition,
  outText,
  outU32,
  recordVerdict,
  removeFields,
} from './message.ts'
import { answerLen, need } from './needs.ts'
import { respondWithAdd, respondWithout, respondWithSet } from './response-fields.ts'
import { statusCode } from './status-line.ts'
import { noteCarry, noteHeard, userPoliciesWereHeard } from './user-carry.ts'
import { outStageKey } from './user-policy-key.ts'

/** Runs those that stand before or after the built-in policies: VERDICT_ALLOW, VERDICT_WAIT, or VERDICT_DENY with the denial written. */
export function runUserPolicies(section: i32, sectionLen: i32, after: bool): i32 {
  const stage = after ? STAGE_AFTER : STAGE_BEFORE
  noteHeard()
  const block = blockOf(section, sectionLen, stage)
  if (block == 0) return VERDICT_ALLOW
  // What was joined for an earlier policy may have changed since.
  forgetForwarded()
  const answer = ask(stage, block, 0)
  // Where the key did not fit, the phase fails by the writer's overflow.
  if (answer <= 0) return answer < 0 ? VERDICT_DENY : VERDICT_WAIT
  noteCarry(after, answer + load<i32>(answer + ANSWER_CARRY), load<i32>(answer + ANSWER_CARRY_LEN))
  const denies = load<i32>(answer + ANSWER_DENIES) != 0
  const first = load<i32>(block + STAGE_FIRST)
  const end = denies ? load<i32>(answer + ANSWER_POLICY) : first + load<i32>(block + STAGE_POLICIES)
  for (let policy = first; policy < end; policy++) recordVerdict(POLICY_USER, VERDICT_ALLOW, policy)
  if (denies) recordVerdict(POLICY_USER, VERDICT_DENY, end)
  if (!applyToRequest(answer)) {
    deny(500, REASON_TOO_MANY_ADDED, 0, 0)
    return VERDICT_DENY
  }
  forgetForwarded()
  return denies ? refuse(answer) : VERDICT_ALLOW
}

/** The same for a response whose head was read; its fields may change. A denial has status, text and fields of its own. */
export function runUserResponsePolicies(section: i32, sectionLen: i32): i32 {
  const block = blockOf(section, sectionLen, STAGE_RESPONSE)
  if (block == 0 || !userPoliciesWereHeard()) return VERDICT_ALLOW
  const answer = ask(STAGE_RESPONSE, block, statusCode())
  if (answer <= 0) return answer < 0 ? VERDICT_DENY : VERDICT_WAIT
  if (load<i32>(answer + ANSWER_DENIES) != 0) {
    outFieldsOfDenial(answer)
    return refuse(answer)
  }
  if (applyToResponse(answer)) return VERDICT_ALLOW
  deny(500, REASON_TOO_MANY_ADDED, 0, 0)
  return VERDICT_DENY
}

function blockOf(section: i32, sectionLen: i32, stage: i32): i32 {
  if (sectionLen < USER_POLICIES_HEADER) return 0
  const offset = load<i32>(section + (stage << 2))
  return offset == 0 ? 0 : section + offset
}

/** The engine's answer; 0 where it was asked just now, -1 where the question does not fit. */
function ask(stage: i32, block: i32, status: i32): i32 {
  const key = outStageKey(stage, block, status)
  if (key == 0 || outOverflowed()) return -1
  const answer = need(NEED_USER_POLICY, key, outPosition() - key)
  if (answer != 0 && answerLen() < ANSWER_SIZE) unreachable()
  return answer
}

function refuse(answer: i32): i32 {
  deny(
    load<i32>(answer + ANSWER_STATUS),
    REASON_USER_POLICY,
    answer + load<i32>(answer + ANSWER_TEXT),
    load<i32>(answer + ANSWER_TEXT_LEN),
  )
  return VERDICT_DENY
}

function applyToRequest(answer: i32): bool {
  let at = answer + ANSWER_SIZE
  for (let left = load<i32>(answer + ANSWER_OPERATIONS); left > 0; left--) {
    const name = at + APPLY_NAME
    const nameLen: i32 = load<u16>(at + APPLY_NAME_LEN)
    const valueLen = load<i32>(at + APPLY_VALUE_LEN)
    if (load<u8>(at + APPLY_ON_RESPONSE) == 0) {
      if (!applyToFields(at)) return false
    } else if (load<u8>(at + APPLY_KIND) == OPERATION_ADD) {
      respondWithAdd(name, nameLen, name + nameLen, valueLen)
    } else if (load<u8>(at + APPLY_KIND) == OPERATION_REMOVE) {
      respondWithout(name, nameLen)
    } else {
      respondWithSet(name, nameLen, name + nameLen, valueLen)
    }
    at += load<i32>(at + APPLY_LENGTH)
  }
  return true
}

function applyToResponse(answer: i32): bool {
  let at = answer + ANSWER_SIZE
  for (let left = load<i32>(answer + ANSWER_OPERATIONS); left > 0; left--) {
    if (!applyToFields(at)) return false
    at += load<i32>(at + APPLY_LENGTH)
  }
  return true
}

/** Applies an operation to the field table; false where no more fields fit. */
function applyToFields(at: i32): bool {
  const name = at + APPLY_NAME
  const nameLen: i32 = load<u16>(at + APPLY_NAME_LEN)
  const kind: i32 = load<u8>(at + APPLY_KIND)
  if (kind != OPERATION_ADD) removeFields(name, nameLen)
  return kind == OPERATION_REMOVE || addField(name, nameLen, name + nameLen, load<i32>(at + APPLY_VALUE_LEN))
}

/** A denial that replaces a response has the fields that were set or added. */
function outFieldsOfDenial(answer: i32): void {
  const start = outPosition()
  let at = answer + ANSWER_SIZE
  for (let left = load<i32>(answer + ANSWER_OPERATIONS); left > 0; left--) {
    if (load<u8>(at + APPLY_KIND) != OPERATION_REMOVE) {
      const nameLen: i32 = load<u16>(at + APPLY_NAME_LEN)
      outBytes(at + APPLY_NAME, nameLen)
      outText(': ')
      outBytes(at + APPLY_NAME + nameLen, load<i32>(at + APPLY_VALUE_LEN))
      outText('\r\n')
    }
    at += load<i32>(at + APPLY_LENGTH)
  }
  outU32(OUT_FIELDS_PTR, start)
  outU32(OUT_FIELDS_LEN, outPosition() - start)
}
