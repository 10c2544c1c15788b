// From a sidecar's checked output to the engine's values: one function for each way in which a phase may end.

import {
  OUT_FLAG_SAMPLED,
  REASON_USER_POLICY,
  RESULT_BAD,
  RESULT_DENY,
  RESULT_FORWARD,
  RESULT_INCOMPLETE,
  RESULT_INTERIM,
  RESULT_NEEDS,
  RESULT_OPENED,
  RESULT_RETRY,
  RESULT_UNDELIVERED,
} from '../sidecar/layout/record.ts'
import type {
  Abandoned,
  DecisionRun,
  Denial,
  Opened,
  ResponseDecision,
  ResponseRun,
} from './sidecar-decision.ts'
import type { SidecarMemory } from './sidecar-memory.ts'
import {
  BadOutput,
  MOST_REQUEST_BODY,
  MOST_RESPONSE_BODY,
  readContext,
  readDenialText,
  readFieldLines,
  readFlags,
  readFraming,
  readHash,
  readHead,
  readHeadLength,
  readHeadOrNothing,
  readHost,
  readInstance,
  readLines,
  readLog,
  readNeeds,
  readPort,
  readReason,
  readReply,
  readRequestId,
  readResponseFlags,
  readRoute,
  readStatus,
  readTrace,
  readValues,
  readVerdicts,
} from './sidecar-output.ts'

export const INCOMPLETE: { kind: 'incomplete' } = { kind: 'incomplete' }
/** What is known of a request that was not opened. */
export const NOTHING: Abandoned = {
  context: Buffer.alloc(0),
  headLength: 0,
  flags: 0,
  body: 0,
  bodyLength: 0,
}

/** `result` is what the entry returned, `received` how many bytes the sidecar was given. */
export function readOpened(from: SidecarMemory, result: number, received: number): Opened {
  switch (result) {
    case RESULT_INCOMPLETE:
      return INCOMPLETE
    case RESULT_OPENED:
      return { kind: 'opened', host: readHost(from), port: readPort(from), instance: readInstance(from) }
    case RESULT_DENY:
      return { kind: 'denied', denial: readDenial(from, received) }
    default:
      throw new BadOutput(`open ended with ${result}`)
  }
}

export function readAbandoned(from: SidecarMemory, received: number): Abandoned {
  const { body, bodyLength } = readFraming(from, MOST_REQUEST_BODY)
  const headLength = readHeadLength(from, received)
  return { context: readContext(from), headLength, flags: readFlags(from), body, bodyLength }
}

export function readDecision(from: SidecarMemory, result: number, received: number): DecisionRun {
  if (result === RESULT_DENY) return { kind: 'denied', denial: readDenial(from, received) }
  if (result === RESULT_NEEDS) return { kind: 'needs', needs: readNeeds(from) }
  if (result !== RESULT_FORWARD) throw new BadOutput(`decide ended with ${result}`)
  const flags = readFlags(from)
  const { body, sendBody, bodyLength } = readFraming(from, MOST_REQUEST_BODY)
  return {
    kind: 'forward',
    head: readHead(from),
    headLength: readHeadLength(from, received),
    flags,
    body,
    sendBody,
    bodyLength,
    context: readContext(from),
    verdicts: readVerdicts(from),
    requestId: readRequestId(from),
    trace: (flags & OUT_FLAG_SAMPLED) !== 0 ? readTrace(from) : '',
    route: readRoute(from),
    hash: readHash(from),
  }
}

export function readResponseDecision(from: SidecarMemory, result: number, received: number): ResponseRun {
  switch (result) {
    case RESULT_INCOMPLETE:
      return INCOMPLETE
    case RESULT_BAD:
      return readBad(from)
    case RESULT_NEEDS:
      return { kind: 'needs', needs: readNeeds(from) }
    case RESULT_UNDELIVERED:
      return { kind: 'undelivered' }
    case RESULT_RETRY:
      return { kind: 'retried', status: readStatus(from, 200, 999) }
    case RESULT_INTERIM: {
      const headLength = readHeadLength(from, received)
      return { kind: 'interim', head: readHeadOrNothing(from), headLength, flags: readFlags(from) }
    }
    case RESULT_FORWARD:
      return readResponse(from, received)
    default:
      throw new BadOutput(`respond ended with ${result}`)
  }
}

function readBad(from: SidecarMemory): ResponseDecision {
  const reason = readReason(from)
  if (reason !== REASON_USER_POLICY) return { kind: 'bad', reason }
  const denial = {
    status: readStatus(from, 400, 599),
    text: readDenialText(from, reason),
    fields: readFieldLines(from),
  }
  return { kind: 'bad', reason, denial }
}

/** The lines to send, or the reason for which there are none. */
export function readTrailers(from: SidecarMemory, result: number): Buffer | number {
  if (result === RESULT_FORWARD) return readLines(from)
  if (result !== RESULT_BAD) throw new BadOutput(`trailers ended with ${result}`)
  return readReason(from)
}

function readDenial(from: SidecarMemory, received: number): Denial {
  const reason = readReason(from)
  const flags = readFlags(from)
  const { body, bodyLength } = readFraming(from, MOST_REQUEST_BODY)
  return {
    status: readStatus(from, 200, 599),
    reason,
    text: readDenialText(from, reason),
    fields: readFieldLines(from),
    responseFlags: readResponseFlags(from),
    route: readRoute(from),
    context: readContext(from),
    verdicts: readVerdicts(from),
    requestId: readRequestId(from),
    trace: (flags & OUT_FLAG_SAMPLED) !== 0 ? readTrace(from) : '',
    headLength: readHeadLength(from, received),
    flags,
    body,
    bodyLength,
  }
}

/** A final response: the head that an upstream's became, or (`received` is 0) a whole reply. */
function readResponse(from: SidecarMemory, received: number): ResponseDecision {
  const isReply = received === 0
  const headLength = readHeadLength(from, isReply ? from.size : received)
  const { body, sendBody, bodyLength } = readFraming(from, MOST_RESPONSE_BODY)
  return {
    kind: 'head',
    status: readStatus(from, 100, 999),
    head: isReply ? readReply(from, headLength) : readHead(from),
    headLength,
    flags: readFlags(from),
    body,
    sendBody,
    bodyLength,
    responseFlags: readResponseFlags(from),
    log: readLog(from),
    values: readValues(from),
  }
}
