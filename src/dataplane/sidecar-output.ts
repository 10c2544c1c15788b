// Reading what a sidecar leaves in its memory. All of it is hostile: the sidecar has read bytes that anyone may have sent,
// and might be broken. An address, a length, a count or a flag is checked before it is used.

import type { CelValue } from '../policy/evaluate-cel.ts'
import {
  MAX_VALUES,
  VALUE_ERROR,
  VALUE_INTEGER,
  VALUE_TEXT,
  VALUE_TRUTH,
} from '../sidecar/layout/observation.ts'
import { REASONS } from '../sidecar/layout/reasons.ts'
import {
  BODY_CHUNKED,
  BODY_CLOSE,
  BODY_LENGTH,
  BODY_NONE,
  HOLE_ABSENT_NULL,
  HOLE_KINDS,
  HOLE_QUOTED,
  HOLE_SIZE,
  LOG_HOLES,
  MAX_HOLES,
  MAX_NEEDS,
  MAX_VERDICTS,
  NEED_SIZE,
  NEEDS,
  OUT_BODY,
  OUT_BODY_LENGTH,
  OUT_CONTEXT_PTR,
  OUT_FIELDS_PTR,
  OUT_FLAGS,
  OUT_HASH,
  OUT_HEAD_LEN,
  OUT_HOST_PTR,
  OUT_INSTANCE_PTR,
  OUT_LOG_HOLES,
  OUT_LOG_PTR,
  OUT_NEEDS,
  OUT_PORT,
  OUT_REASON,
  OUT_REQUEST_ID_PTR,
  OUT_RESPONSE_FLAGS,
  OUT_ROUTE_PTR,
  OUT_SEND_BODY,
  OUT_SEND_PTR,
  OUT_STATUS,
  OUT_TEXT_PTR,
  OUT_TRACE_PTR,
  OUT_VALUES_PTR,
  OUT_VERDICTS,
  OUTPUT,
  VERDICT_SIZE,
  VERDICTS,
} from '../sidecar/layout/record.ts'
import type { LogLine, Need } from './sidecar-decision.ts'
import type { SidecarMemory } from './sidecar-memory.ts'

/** What is wrong with an output; thrown by the readers here and caught by Sidecars, which makes it a value. */
export class BadOutput extends Error {}

const EMPTY = Buffer.alloc(0)
const HEAD_END = Buffer.from('\r\n\r\n')
/** All OUT_FLAG_* bits. */
const KNOWN_FLAGS = 63
/** As large as a check service's body may be (external-authorizer.ts). */
const MAX_TEXT = 32_768
const MAX_HOST = 255
const MAX_INSTANCE = 512
const MAX_FIELD_LINES = 16_384
const MAX_ROUTE = 4_096
/** Field lines: printable or blank, each line ended, none empty. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it refuses
const FIELD_LINES = /^(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+: ?[^\x00-\x08\x0a-\x1f\x7f]*\r\n)*$/
const INSTANCE = /^[a-z0-9.;-]*$/
const REQUEST_ID = /^[0-9a-fA-F-]{36}$/
const TRACE = /^[0-9a-f]{64}$/

export interface Framing {
  body: number
  sendBody: number
  bodyLength: number
}

function word(from: SidecarMemory, offset: number): number {
  return from.words[(OUTPUT + offset) >> 2]!
}

/** A number of at most `most`. */
function readUpTo(from: SidecarMemory, offset: number, most: number, what: string): number {
  const value = word(from, offset)
  if (value > most) throw new BadOutput(`${what} is ${value}: expected at most ${most}`)
  return value
}

/** A copy of the bytes that a pointer and the length behind it name. */
function readBytes(from: SidecarMemory, offset: number, most: number, what: string): Buffer {
  const start = word(from, offset)
  const length = word(from, offset + 4)
  if (length === 0) return EMPTY
  if (length > most || start > from.size || length > from.size - start) {
    throw new BadOutput(`${what} of ${length} bytes at ${start} lies outside the memory or is too long`)
  }
  const bytes = Buffer.allocUnsafe(length)
  from.memory.copy(bytes, 0, start, start + length)
  return bytes
}

function readText(from: SidecarMemory, offset: number, most: number, what: string): string {
  const start = word(from, offset)
  const length = word(from, offset + 4)
  if (length === 0) return ''
  if (length > most || start > from.size || length > from.size - start) {
    throw new BadOutput(`${what} of ${length} bytes at ${start} lies outside the memory or is too long`)
  }
  return from.memory.toString('latin1', start, start + length)
}

export function readHost(from: SidecarMemory): string {
  return readText(from, OUT_HOST_PTR, MAX_HOST, 'the host')
}

