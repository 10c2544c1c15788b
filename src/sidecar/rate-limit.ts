// Rate limits: the sidecar says whose counters a request counts for, the engine takes one from each or from none, and the
// sidecar judges by what is left.

import {
  LIMIT_FLAG_ALLOW_UNAVAILABLE,
  LIMIT_FLAG_DRY_RUN,
  LIMIT_FLAGS,
  LIMIT_LENGTH,
  LIMIT_NAME,
  LIMIT_NAME_LENGTH,
  LIMIT_POLICY,
  LIMIT_POLICY_LENGTH,
  LIMIT_QUOTED,
  LIMIT_QUOTED_LENGTH,
  QUOTA_ANSWER_SIZE,
  QUOTA_REFUSED,
  QUOTA_UNAVAILABLE,
  RATE_LIMIT_HEADER,
} from './layout/rate-limit.ts'
import {
  NEED_QUOTA,
  NO_RULE,
  POLICY_RATE_LIMIT,
  REASON_RATE_LIMIT,
  RESPONSE_FLAG_RL,
  VERDICT_ALLOW,
  VERDICT_AUDIT,
  VERDICT_DENY,
  VERDICT_WAIT,
} from './layout/record.ts'
import { deny, denyWithFields, outBytes, outDecimal, outPosition, outText, recordVerdict } from './message.ts'
import { answerLen, need } from './needs.ts'
import { outPrintable } from './printable.ts'
import { limitsThatJudge, outQuotaKey } from './rate-limit-key.ts'
import { respondWithAdd } from './response-fields.ts'
import { beginMatching } from './rule-match.ts'

/** Judges by the RATE_LIMIT section: VERDICT_ALLOW, VERDICT_WAIT, or VERDICT_DENY with the denial written. */
export function judgeRateLimit(section: i32, sectionLen: i32): i32 {
  if (sectionLen < RATE_LIMIT_HEADER) return VERDICT_ALLOW
  beginMatching()
  const mask = limitsThatJudge(section)
  if (mask == 0) return VERDICT_ALLOW
  const key = outQuotaKey(section, mask)
  const answer = need(NEED_QUOTA, key, outPosition() - key)
  if (answer == 0) return VERDICT_WAIT
  if (answerLen() != popcnt(mask) * QUOTA_ANSWER_SIZE) unreachable()
  tellClient(section, mask, answer)
  return judgeAnswers(section, mask, answer)
}

function judgeAnswers(section: i32, mask: i32, answers: i32): i32 {
  let refusing = 0
  let refusal = 0
  let rule = NO_RULE
  // A client comes again when all limits that refuse it may let it pass.
  let retry: u32 = 0
  let answer = answers
  let limit = section + RATE_LIMIT_HEADER
  for (let i = 0; mask >>> i != 0; i++) {
    if (((mask >>> i) & 1) != 0) {
      const verdict = verdictOf(limit, answer)
      if (verdict == VERDICT_AUDIT) recordVerdict(POLICY_RATE_LIMIT, VERDICT_AUDIT, i)
      if (verdict == VERDICT_DENY) {
        retry = max(retry, load<u32>(answer + 12))
        if (refusing == 0) {
          refusing = limit
          refusal = answer
          rule = i
        }
      }
      answer += QUOTA_ANSWER_SIZE
    }
    limit += load<i32>(limit + LIMIT_LENGTH)
  }
  recordVerdict(POLICY_RATE_LIMIT, refusing == 0 ? VERDICT_ALLOW : VERDICT_DENY, rule)
  return refusing == 0 ? VERDICT_ALLOW : refuse(refusing, load<i32>(refusal), retry)
}

/** VERDICT_AUDIT: a limit that is only tried out would refuse the request. */
function verdictOf(limit: i32, answer: i32): i32 {
  const flags = load<i32>(limit + LIMIT_FLAGS)
  const state = load<i32>(answer)
  const allowed =
    state == QUOTA_UNAVAILABLE ? (flags & LIMIT_FLAG_ALLOW_UNAVAILABLE) != 0 : state != QUOTA_REFUSED
  if (allowed) return VERDICT_ALLOW
  return (flags & LIMIT_FLAG_DRY_RUN) != 0 ? VERDICT_AUDIT : VERDICT_DENY
}

function refuse(limit: i32, state: i32, retry: u32): i32 {
  const text = outPosition()
  outText('the limit ')
  outPrintable(limit + load<i32>(limit + LIMIT_NAME), load<i32>(limit + LIMIT_NAME_LENGTH))
  outText(state == QUOTA_REFUSED ? ' is used up: try again in ' : ' cannot be counted now: try again in ')
  outDecimal(retry as u64)
  outText(' s')
  const textLen = outPosition() - text
  const lines = outPosition()
  outText('retry-after: ')
  outDecimal(retry as u64)
  outText('\r\n')
  const linesLen = outPosition() - lines
  deny(state == QUOTA_REFUSED ? 429 : 503, REASON_RATE_LIMIT, text, textLen)
  denyWithFields(lines, linesLen, RESPONSE_FLAG_RL)
  return VERDICT_DENY
}

/** RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers): one list item for each limit that is in force. */
function tellClient(section: i32, mask: i32, answers: i32): void {
  const items = outPosition()
  for (let pass = 0; pass < 2; pass++) {
    const start = outPosition()
    let answer = answers
    let limit = section + RATE_LIMIT_HEADER
    for (let i = 0; mask >>> i != 0; i++) {
      if (((mask >>> i) & 1) != 0) {
        const isTold =
          (load<i32>(limit + LIMIT_FLAGS) & LIMIT_FLAG_DRY_RUN) == 0 && load<i32>(answer) != QUOTA_UNAVAILABLE
        if (isTold) {
          if (outPosition() != start) outText(', ')
          if (pass == 0) {
            outBytes(limit + load<i32>(limit + LIMIT_POLICY), load<i32>(limit + LIMIT_POLICY_LENGTH))
          } else outState(limit, answer)
        }
        answer += QUOTA_ANSWER_SIZE
      }
      limit += load<i32>(limit + LIMIT_LENGTH)
    }
    const end = outPosition()
    if (end == items) return
    const name = outPosition()
    outText(pass == 0 ? 'ratelimit-policy' : 'ratelimit')
    respondWithAdd(name, outPosition() - name, start, end - start)
  }
}

function outState(limit: i32, answer: i32): void {
  outBytes(limit + load<i32>(limit + LIMIT_QUOTED), load<i32>(limit + LIMIT_QUOTED_LENGTH))
  outText(';r=')
  outDecimal(load<u32>(answer + 4) as u64)
  outText(';t=')
  outDecimal(load<u32>(answer + 8) as u64)
}
