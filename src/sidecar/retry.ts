// Whether an attempt that has come to its answer, or failed, is made again: Envoy's conditions (layout/retry.ts).

import { hashBytesLower } from './bytes.ts'
import {
  IN_ATTEMPT,
  IN_RETRY_LEN,
  IN_RETRY_PTR,
  OUT_RESPONSE_FLAGS,
  RESPONSE_FLAG_UO,
  RESPONSE_FLAG_URX,
} from './layout/record.ts'
import {
  FAILURE_CONNECT,
  FAILURE_NONE,
  RETRY_ATTEMPTS,
  RETRY_BITS,
  RETRY_CONDITIONS,
  RETRY_FAILURE,
  RETRY_LIST,
  RETRY_MAY_REPEAT,
  RETRY_MAY_SPEND,
  RETRY_ON_4XX,
  RETRY_ON_5XX,
  RETRY_ON_CONNECT_FAILURE,
  RETRY_ON_GATEWAY_ERROR,
  RETRY_ON_RATE_LIMITED,
  RETRY_ON_RESET,
  RETRY_ON_RESET_BEFORE_REQUEST,
  RETRY_ON_STATUSES,
  RETRY_STATUSES,
} from './layout/retry.ts'
import { findField, inU32, outPosition, outText, outU32 } from './message.ts'

/**
 * Whether the request is to be sent again instead of passing on the answer of this status, whose fields are in the table,
 * or what the engine says of a failure. Where only a bound speaks against it, the response flag says which.
 */
export function isRetried(status: i32): bool {
  outU32(OUT_RESPONSE_FLAGS, 0)
  if (inU32(IN_RETRY_LEN) < (RETRY_LIST as u32)) return false
  const retry: i32 = inU32(IN_RETRY_PTR)
  const attempts = load<u32>(retry + RETRY_ATTEMPTS)
  // A policy without attempts is none, so none are used up.
  if (attempts == 0) return false
  const bits = load<i32>(retry + RETRY_BITS)
  if ((bits & RETRY_MAY_REPEAT) == 0 || !mayHelp(retry, status)) return false
  if (inU32(IN_ATTEMPT) > attempts) return stopped(RESPONSE_FLAG_URX)
  if ((bits & RETRY_MAY_SPEND) == 0) return stopped(RESPONSE_FLAG_UO)
  return true
}

function stopped(flag: i32): bool {
  outU32(OUT_RESPONSE_FLAGS, flag)
  return false
}

function mayHelp(retry: i32, status: i32): bool {
  const conditions = load<i32>(retry + RETRY_CONDITIONS)
  const failure = load<i32>(retry + RETRY_FAILURE)
  return failure == FAILURE_NONE
    ? answerIsRetried(retry, conditions, status)
    : failureIsRetried(conditions, failure)
}

function failureIsRetried(conditions: i32, failure: i32): bool {
  if ((conditions & (RETRY_ON_RESET | RETRY_ON_5XX | RETRY_ON_GATEWAY_ERROR)) != 0) return true
  if (failure != FAILURE_CONNECT) return false
  return (conditions & (RETRY_ON_CONNECT_FAILURE | RETRY_ON_RESET_BEFORE_REQUEST)) != 0
}

function answerIsRetried(retry: i32, conditions: i32, status: i32): bool {
  // The field is looked for only where it can make a difference.
  if ((conditions & RETRY_ON_RATE_LIMITED) != 0)
    return isRateLimited() || statusIsRetried(retry, conditions, status)
  return statusIsRetried(retry, conditions, status) && !isRateLimited()
}

function statusIsRetried(retry: i32, conditions: i32, status: i32): bool {
  if ((conditions & RETRY_ON_5XX) != 0 && status >= 500 && status < 600) return true
  if ((conditions & RETRY_ON_GATEWAY_ERROR) != 0 && status >= 502 && status <= 504) return true
  if ((conditions & RETRY_ON_4XX) != 0 && status == 409) return true
  return (conditions & RETRY_ON_STATUSES) != 0 && isListed(retry, status)
}

// Envoy's own answer to a request over a limit: to come again at once would make it worse.
function isRateLimited(): bool {
  const name = outPosition()
  outText('x-envoy-ratelimited')
  const size = outPosition() - name
  return findField(name, size, hashBytesLower(name, size)) >= 0
}

function isListed(retry: i32, status: i32): bool {
  for (let i = load<i32>(retry + RETRY_STATUSES) - 1; i >= 0; i--)
    if ((load<u16>(retry + RETRY_LIST + (i << 1)) as i32) == status) return true
  return false
}
