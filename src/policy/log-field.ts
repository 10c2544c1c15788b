import {
  LOG_AUTHORITY,
  LOG_FIELD,
  LOG_FORWARDED_FOR,
  LOG_FORWARDED_PROTO,
  LOG_HOLE,
  LOG_METHOD,
  LOG_ORIGINAL_PATH,
  LOG_PATH,
  LOG_PATH_WITHOUT_QUERY,
  LOG_REQUEST_ID,
  LOG_RESPONSE_CODE,
  LOG_SCHEME,
  LOG_TRACEPARENT,
} from '../sidecar/layout/access-log.ts'
import { HOLE_ABSENT_NULL, HOLE_QUOTED, HOLE_UPSTREAM_TIME } from '../sidecar/layout/record.ts'
import { fieldNameHash } from './condition.ts'
import type { LogOp } from './log-op.ts'

/** A field's value in a log: an op without its form, or never there; undefined for a name that means nothing. */
export type FieldValue = Omit<LogOp, 'form'> | 'absent' | undefined

/** The operators that name a field, in lower case, of the request's head, the response's head or the trailers. */
export const HEAD_VALUES: Readonly<Record<string, (name: string) => FieldValue>> = {
  REQ: requestField,
  REQ_WITHOUT_QUERY: (name) => (name === ':path' ? request(LOG_PATH_WITHOUT_QUERY) : requestField(name)),
  RESP: responseField,
  // Trailers come when the line is written already.
  TRAILER: (name) => (name.startsWith(':') ? undefined : 'absent'),
}

export function isFieldName(name: string): boolean {
  return /^:?[!#$%&'*+.^_`|~0-9a-z-]+$/.test(name)
}

/** Fields that the mesh sets itself are logged as they are forwarded, not as somebody sent them. */
function requestField(name: string): FieldValue {
  if (name.startsWith(':')) return PSEUDO[name]
  if (name === 'x-envoy-original-path') return request(LOG_ORIGINAL_PATH)
  if (isInternal(name)) return 'absent'
  const own = OWN.get(name)
  return own === undefined ? field(name, 'request') : request(own)
}

function responseField(name: string): FieldValue {
  if (name === ':status') return { code: LOG_RESPONSE_CODE, phase: 'response' }
  if (name.startsWith(':')) return undefined
  // Envoy's router writes this figure into the response; here only the log has it.
  if (name === 'x-envoy-upstream-service-time') {
    return { code: LOG_HOLE, phase: 'response', number: HOLE_UPSTREAM_TIME | HOLE_QUOTED | HOLE_ABSENT_NULL }
  }
  if (isInternal(name)) return 'absent'
  return name === 'x-request-id' ? { code: LOG_REQUEST_ID, phase: 'response' } : field(name, 'response')
}

function request(code: number): FieldValue {
  return { code, phase: 'request' }
}

function field(name: string, phase: 'request' | 'response'): FieldValue {
  return { code: LOG_FIELD, phase, text: Buffer.from(name, 'latin1'), number: fieldNameHash(name) }
}

function isInternal(name: string): boolean {
  return name.startsWith('x-envoy-') || name.startsWith('x-mayfly-')
}

const PSEUDO: Readonly<Record<string, FieldValue>> = {
  ':method': request(LOG_METHOD),
  ':path': request(LOG_PATH),
  ':authority': request(LOG_AUTHORITY),
  ':scheme': request(LOG_SCHEME),
}

const OWN = new Map<string, number>([
  ['host', LOG_AUTHORITY],
  ['traceparent', LOG_TRACEPARENT],
  ['x-forwarded-for', LOG_FORWARDED_FOR],
  ['x-forwarded-proto', LOG_FORWARDED_PROTO],
  ['x-request-id', LOG_REQUEST_ID],
])
