import { RETRY_CONDITIONS, type RetryPolicy, retryWords } from '../api/retry-policy.ts'
import type { RetryCondition, RetryPlan } from './route-plan.ts'

/** What Istio retries where `retryOn` says nothing. */
const DEFAULT_RETRY_ON = 'connect-failure,refused-stream,unavailable,cancelled,reset-before-request'
/** Istio's base of the back-off. */
const DEFAULT_BACK_OFF_MS = 25

/** A route's `retries` with Istio's defaults. */
export function retryPlan(policy: RetryPolicy): RetryPlan {
  const words = retryWords(policy.retryOn || DEFAULT_RETRY_ON)
  const statuses = words.filter((word) => /^\d+$/.test(word)).map(Number)
  const conditions = new Set(words.filter(isCondition))
  // A status in the list asks for it, as in Istio.
  if (statuses.length > 0) conditions.add('retriable-status-codes')
  return {
    attempts: policy.attempts,
    perTryTimeoutMs: policy.perTryTimeout ?? null,
    backOffMs: policy.backoff ?? DEFAULT_BACK_OFF_MS,
    conditions: [...conditions],
    statuses,
    avoidsPrevious: policy.retryIgnorePreviousHosts ?? true,
  }
}

function isCondition(word: string): word is RetryCondition {
  return (RETRY_CONDITIONS as readonly string[]).includes(word)
}