export function readContext(from: SidecarMemory): Buffer {
  return readBytes(from, OUT_CONTEXT_PTR, from.size, 'the context')
}

export function readFlags(from: SidecarMemory): number {
  const flags = word(from, OUT_FLAGS)
  if ((flags & ~KNOWN_FLAGS) !== 0) throw new BadOutput(`the flags are ${flags}`)
  return flags
}

/** One whole head: what is behind its empty line would be another message. */
export function readHead(from: SidecarMemory): Buffer {
  const head = readBytes(from, OUT_SEND_PTR, from.size, 'the head')
  if (head.length < HEAD_END.length || head.indexOf(HEAD_END) !== head.length - HEAD_END.length) {
    throw new BadOutput('the head does not end in its only empty line')
  }
  return head
}

/** A head, or nothing. */
export function readHeadOrNothing(from: SidecarMemory): Buffer {
  return word(from, OUT_SEND_PTR + 4) === 0 ? EMPTY : readHead(from)
}

/** A head and a body behind it; `headLength` is the head's. */
export function readReply(from: SidecarMemory, headLength: number): Buffer {
  const reply = readBytes(from, OUT_SEND_PTR, from.size, 'the reply')
  if (reply.indexOf(HEAD_END) !== headLength - HEAD_END.length) {
    throw new BadOutput(`the reply's head is not ${headLength} bytes long`)
  }
  return reply
}

/** Lines and the empty line behind them. */
export function readLines(from: SidecarMemory): Buffer {
  const lines = readBytes(from, OUT_SEND_PTR, from.size, 'the trailer section')
  const isEmpty = lines.length === 2 && lines[0] === 0x0d && lines[1] === 0x0a
  if (!isEmpty && (lines.length < 4 || lines.indexOf(HEAD_END) !== lines.length - HEAD_END.length)) {
    throw new BadOutput('the trailer section does not end in its only empty line')
  }
  return lines
}

/** Framing in which a length is there exactly where it is said to be. */
export function readFraming(from: SidecarMemory, most: number): Framing {
  const body = readUpTo(from, OUT_BODY, most, 'the body')
  const sendBody = readUpTo(from, OUT_SEND_BODY, most, 'the body to send')
  const high = word(from, OUT_BODY_LENGTH + 4)
  if (high > 0x1f_ffff) throw new BadOutput('the body length is above 2^53 - 1')
  const bodyLength = high * 0x1_0000_0000 + word(from, OUT_BODY_LENGTH)
  if (bodyLength > 0 !== (body === BODY_LENGTH)) {
    throw new BadOutput(`a body framed by ${body} is said to be ${bodyLength} bytes long`)
  }
  if (
    (body === BODY_NONE) !== (sendBody === BODY_NONE) ||
    (body === BODY_LENGTH) !== (sendBody === BODY_LENGTH)
  ) {
    throw new BadOutput(`a body framed by ${body} would be sent framed by ${sendBody}`)
  }
  return { body, sendBody, bodyLength }
}

/** Framings that a request may have, and those of a response. */
export const MOST_REQUEST_BODY = BODY_CHUNKED
export const MOST_RESPONSE_BODY = BODY_CLOSE

export function readVerdicts(from: SidecarMemory): Buffer {
  const count = readUpTo(from, OUT_VERDICTS, MAX_VERDICTS, 'the number of verdicts')
  if (count === 0) return EMPTY
  const verdicts = Buffer.allocUnsafe(count * VERDICT_SIZE)
  from.memory.copy(verdicts, 0, VERDICTS, VERDICTS + verdicts.length)
  return verdicts
}

export function readRequestId(from: SidecarMemory): string {
  const id = readText(from, OUT_REQUEST_ID_PTR, 36, 'the request id')
  if (id !== '' && !REQUEST_ID.test(id)) throw new BadOutput('the request id is no UUID')
  return id
}

/** Trace id, span id and parent's span id of a sampled request, 64 hexadecimal digits. */
export function readTrace(from: SidecarMemory): string {
  const start = word(from, OUT_TRACE_PTR)
  if (start > from.size - 64) throw new BadOutput('the trace ids lie outside the memory')
  const ids = from.memory.toString('latin1', start, start + 64)
  if (!TRACE.test(ids)) throw new BadOutput('the trace ids are not hexadecimal')
  return ids
}

/** A denial's extra field lines. */
export function readFieldLines(from: SidecarMemory): string {
  const lines = readText(from, OUT_FIELDS_PTR, MAX_FIELD_LINES, 'the extra fields')
  if (lines !== '' && !FIELD_LINES.test(lines)) throw new BadOutput('the extra fields are not whole lines')
  return lines
}

