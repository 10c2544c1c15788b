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
  HOLE_UPSTREAM_TIME,
} from '../sidecar/layout/record.ts'
import { longResponseFlags, shortResponseFlags } from './response-flags.ts'
import type { LogLine } from './sidecar.ts'

/** What is known of an exchange when it has ended. Times are milliseconds; their fractions are cut off, as Envoy does. */
export interface ExchangeFigures {
  /** Bytes of the request's body. */
  bytesReceived: number
  /** Bytes of the response's body. */
  bytesSent: number
  /** From the head's arrival to the last byte sent. */
  durationMs: number
  /** From the head's arrival to the response's head; null where none came. */
  responseMs: number | null
  /** From the head's arrival to the request's last byte; null where that did not come. */
  requestMs: number | null
  /** From the request's last byte sent upstream to the response's head; left out where no upstream answered. */
  upstreamMs?: number
  /** RESPONSE_FLAG_* bits. */
  responseFlags: number
}

/** Where lines are put together, one after the other. */
let memory = Buffer.allocUnsafeSlow(4_096)

/** The line with its figures, without a newline; valid until the next one is filled. */
export function fillLogLine({ text, holes }: LogLine, figures: ExchangeFigures): Buffer {
  if (holes.length === 0) return text
  const filling: string[] = []
  let length = text.length
  for (let i = 1; i < holes.length; i += 2) {
    const figure = inForm(figureOf(holes[i]! & HOLE_KIND_MASK, figures), holes[i]!)
    filling.push(figure)
    length += figure.length
  }
  if (length > memory.length) memory = Buffer.allocUnsafeSlow(2 * length)
  const line = memory
  let from = 0
  let at = 0
  for (let i = 0; i < filling.length; i++) {
    const hole = holes[2 * i]!
    at = copyBytes(text, from, hole, line, at)
    from = hole
    const figure = filling[i]!
    for (let k = 0; k < figure.length; k++) line[at++] = figure.charCodeAt(k)
  }
  copyBytes(text, from, text.length, line, at)
  return line.subarray(0, length)
}

/** Buffer.copy is a call that a few bytes do not repay. */
function copyBytes(text: Buffer, from: number, to: number, line: Buffer, at: number): number {
  if (to - from > LONG) text.copy(line, at, from, to)
  else for (let k = from; k < to; k++) line[at + k - from] = text[k]!
  return at + to - from
}

const LONG = 48

function figureOf(kind: number, figures: ExchangeFigures): string | null {
  switch (kind) {
    case HOLE_BYTES_RECEIVED:
      return String(figures.bytesReceived)
    case HOLE_BYTES_SENT:
      return String(figures.bytesSent)
    case HOLE_DURATION:
      return wholeMs(figures.durationMs)
    case HOLE_RESPONSE_DURATION:
      return wholeMs(figures.responseMs)
    case HOLE_REQUEST_DURATION:
      return wholeMs(figures.requestMs)
    case HOLE_RESPONSE_TX_DURATION:
      return figures.responseMs === null ? null : wholeMs(figures.durationMs - figures.responseMs)
    case HOLE_UPSTREAM_TIME:
      return wholeMs(figures.upstreamMs ?? null)
    case HOLE_RESPONSE_FLAGS:
      return shortResponseFlags(figures.responseFlags)
    case HOLE_RESPONSE_FLAGS_LONG:
      return longResponseFlags(figures.responseFlags)
    default:
      return null
  }
}

function wholeMs(ms: number | null): string | null {
  return ms === null ? null : String(Math.max(0, Math.trunc(ms)))
}

function inForm(figure: string | null, kind: number): string {
  if (figure === null) return (kind & HOLE_ABSENT_NULL) !== 0 ? 'null' : '-'
  return (kind & HOLE_QUOTED) !== 0 ? `"${figure}"` : figure
}
