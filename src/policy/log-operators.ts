// Envoy's command operators, and the ops that they become. An operator that Mayfly cannot honour is refused.

import { suggestion } from '../api/nearest-name.ts'
import {
  ADDRESS_PORT,
  ADDRESS_WITH_PORT,
  ADDRESS_WITHOUT_PORT,
  FORM_JSON_VALUE,
  LOG_CLUSTER,
  LOG_DETAILS,
  LOG_DIRECT_REMOTE,
  LOG_HOLE,
  LOG_LOCAL,
  LOG_LOCAL_URI,
  LOG_PEER_URI,
  LOG_PROTOCOL,
  LOG_REMOTE,
  LOG_RESPONSE_CODE,
  LOG_ROUTE_NAME,
  LOG_SPAN_ID,
  LOG_TRACE_ID,
  LOG_UPSTREAM_HOST,
  MAX_LOGGED_VALUE,
} from '../sidecar/layout/access-log.ts'
import {
  HOLE_ABSENT_NULL,
  HOLE_BYTES_RECEIVED,
  HOLE_BYTES_SENT,
  HOLE_DURATION,
  HOLE_KIND_MASK,
  HOLE_QUOTED,
  HOLE_REQUEST_DURATION,
  HOLE_RESPONSE_DURATION,
  HOLE_RESPONSE_FLAGS,
  HOLE_RESPONSE_FLAGS_LONG,
  HOLE_RESPONSE_TX_DURATION,
} from '../sidecar/layout/record.ts'
import { HEAD_VALUES, isFieldName } from './log-field.ts'
import type { LogPart, Parsed } from './log-format.ts'
import { absentOp, type LogOp, textOp } from './log-op.ts'
import { startTimeOps } from './start-time.ts'

/** What the format's owner knows of the function that logs. */
export interface LogFacts {
  /** The function's own principal, "" for the gateway's own policy. */
  readonly principal: string
}

export type LogOperator = Extract<LogPart, { kind: 'operator' }>

/** What an operator stands for: an op without its form, or a value that is never known. */
export type LogValue = Omit<LogOp, 'form'> | 'absent'

/** The ops for one operator. */
export function operatorOps(operator: LogOperator, form: number, facts: LogFacts): Parsed<LogOp[]> {
  const { name, argument, limit } = operator
  const head = HEAD_VALUES[name]
  if (head !== undefined) return headOps(operator, form, head)
  const value = VALUES[name]
  if (value === undefined && name !== 'START_TIME') return problem(operator, REFUSED[name] ?? unknown(name))
  if (limit !== null) return problem(operator, 'takes no length: leave out the ":" and the number')
  if (value === undefined) return startTime(argument, form)
  if (argument !== null) return problem(operator, 'takes no argument: leave out the parentheses')
  return { ok: true, value: [opOf(value(facts), form)] }
}

function headOps(
  operator: LogOperator,
  form: number,
  lookUp: (name: string) => LogValue | undefined,
): Parsed<LogOp[]> {
  const names = (operator.argument ?? '').split('?').map((name) => name.toLowerCase())
  if (names.length > 2)
    return problem(operator, 'names more than one alternative field: write %REQ(FIELD?OTHER)%')
  const values: LogValue[] = []
  for (const name of names) {
    const value = isFieldName(name) ? lookUp(name) : undefined
    if (value === undefined)
      return problem(operator, `needs the name of a field; ${JSON.stringify(name)} is none`)
    if (value !== 'absent') values.push(value)
  }
  const limit = Math.min(operator.limit ?? MAX_LOGGED_VALUE, MAX_LOGGED_VALUE)
  const ops = values.map((value, i) => ({ ...opOf(value, form), limit, orElse: i < values.length - 1 }))
  return { ok: true, value: ops.length > 0 ? ops : [absentOp(form)] }
}

function startTime(argument: string | null, form: number): Parsed<LogOp[]> {
  const inJson = form !== 0
  const ops = startTimeOps(argument, inJson)
  if (!ops.ok || form !== FORM_JSON_VALUE) return ops
  return { ok: true, value: [textOp('"'), ...ops.value, textOp('"')] }
}

function opOf(value: LogValue, form: number): LogOp {
  if (value === 'absent') return absentOp(form)
  // Only where a figure is a whole JSON value may it be null or bring its own quotes.
  if (value.code === LOG_HOLE && form !== FORM_JSON_VALUE)
    return { ...value, form, number: value.number! & HOLE_KIND_MASK }
  return { ...value, form }
}

function request(code: number, number = 0): () => LogValue {
  return () => ({ code, phase: 'request', number })
}

function hole(kind: number, bits = HOLE_ABSENT_NULL): () => LogValue {
  return () => ({ code: LOG_HOLE, phase: 'response', number: kind | bits })
}

function absent(): LogValue {
  return 'absent'
}

