// Every error that the engine itself answers, in one place: status, text for the client, response flags for the log.

import {
  RESPONSE_FLAG_DPE,
  RESPONSE_FLAG_DT,
  RESPONSE_FLAG_NR,
  RESPONSE_FLAG_SI,
  RESPONSE_FLAG_UAEX,
  RESPONSE_FLAG_UC,
  RESPONSE_FLAG_UF,
  RESPONSE_FLAG_UH,
  RESPONSE_FLAG_UO,
  RESPONSE_FLAG_UPE,
  RESPONSE_FLAG_UT,
} from '../sidecar/layout/record.ts'
import type { WaitRefusal } from './endpoint-set.ts'

export interface Refusal {
  status: number
  text: string
  /** Extra field lines of the reply, each ending in CRLF, or "". */
  fields: string
  /** RESPONSE_FLAG_* bits. */
  flags: number
}

const refusal = (status: number, text: string, flags: number, fields = ''): Refusal => ({
  status,
  text,
  fields,
  flags,
})

export const headTimedOut = (): Refusal =>
  refusal(408, 'the request head did not arrive in time', RESPONSE_FLAG_DPE)

export const unknownHost = (host: string): Refusal =>
  refusal(404, `no function is served as ${host}`, RESPONSE_FLAG_NR)

/** A route leads to a function that is gone, or that this engine does not know yet. */
export const noDestination = (key: string): Refusal =>
  refusal(503, `the route leads to ${key}, which is not there`, RESPONSE_FLAG_NR)

export const notLookedUp = (): Refusal =>
  refusal(
    503,
    'the control plane did not say whether there is such a function',
    RESPONSE_FLAG_NR,
    'retry-after: 1\r\n',
  )

export const sidecarFailed = (): Refusal =>
  refusal(500, 'the sidecar failed, so the request was not let through', 0)

export const tooManyRequests = (): Refusal =>
  refusal(
    503,
    'the engine has as many requests in flight as it may have',
    RESPONSE_FLAG_UO,
    'retry-after: 1\r\n',
  )

export const badBody = (): Refusal =>
  refusal(400, 'the request body is not framed as its head says', RESPONSE_FLAG_DPE)

export const badUpstream = (): Refusal =>
  refusal(502, "the function's answer is not acceptable HTTP", RESPONSE_FLAG_UPE)

export const upstreamAborted = (): Refusal =>
  refusal(502, 'the function instance ended the connection before it answered', RESPONSE_FLAG_UC)

export const connectFailed = (code: string): Refusal =>
  refusal(503, `no connection to a function instance (${code})`, RESPONSE_FLAG_UF, 'retry-after: 1\r\n')

export const timedOut = (ms: number): Refusal =>
  refusal(504, `the function did not answer within ${ms / 1000} s`, RESPONSE_FLAG_UT)

export const attemptTimedOut = (ms: number): Refusal =>
  refusal(504, `the function did not answer an attempt within ${ms / 1000} s`, RESPONSE_FLAG_UT)

export const routeTimedOut = (ms: number): Refusal =>
  refusal(504, `the function did not answer within the ${ms / 1000} s of its route`, RESPONSE_FLAG_UT)

export const notBegun = (ms: number): Refusal =>
  refusal(504, `the function did not begin to answer within ${ms / 1000} s`, RESPONSE_FLAG_UT)

export const instanceIdle = (ms: number): Refusal =>
  refusal(504, `the function sent nothing for ${ms / 1000} s`, RESPONSE_FLAG_SI)

export const waitTimedOut = (ms: number): Refusal =>
  refusal(504, `no instance of the function was free within ${ms / 1000} s`, RESPONSE_FLAG_DT)

export const streamIdle = (ms: number): Refusal =>
  refusal(408, `nothing of the request body arrived for ${ms / 1000} s`, RESPONSE_FLAG_SI)

/** To another node's engine, whose certificate was valid when the connection was made. */
export const distrusted = (): Refusal =>
  refusal(403, "the peer's certificate does not count any more", RESPONSE_FLAG_UAEX)

export const unreadableHop = (): Refusal =>
  refusal(400, 'the request does not say as it must how it came to the mesh', RESPONSE_FLAG_DPE)

/** The reply to a request for which there is no instance. `now` is ms since the epoch. */
export function noInstance(why: WaitRefusal, now: number): Refusal {
  switch (why.kind) {
    case 'queue-full':
      return refusal(
        503,
        `${why.limit} requests wait for this function already`,
        RESPONSE_FLAG_UO,
        'retry-after: 1\r\n',
      )
    case 'failing': {
      const seconds = Math.max(1, Math.ceil((why.retryAt - now) / 1000))
      return refusal(
        503,
        `the function does not start: ${why.reason}`,
        RESPONSE_FLAG_UH,
        `retry-after: ${seconds}\r\n`,
      )
    }
    case 'unreachable':
      return refusal(503, `no connection to ${why.addresses}`, RESPONSE_FLAG_UF, 'retry-after: 1\r\n')
    case 'unhealthy':
      return refusal(503, 'no healthy upstream', RESPONSE_FLAG_UH)
    case 'deleted':
      return refusal(404, why.reason, RESPONSE_FLAG_NR)
  }
}
