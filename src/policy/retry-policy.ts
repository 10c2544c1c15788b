import {
  RETRY_ON_4XX,
  RETRY_ON_5XX,
  RETRY_ON_CONNECT_FAILURE,
  RETRY_ON_GATEWAY_ERROR,
  RETRY_ON_RATE_LIMITED,
  RETRY_ON_RESET,
  RETRY_ON_RESET_BEFORE_REQUEST,
  RETRY_ON_STATUSES,
  RETRY_POLICY,
} from '../sidecar/layout/retry.ts'
import { ByteWriter } from './byte-writer.ts'
import type { RetryCondition, RetryPlan } from './route-plan.ts'

/** The record at IN_RETRY_PTR (layout/retry.ts), in which what is known of an attempt has yet to be written. */
export function encodeRetryPolicy({ attempts, conditions, statuses }: RetryPlan): Buffer {
  let bits = 0
  for (const condition of conditions) bits |= BITS[condition]
  // Statuses that are listed are retried without the word that says so (Istio adds it).
  if (statuses.length > 0) bits |= RETRY_ON_STATUSES
  const out = new ByteWriter()
  out.bytes(new Uint8Array(RETRY_POLICY))
  out.u32(attempts).u32(bits).u32(statuses.length)
  for (const status of statuses) out.u16(status)
  return out.finish()
}

const BITS: Readonly<Record<RetryCondition, number>> = {
  '5xx': RETRY_ON_5XX,
  'gateway-error': RETRY_ON_GATEWAY_ERROR,
  reset: RETRY_ON_RESET,
  'reset-before-request': RETRY_ON_RESET_BEFORE_REQUEST,
  'connect-failure': RETRY_ON_CONNECT_FAILURE,
  'envoy-ratelimited': RETRY_ON_RATE_LIMITED,
  'retriable-4xx': RETRY_ON_4XX,
  // HTTP/1.1 has no streams that could be refused.
  'refused-stream': 0,
  'retriable-status-codes': RETRY_ON_STATUSES,
}
