// Ended spans as OTLP's protobuf message ExportTraceServiceRequest (opentelemetry-proto, trace.proto, v1). Each span is encoded
// when it ends, into memory that stays: nothing of it is left for the garbage collector.

import type { SpanFacts } from '../dataplane/span-facts.ts'
import { DIRECTION_OUTBOUND } from '../sidecar/layout/record.ts'

const TRACE_DIGITS = 64
const MOST_METHOD = 32
/** A longer path is cut. */
const MOST_PATH = 256
const MOST_FUNCTION = 256
/** Above all that one span can take: ids, times, tags, and its texts. */
const MOST_SPAN_BYTES = 1_024
const FIRST_BYTES = 16_384

/** Spans of one collector, function by function, until `take`. */
export class SpanBatch {
  readonly #services = new Map<string, { bytes: Buffer; length: number }>()
  #size = 0

  get size(): number {
    return this.#size
  }

  /** Encodes it; a span without its ids is none. */
  add(facts: SpanFacts): void {
    if (facts.trace.length !== TRACE_DIGITS) return
    let service = this.#services.get(facts.function)
    if (!service) {
      service = { bytes: Buffer.allocUnsafeSlow(FIRST_BYTES), length: 0 }
      this.#services.set(facts.function, service)
    }
    if (service.length + MOST_SPAN_BYTES > service.bytes.length) {
      const larger = Buffer.allocUnsafeSlow(2 * service.bytes.length)
      service.bytes.copy(larger, 0, 0, service.length)
      service.bytes = larger
    }
    service.length = writeSpan(service.bytes, service.length, facts)
    this.#size++
  }

  /** The message with all spans; the batch is empty afterwards. */
  take(): Buffer {
    const parts: Buffer[] = []
    for (const [name, { bytes, length }] of this.#services) {
      if (length > 0) parts.push(resourceSpans(name, bytes.subarray(0, length)))
    }
    this.#services.clear()
    this.#size = 0
    return Buffer.concat(parts)
  }
}

// Field numbers and wire types, as the tag bytes that they make: (number << 3) | type.
const BYTES = 2
const tag = (field: number, type: number) => (field << 3) | type
const SPANS = tag(2, BYTES)
const TRACE_ID = tag(1, BYTES)
const SPAN_ID = tag(2, BYTES)
const PARENT_SPAN_ID = tag(4, BYTES)
const NAME = tag(5, BYTES)
const KIND = tag(6, 0)
const START = tag(7, 1)
const END = tag(8, 1)
const ATTRIBUTES = tag(9, BYTES)
const STATUS = tag(15, BYTES)
const STATUS_CODE = tag(3, 0)
const SPAN_KIND_SERVER = 2
const SPAN_KIND_CLIENT = 3
const STATUS_ERROR = 2
const KEY = tag(1, BYTES)
const VALUE = tag(2, BYTES)
const STRING_VALUE = tag(1, BYTES)
const INT_VALUE = tag(3, 0)

const SPACE = 0x20
const QUESTION_MARK = 0x3f
const NO_PARENT = '0'.repeat(16)

function writeSpan(out: Buffer, start: number, facts: SpanFacts): number {
  const { trace, head, status } = facts
  out[start] = SPANS
  let at = start + 3
  at = writeHex(out, at, TRACE_ID, trace, 16)
  at = writeHex(out, at, SPAN_ID, trace.slice(32, 48), 8)
  const parent = trace.slice(48)
  if (parent !== NO_PARENT) at = writeHex(out, at, PARENT_SPAN_ID, parent, 8)
  out[at++] = KIND
  out[at++] = facts.direction === DIRECTION_OUTBOUND ? SPAN_KIND_CLIENT : SPAN_KIND_SERVER
  at = writeTime(out, at, START, facts.startMs)
  at = writeTime(out, at, END, facts.startMs + facts.durationMs)
  // A head that a sidecar wrote begins "METHOD SP target SP", whatever the client sent.
  const methodEnd = head === null ? 0 : Math.min(head.indexOf(SPACE), MOST_METHOD)
  at = head === null ? writeText(out, at, NAME, 'request') : writeBytes(out, at, NAME, head, 0, methodEnd)
  if (head !== null) {
    const pathStart = head.indexOf(SPACE) + 1
    const targetEnd = head.indexOf(SPACE, pathStart)
    const query = head.indexOf(QUESTION_MARK, pathStart)
    const pathEnd = query >= 0 && query < targetEnd ? query : targetEnd
    at = writeAttribute(out, at, 'http.request.method', head, 0, methodEnd)
    at = writeAttribute(out, at, 'url.path', head, pathStart, Math.min(pathEnd, pathStart + MOST_PATH))
  }
  at = writeStatusAttribute(out, at, status)
  if (facts.requestId !== '') {
    const id = beginAttribute(out, at, 'guid:x-request-id')
    at = endAttribute(out, at, writeText(out, id + 3, STRING_VALUE, facts.requestId), id)
  }
  if (status >= 500) at = writeError(out, at)
  writeLength(out, start + 1, at - start - 3)
  return at
}