export function readResponseFlags(from: SidecarMemory): number {
  return readUpTo(from, OUT_RESPONSE_FLAGS, 0x1ffff, 'the response flags')
}

export function readRoute(from: SidecarMemory): Buffer {
  return readBytes(from, OUT_ROUTE_PTR, MAX_ROUTE, 'the route')
}

/** By what a request's instance is found; any u32 will do. */
export function readHash(from: SidecarMemory): number {
  return word(from, OUT_HASH)
}

export function readInstance(from: SidecarMemory): string {
  const instance = readText(from, OUT_INSTANCE_PTR, MAX_INSTANCE, 'the instance')
  if (!INSTANCE.test(instance)) throw new BadOutput('the instance is no name')
  return instance
}

/** What the phase asks; at least one thing. */
export function readNeeds(from: SidecarMemory): Need[] {
  const count = readUpTo(from, OUT_NEEDS, MAX_NEEDS, 'the number of needs')
  if (count === 0) throw new BadOutput('it needs something and does not say what')
  const needs: Need[] = []
  for (let i = 0; i < count; i++) {
    const entry = NEEDS + i * NEED_SIZE
    const key = readBytes(from, entry + 4 - OUTPUT, from.size, 'a need')
    needs.push({ kind: from.words[entry >> 2]!, key })
  }
  return needs
}

export function readReason(from: SidecarMemory): number {
  return readUpTo(from, OUT_REASON, REASONS.length - 1, 'the reason')
}

export function readStatus(from: SidecarMemory, least: number, most: number): number {
  const status = word(from, OUT_STATUS)
  if (status < least || status > most) throw new BadOutput(`the status is ${status}`)
  return status
}

/** The length of the received head; at most what the sidecar was given. */
export function readHeadLength(from: SidecarMemory, received: number): number {
  return readUpTo(from, OUT_HEAD_LEN, received, "the head's length")
}

export function readPort(from: SidecarMemory): number {
  return readUpTo(from, OUT_PORT, 65_535, 'the port')
}

export function readDenialText(from: SidecarMemory, reason: number): string {
  if (word(from, OUT_TEXT_PTR) === 0) return REASONS[reason]!.text
  return readBytes(from, OUT_TEXT_PTR, MAX_TEXT, "the denial's text").toString('utf8')
}

/** The values that an observation gives; null where there are none. */
export function readValues(from: SidecarMemory): CelValue[] | null {
  const bytes = readBytes(from, OUT_VALUES_PTR, from.size, 'the values')
  if (bytes.length === 0) return null
  const values: CelValue[] = []
  let at = 0
  while (at < bytes.length) {
    const size = sizeOfValue(bytes, at)
    if (size === 0 || size > bytes.length - at || values.length === MAX_VALUES)
      throw new BadOutput(`value ${values.length} is none`)
    values.push(valueAt(bytes, at, size))
    at += size
  }
  return values
}

function sizeOfValue(bytes: Buffer, at: number): number {
  switch (bytes[at]) {
    case VALUE_ERROR:
      return 1
    case VALUE_TRUTH:
      return 2
    case VALUE_INTEGER:
      return 9
    case VALUE_TEXT:
      return at + 3 > bytes.length ? 0 : 3 + bytes.readUInt16LE(at + 1)
    default:
      return 0
  }
}

function valueAt(bytes: Buffer, at: number, size: number): CelValue {
  switch (bytes[at]) {
    case VALUE_TRUTH:
      return bytes[at + 1] !== 0
    case VALUE_INTEGER:
      return bytes.readInt32LE(at + 5) * 0x1_0000_0000 + bytes.readUInt32LE(at + 1)
    case VALUE_TEXT:
      return bytes.toString('latin1', at + 3, at + size)
    default:
      return null
  }
}

export function readLog(from: SidecarMemory): LogLine | null {
  const text = readBytes(from, OUT_LOG_PTR, from.size, 'the log line')
  if (text.length === 0) return null
  const count = readUpTo(from, OUT_LOG_HOLES, MAX_HOLES, 'the number of log holes')
  const holes = from.words.slice(LOG_HOLES >> 2, (LOG_HOLES + count * HOLE_SIZE) >> 2)
  let last = 0
  for (let i = 0; i < holes.length; i += 2) {
    const offset = holes[i]!
    const kind = holes[i + 1]!
    const known = (kind & ~(HOLE_ABSENT_NULL | HOLE_QUOTED)) >>> 0
    if (offset < last || offset > text.length || known >= HOLE_KINDS) {
      throw new BadOutput(`log hole ${i / 2} is of kind ${kind} at ${offset}`)
    }
    last = offset
  }
  return { text, holes }
}
