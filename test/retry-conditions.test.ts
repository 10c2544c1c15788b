// Whether an attempt is made again, by the real guest, beside a plain reading of Envoy's documentation of x-envoy-retry-on.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { encodeRetryPolicy } from '../src/policy/retry-policy.ts'
import type { RetryCondition, RetryPlan } from '../src/policy/route-plan.ts'
import {
  DIRECTION_INGRESS,
  RESPONSE_FLAG_UF,
  RESPONSE_FLAG_UO,
  RESPONSE_FLAG_URX,
} from '../src/sidecar/layout/record.ts'
import {
  FAILURE_CONNECT,
  FAILURE_NONE,
  FAILURE_RESET,
  FAILURE_TIMEOUT,
  RETRY_BITS,
  RETRY_FAILURE,
  RETRY_MAY_REPEAT,
  RETRY_MAY_SPEND,
} from '../src/sidecar/layout/retry.ts'
import { factsOf, NOW, openPolicy, RANDOM, realSidecars } from './sidecar-phases.ts'

const sidecars = await realSidecars()
const policy = openPolicy()
const request = Buffer.from('GET / HTTP/1.1\r\nhost: a.shop.localhost\r\n\r\n')
sidecars.open(request, 0, request.length, factsOf(DIRECTION_INGRESS), NOW, RANDOM)
const decision = sidecars.decide(policy, 'shop/cart', 8080)
assert.equal(decision.kind, 'forward')
const context = decision.kind === 'forward' ? decision.context : Buffer.alloc(0)

interface Attempt {
  plan: RetryPlan
  number: number
  failure: number
  repeatable: boolean
  budget: boolean
  status: number
  rateLimited: boolean
}

/** "retried", or what goes on with which flags. */
function judge({ plan, number, failure, repeatable, budget, status, rateLimited }: Attempt): string {
  const record = encodeRetryPolicy(plan)
  record.writeUInt32LE(failure, RETRY_FAILURE)
  record.writeUInt32LE((repeatable ? RETRY_MAY_REPEAT : 0) | (budget ? RETRY_MAY_SPEND : 0), RETRY_BITS)
  const facts = { number, record }
  const fields = rateLimited ? 'X-Envoy-RateLimited: true\r\n' : ''
  const head = Buffer.from(`HTTP/1.1 ${status} Any\r\ncontent-length: 0\r\n${fields}\r\n`)
  const judged =
    failure === FAILURE_NONE
      ? sidecars.respond(policy, context, head, 0, head.length, NOW, '127.0.0.1:9001', 0, null, facts)
      : sidecars.reply(policy, context, 503, 'no', '', NOW, RESPONSE_FLAG_UF, null, facts)
  if (judged.kind === 'retried') return 'retried'
  assert.equal(judged.kind, 'head')
  return judged.kind === 'head' ? `goes on, ${judged.responseFlags}` : ''
}

function expected({ plan, number, failure, repeatable, budget, status, rateLimited }: Attempt): string {
  const on = (condition: RetryCondition) => plan.conditions.includes(condition)
  const failed = () => {
    if (on('5xx') || on('gateway-error') || on('reset')) return true
    return failure === FAILURE_CONNECT && (on('connect-failure') || on('reset-before-request'))
  }
  const answered = () => {
    if (rateLimited) return on('envoy-ratelimited')
    if (on('5xx') && status >= 500 && status <= 599) return true
    if (on('gateway-error') && [502, 503, 504].includes(status)) return true
    if (on('retriable-4xx') && status === 409) return true
    return plan.statuses.includes(status)
  }
  if (plan.attempts === 0 || !repeatable || !(failure === FAILURE_NONE ? answered() : failed()))
    return 'goes on, 0'
  if (number > plan.attempts) return `goes on, ${RESPONSE_FLAG_URX}`
  return budget ? 'retried' : `goes on, ${RESPONSE_FLAG_UO}`
}

const conditions: RetryCondition[] = [
  '5xx',
  'gateway-error',
  'reset',
  'reset-before-request',
  'connect-failure',
  'envoy-ratelimited',
  'retriable-4xx',
  'refused-stream',
  'retriable-status-codes',
]
const status = fc.oneof(
  fc.constantFrom(200, 204, 301, 404, 409, 429, 500, 502, 503, 504, 599, 600),
  fc.integer({ min: 200, max: 999 }),
)
const attempt: fc.Arbitrary<Attempt> = fc.record({
  plan: fc.record({
    attempts: fc.integer({ min: 0, max: 4 }),
    perTryTimeoutMs: fc.constant(null),
    backOffMs: fc.constant(25),
    conditions: fc.subarray(conditions),
    statuses: fc.array(status, { maxLength: 4 }),
    avoidsPrevious: fc.boolean(),
  }),
  number: fc.integer({ min: 1, max: 6 }),
  failure: fc.constantFrom(
    FAILURE_NONE,
    FAILURE_NONE,
    FAILURE_NONE,
    FAILURE_CONNECT,
    FAILURE_RESET,
    FAILURE_TIMEOUT,
  ),
  repeatable: fc.boolean(),
  budget: fc.boolean(),
  status,
  rateLimited: fc.boolean(),
})

test('any attempt is judged as the documentation says', () => {
  fc.assert(
    fc.property(attempt, (one) => assert.equal(judge(one), expected(one))),
    { numRuns: 3_000 },
  )
})

test('without a retry policy nothing is retried', () => {
  const head = Buffer.from('HTTP/1.1 503 Any\r\ncontent-length: 0\r\n\r\n')
  assert.equal(sidecars.respond(policy, context, head, 0, head.length, NOW, '', 0).kind, 'head')
})

test('an interim answer is never retried', () => {
  const plan: RetryPlan = {
    attempts: 3,
    perTryTimeoutMs: null,
    backOffMs: 25,
    conditions: ['5xx'],
    statuses: [103],
    avoidsPrevious: true,
  }
  const record = encodeRetryPolicy(plan)
  record.writeUInt32LE(RETRY_MAY_REPEAT | RETRY_MAY_SPEND, RETRY_BITS)
  const head = Buffer.from('HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n')
  const judged = sidecars.respond(policy, context, head, 0, head.length, NOW, '', 0, null, {
    number: 1,
    record,
  })
  assert.equal(judged.kind, 'interim')
})