function writeStatusAttribute(out: Buffer, at: number, status: number): number {
  const value = beginAttribute(out, at, 'http.response.status_code')
  out[value + 3] = INT_VALUE
  writeLength(out, value + 4, status)
  return endAttribute(out, at, value + 6, value)
}

function writeAttribute(
  out: Buffer,
  at: number,
  key: string,
  from: Buffer,
  start: number,
  end: number,
): number {
  const value = beginAttribute(out, at, key)
  return endAttribute(out, at, writeBytes(out, value + 3, STRING_VALUE, from, start, end), value)
}

/** Begins a KeyValue; gives where its value's tag is, whose content begins 3 bytes later. */
function beginAttribute(out: Buffer, at: number, key: string): number {
  out[at] = ATTRIBUTES
  const value = writeText(out, at + 3, KEY, key)
  out[value] = VALUE
  return value
}

function endAttribute(out: Buffer, at: number, end: number, value: number): number {
  writeLength(out, value + 1, end - value - 3)
  writeLength(out, at + 1, end - at - 3)
  return end
}

function writeError(out: Buffer, at: number): number {
  out[at] = STATUS
  out[at + 1] = 2
  out[at + 2] = STATUS_CODE
  out[at + 3] = STATUS_ERROR
  return at + 4
}

function writeHex(out: Buffer, at: number, field: number, digits: string, length: number): number {
  out[at] = field
  out[at + 1] = length
  out.write(digits, at + 2, length, 'hex')
  return at + 2 + length
}

function writeText(out: Buffer, at: number, field: number, text: string): number {
  out[at] = field
  const length = out.write(text, at + 3, 'latin1')
  writeLength(out, at + 1, length)
  return at + 3 + length
}

function writeBytes(
  out: Buffer,
  at: number,
  field: number,
  from: Buffer,
  start: number,
  end: number,
): number {
  out[at] = field
  const length = from.copy(out, at + 3, start, end)
  writeLength(out, at + 1, length)
  return at + 3 + length
}

/** fixed64 nanoseconds; as a double they are exact to 256 ns. */
function writeTime(out: Buffer, at: number, field: number, ms: number): number {
  const nanoseconds = ms * 1e6
  const high = Math.floor(nanoseconds / 4_294_967_296)
  out[at] = field
  out.writeUInt32LE(nanoseconds - high * 4_294_967_296, at + 1)
  out.writeUInt32LE(high, at + 5)
  return at + 9
}

/** A varint below 2^14 in exactly two bytes, so that it can be filled in when what it counts has been written. */
function writeLength(out: Buffer, at: number, length: number): void {
  out[at] = (length & 0x7f) | 0x80
  out[at + 1] = length >> 7
}

/** ResourceSpans (field 1 of the request): the service's name, then one ScopeSpans with all its spans. */
function resourceSpans(service: string, spans: Buffer): Buffer {
  const name = Buffer.from(service.slice(0, MOST_FUNCTION))
  const attribute = field(1, Buffer.concat([field(1, Buffer.from('service.name')), field(2, field(1, name))]))
  const scope = field(1, field(1, Buffer.from('mayfly')))
  const scopeSpans = field(2, Buffer.concat([scope, spans]))
  return field(1, Buffer.concat([field(1, attribute), scopeSpans]))
}

function field(number: number, content: Buffer): Buffer {
  const head = [tag(number, BYTES)]
  let length = content.length
  for (; length > 0x7f; length = Math.floor(length / 128)) head.push((length & 0x7f) | 0x80)
  head.push(length)
  return Buffer.concat([Buffer.from(head), content])
}
