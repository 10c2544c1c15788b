import { z } from 'zod'
import { integer, mapping, report, text } from './fields.ts'
import { duration } from './http-fault.ts'
import { quote } from './kubernetes-name.ts'
import { suggestion } from './nearest-name.ts'

/** When and how often a request is sent again: Istio's HTTPRetry. */
export type RetryPolicy = z.output<typeof retryPolicy>

export const retryPolicy = mapping({
  attempts: integer(0, 100).default(0),
  perTryTimeout: duration.optional(),
  retryOn: text(checkRetryOn).optional(),
  backoff: duration.optional(),
  retryIgnorePreviousHosts: z.boolean().optional(),
  retryRemoteLocalities: z
    .boolean()
    .superRefine((value, context) => {
      if (value) report(context, 'unsupported', 'a mesh has one locality: remove the field')
    })
    .optional(),
})

/** Conditions that are judged. */
export const RETRY_CONDITIONS = [
  '5xx',
  'gateway-error',
  'reset',
  'reset-before-request',
  'connect-failure',
  'envoy-ratelimited',
  'retriable-4xx',
  'refused-stream',
  'retriable-status-codes',
] as const

/** Conditions on a gRPC status or a QUIC connection: no response of a function has one. */
const NEVER_HOLD = [
  'cancelled',
  'deadline-exceeded',
  'internal',
  'resource-exhausted',
  'unavailable',
  'http3-post-connect-failure',
]

/** The words of retryOn. */
export function retryWords(value: string): string[] {
  return value.split(',').map((word) => word.trim())
}

function checkRetryOn(value: string): string | null {
  if (value === '') return null
  const known: readonly string[] = [...RETRY_CONDITIONS, ...NEVER_HOLD]
  for (const word of retryWords(value)) {
    if (known.includes(word) || /^[1-5]\d\d$/.test(word)) continue
    if (word === 'retriable-headers')
      return `${quote(word)} is not available: it needs fields that only Envoy filters can name`
    const near = suggestion(word, known)
    return `${quote(word)} is not a condition${near && `: did you mean ${near}?`}; write conditions and statuses with commas between them`
  }
  return null
}