const VALUES: Readonly<Record<string, (facts: LogFacts) => LogValue>> = {
  PROTOCOL: request(LOG_PROTOCOL),
  RESPONSE_CODE: () => ({ code: LOG_RESPONSE_CODE, phase: 'response' }),
  RESPONSE_CODE_DETAILS: () => ({ code: LOG_DETAILS, phase: 'response' }),
  RESPONSE_FLAGS: hole(HOLE_RESPONSE_FLAGS, HOLE_QUOTED),
  RESPONSE_FLAGS_LONG: hole(HOLE_RESPONSE_FLAGS_LONG, HOLE_QUOTED),
  BYTES_RECEIVED: hole(HOLE_BYTES_RECEIVED),
  BYTES_SENT: hole(HOLE_BYTES_SENT),
  DURATION: hole(HOLE_DURATION),
  REQUEST_DURATION: hole(HOLE_REQUEST_DURATION),
  RESPONSE_DURATION: hole(HOLE_RESPONSE_DURATION),
  RESPONSE_TX_DURATION: hole(HOLE_RESPONSE_TX_DURATION),
  UPSTREAM_HOST: () => ({ code: LOG_UPSTREAM_HOST, phase: 'response' }),
  UPSTREAM_REMOTE_ADDRESS: () => ({ code: LOG_UPSTREAM_HOST, phase: 'response' }),
  UPSTREAM_CLUSTER: cluster,
  UPSTREAM_CLUSTER_RAW: cluster,
  DOWNSTREAM_REMOTE_ADDRESS: request(LOG_REMOTE, ADDRESS_WITH_PORT),
  DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT: request(LOG_REMOTE, ADDRESS_WITHOUT_PORT),
  DOWNSTREAM_REMOTE_PORT: request(LOG_REMOTE, ADDRESS_PORT),
  DOWNSTREAM_DIRECT_REMOTE_ADDRESS: request(LOG_DIRECT_REMOTE, ADDRESS_WITH_PORT),
  DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT: request(LOG_DIRECT_REMOTE, ADDRESS_WITHOUT_PORT),
  DOWNSTREAM_DIRECT_REMOTE_PORT: request(LOG_DIRECT_REMOTE, ADDRESS_PORT),
  DOWNSTREAM_LOCAL_ADDRESS: request(LOG_LOCAL, ADDRESS_WITH_PORT),
  DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT: request(LOG_LOCAL, ADDRESS_WITHOUT_PORT),
  DOWNSTREAM_LOCAL_PORT: request(LOG_LOCAL, ADDRESS_PORT),
  DOWNSTREAM_PEER_URI_SAN: request(LOG_PEER_URI),
  DOWNSTREAM_LOCAL_URI_SAN: ({ principal }) =>
    principal === ''
      ? 'absent'
      : { code: LOG_LOCAL_URI, phase: 'request', text: Buffer.from(`spiffe://${principal}`) },
  // Where no VirtualService applies, a function has one route, which has Istio's name for such a one.
  ROUTE_NAME: () => ({ code: LOG_ROUTE_NAME, phase: 'request', text: Buffer.from('default') }),
  TRACE_ID: request(LOG_TRACE_ID),
  SPAN_ID: request(LOG_SPAN_ID),
  CONNECTION_TERMINATION_DETAILS: absent,
  DOWNSTREAM_TRANSPORT_FAILURE_REASON: absent,
  REQUESTED_SERVER_NAME: absent,
  UPSTREAM_LOCAL_ADDRESS: absent,
  UPSTREAM_TRANSPORT_FAILURE_REASON: absent,
}

function cluster(): LogValue {
  return { code: LOG_CLUSTER, phase: 'request', text: Buffer.from('.svc.cluster.local') }
}

const noMetadata =
  "is refused: Mayfly's sidecars keep no filter metadata or filter state; log a field with %REQ(NAME)%"
const noHost =
  'is refused: the line is formatted in a sandbox that knows nothing of its host; write the text into the format'
const noGrpc = 'is refused: gRPC is not available yet'
const REFUSED: Readonly<Record<string, string>> = {
  CEL: noMetadata,
  CLUSTER_METADATA: noMetadata,
  DYNAMIC_METADATA: noMetadata,
  FILTER_STATE: noMetadata,
  METADATA: noMetadata,
  UPSTREAM_FILTER_STATE: noMetadata,
  UPSTREAM_METADATA: noMetadata,
  ENVIRONMENT: noHost,
  HOSTNAME: noHost,
  GRPC_STATUS: noGrpc,
  GRPC_STATUS_NUMBER: noGrpc,
}

function unknown(name: string): string {
  const near = suggestion(name, [...Object.keys(VALUES), ...Object.keys(HEAD_VALUES), 'START_TIME'])
  return `is no command operator that Mayfly knows: ${near === '' ? '' : `did you mean %${near}%? If not, `}remove it`
}

function problem(operator: LogOperator, text: string): { ok: false; problem: string } {
  const argument = operator.argument === null ? '' : `(${operator.argument})`
  return { ok: false, problem: `operator %${operator.name}${argument}% ${text}` }
}
