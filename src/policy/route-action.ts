import type { CorsPolicy } from '../api/cors-policy.ts'
import type { HttpFault } from '../api/http-fault.ts'
import type { DirectResponse, HttpRoute } from '../api/http-route.ts'
import {
  ACTION_ANSWER,
  ACTION_FORWARD,
  ACTION_REDIRECT,
  CORS_ANSWERS_OTHERS,
  CORS_CREDENTIALS,
  FAULT_SCALE,
} from '../sidecar/layout/routes.ts'
import { block, listWords, type Part, textWords, type Word } from './block.ts'
import { encodeFieldOperations } from './field-operations.ts'
import { RouteRefusal } from './route-problem.ts'
import { encodeRewrite, redirectWords } from './route-rewrite.ts'
import { encodeTextMatch } from './text-match.ts'

/** Where a route's requests go, for the sidecar. */
export interface ActionTargets {
  /** For each destination whether it is another function than the route's own. */
  readonly isOther: readonly boolean[]
  /** Percentages of requests that are mirrored. */
  readonly mirrored: readonly number[]
}

/** The action block of layout/routes.ts. `field` is where the route is written; throws RouteRefusal. */
export function encodeAction(route: HttpRoute, targets: ActionTargets, field: string): Buffer {
  const { redirect, directResponse } = route
  if (redirect) return block([ACTION_REDIRECT, ...common(route, field), ...redirectWords(redirect)])
  if (directResponse)
    return block([ACTION_ANSWER, ...common(route, field), ...answerWords(directResponse, field)])
  const destinations = route.route!
  // A single destination gets everything, whatever its weight.
  const weights = destinations.map(({ weight }) => (destinations.length === 1 ? 1 : (weight ?? 0)))
  const blocks = destinations.map(({ headers }, i) =>
    block([
      weights[i]!,
      targets.isOther[i] ? 1 : 0,
      encodeFieldOperations(headers?.request),
      encodeFieldOperations(headers?.response),
    ]),
  )
  const [count, first] = listWords(blocks)
  return block([
    ACTION_FORWARD,
    ...common(route, field),
    encodeRewrite(route.rewrite, `${field}.rewrite`),
    count,
    first,
    weights.reduce((sum, weight) => sum + weight, 0),
    targets.mirrored.length,
    words(targets.mirrored.map(share)),
  ])
}

function common({ fault, corsPolicy, headers }: HttpRoute, field: string): Word[] {
  return [
    ...faultWords(fault),
    encodeCors(corsPolicy, `${field}.corsPolicy`),
    encodeFieldOperations(headers?.request),
    encodeFieldOperations(headers?.response),
  ]
}

function faultWords(fault: HttpFault | undefined): Word[] {
  const delay = fault?.delay
  const abort = fault?.abort
  return [
    delay ? share(delay.percentage?.value ?? delay.percent ?? 0) : 0,
    abort ? share(abort.percentage?.value ?? 0) : 0,
    abort?.httpStatus ?? 0,
  ]
}

/** A percentage as Istio hands it to Envoy: out of FAULT_SCALE, without what is finer. */
function share(percentage: number): number {
  return Math.floor((percentage * FAULT_SCALE) / 100)
}

function answerWords({ status, body }: DirectResponse, field: string): Word[] {
  const bytes =
    body?.bytes === undefined ? Buffer.from(body?.string ?? '', 'utf8') : Buffer.from(body.bytes, 'base64')
  // The engine hands a reply's body to the sidecar as text.
  if (!bytes.equals(Buffer.from(bytes.toString('utf8'), 'utf8')))
    throw new RouteRefusal(
      `${field}.directResponse.body.bytes`,
      'are not text in UTF-8, and others cannot be answered here',
    )
  return [status, ...textWords(bytes)]
}

function encodeCors(policy: CorsPolicy | undefined, field: string): Part {
  if (!policy) return null
  const { allowOrigins, allowMethods, allowHeaders, exposeHeaders, maxAge, allowCredentials } = policy
  const ignores = policy.unmatchedPreflights === 'IGNORE'
  const origins = allowOrigins.map((origin, i) => encodeTextMatch(origin, `${field}.allowOrigins[${i}]`))
  return block([
    (allowCredentials ? CORS_CREDENTIALS : 0) | (ignores ? CORS_ANSWERS_OTHERS : 0),
    ...listWords(origins),
    ...textWords(allowMethods.join(',')),
    ...textWords(allowHeaders.join(',')),
    ...textWords(exposeHeaders.join(',')),
    ...textWords(maxAge === undefined ? '' : String(maxAge / 1_000)),
  ])
}

function words(numbers: readonly number[]): Buffer {
  const bytes = Buffer.alloc(4 * numbers.length)
  for (const [i, number] of numbers.entries()) bytes.writeUInt32LE(number, 4 * i)
  return bytes
}
