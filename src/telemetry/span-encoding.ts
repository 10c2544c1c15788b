// One span with the attributes that Envoy's have in Istio, and OpenTelemetry's own names for the most asked ones.

import { shortResponseFlags } from '../dataplane/response-flags.ts'
import type { SpanFacts } from '../dataplane/span-facts.ts'
import { DIRECTION_OUTBOUND } from '../sidecar/layout/record.ts'
import {
  attributeKey,
  tag,
  writeBytes,
  writeBytesAttribute,
  writeHex,
  writeLongLength,
  writePartsAttribute,
  writeSmallAttribute,
  writeText,
  writeTextAttribute,
  writeTime,
} from './otlp-writer.ts'
import { mostTagBytes, writeTags } from './span-tags.ts'

/** Trace id, span id and parent's span id (SpanFacts.trace). */
export const TRACE_DIGITS = 64
const MOST_METHOD = 32
const MOST_CLUSTER = 400
const MOST_HOST = 270
const MOST_READY = 512
const MOST_READY_BYTES = 1_024
/** Above all that a span takes without its paths, its cluster and its tags: ids, times, names, figures. */
const MOST_FIXED_BYTES = 1_024

const BYTES = 2
const SPANS = tag(2, BYTES)
const TRACE_ID = tag(1, BYTES)
const SPAN_ID = tag(2, BYTES)
const PARENT_SPAN_ID = tag(4, BYTES)
const NAME = tag(5, BYTES)
const KIND = tag(6, 0)
const START = tag(7, 1)
const END = tag(8, 1)
const STATUS = tag(15, BYTES)
const STATUS_CODE = tag(3, 0)
const SPAN_KIND_SERVER = 2
const SPAN_KIND_CLIENT = 3
const STATUS_ERROR = 2
const NO_PARENT = '0'.repeat(16)

const COMPONENT = attributeKey('component')
const METHOD = attributeKey('http.request.method')
const ENVOY_METHOD = attributeKey('http.method')
const PATH = attributeKey('url.path')
const ENVOY_URL = attributeKey('http.url')
const PROTOCOL = attributeKey('http.protocol')
const STATUS_NUMBER = attributeKey('http.response.status_code')
const ENVOY_STATUS = attributeKey('http.status_code')
const REQUEST_ID = attributeKey('guid:x-request-id')
const REQUEST_SIZE = attributeKey('request_size')
const RESPONSE_SIZE = attributeKey('response_size')
const RESPONSE_FLAGS = attributeKey('response_flags')
const CLUSTER = attributeKey('upstream_cluster')
const CLUSTER_NAME = attributeKey('upstream_cluster.name')
const ERROR = attributeKey('error')

const SPACE = 0x20
const LINE_FEED = 0x0a
const CARRIAGE_RETURN = 0x0d
const COLON = 0x3a
const TAB = 0x09
const LOWER = 0x20202020
const HOST_WORD = 0x74736f68
const HOST_NAME = 5
const QUESTION_MARK = 0x3f

/** Above what `writeSpan` writes for it, in bytes. */
export function mostSpanBytes(facts: SpanFacts): number {
  return MOST_FIXED_BYTES + MOST_HOST + 2 * facts.maxPath + 2 * MOST_CLUSTER + mostTagBytes(facts)
}

/** Writes the span as a field of ScopeSpans; gives the position after it. */
export function writeSpan(out: Buffer, start: number, facts: SpanFacts): number {
  const { trace, head, status } = facts
  out[start] = SPANS
  let at = start + 4
  at = writeHex(out, at, TRACE_ID, trace, 16)
  at = writeHex(out, at, SPAN_ID, trace.slice(32, 48), 8)
  const parent = trace.slice(48)
  if (parent !== NO_PARENT) at = writeHex(out, at, PARENT_SPAN_ID, parent, 8)
  out[at++] = KIND
  out[at++] = facts.direction === DIRECTION_OUTBOUND ? SPAN_KIND_CLIENT : SPAN_KIND_SERVER
  at = writeTime(out, at, START, facts.startMs)
  at = writeTime(out, at, END, facts.startMs + facts.durationMs)
  at = head === null ? writeText(out, at, NAME, 'request') : writeHead(out, at, head, facts.maxPath)
  at = writeReady(out, at, STATUSES.of(status))
  at = writeReady(out, at, FLAGS.of(facts.responseFlags))
  if (facts.cluster !== '') at = writeReady(out, at, CLUSTERS.of(facts.cluster))
  at = writeTextAttribute(out, at, REQUEST_SIZE, String(facts.bytesReceived))
  at = writeTextAttribute(out, at, RESPONSE_SIZE, String(facts.bytesSent))
  if (facts.requestId !== '') at = writeTextAttribute(out, at, REQUEST_ID, facts.requestId)
  at = writeTags(out, at, facts)
  if (status >= 500) at = writeReady(out, at, FAILED)
  writeLongLength(out, start + 1, at - start - 4)
  return at
}

/** The name, and what the first line says: a head that a sidecar wrote begins "METHOD SP target SP", whatever the client sent. */
function writeHead(out: Buffer, start: number, head: Buffer, maxPath: number): number {
  const methodEnd = Math.min(head.indexOf(SPACE), MOST_METHOD)
  const pathStart = head.indexOf(SPACE) + 1
  const targetEnd = head.indexOf(SPACE, pathStart)
  const query = head.indexOf(QUESTION_MARK, pathStart)
  const pathEnd = query >= 0 && query < targetEnd ? query : targetEnd
  let at = writeBytes(out, start, NAME, head, 0, methodEnd)
  at = writeBytesAttribute(out, at, METHOD, head, 0, methodEnd)
  at = writeBytesAttribute(out, at, ENVOY_METHOD, head, 0, methodEnd)
  at = writeBytesAttribute(out, at, PATH, head, pathStart, Math.min(pathEnd, pathStart + maxPath))
  at = writeUrl(out, at, head, pathStart, Math.min(pathEnd, pathStart + maxPath), targetEnd)
  return writeTextAttribute(out, at, PROTOCOL, 'HTTP/1.1')
}

/** Envoy's `http.url`, but without the query, in which clients put secrets. */
function writeUrl(
  out: Buffer,
  at: number,
  head: Buffer,
  pathStart: number,
  pathEnd: number,
  from: number,
): number {
  const { start, end } = hostIn(head, from)
  return writePartsAttribute(
    out,
    at,
    ENVOY_URL,
    SCHEME,
    head,
    start,
    Math.min(end, start + MOST_HOST),
    pathStart,
    pathEnd,
  )
}

const SCHEME = Buffer.from('http://')
const HOST_LINE = /\r\nhost:[ \t]*/i
const NOWHERE = { start: 0, end: 0 }

/** Where the value of the head's Host field lies, which is nearly always its first one; `from` is in the first line. */
function hostIn(head: Buffer, from: number): { start: number; end: number } {
  const line = head.indexOf(LINE_FEED, from) + 1
  if (line + HOST_NAME >= head.length) return NOWHERE
  let start = line + HOST_NAME
  // "host: " in little-endian words, in any case.
  if ((head.readUInt32LE(line) | LOWER) !== HOST_WORD || head[line + 4] !== COLON) {
    const found = HOST_LINE.exec(head.toString('latin1', from))
    if (found === null) return NOWHERE
    start = from + found.index + found[0].length
  }
  while (head[start] === SPACE || head[start] === TAB) start++
  let end = head.indexOf(CARRIAGE_RETURN, start)
  while (end > start && (head[end - 1] === SPACE || head[end - 1] === TAB)) end--
  return { start, end }
}

function writeReady(out: Buffer, at: number, ready: Buffer): number {
  out.set(ready, at)
  return at + ready.length
}

/** Attributes that depend on one value, of which there are few: each is encoded once. */
class ReadyAttributes<Key> {
  readonly #known = new Map<Key, Buffer>()
  readonly #encode: (out: Buffer, key: Key) => number

  constructor(encode: (out: Buffer, key: Key) => number) {
    this.#encode = encode
  }

  of(key: Key): Buffer {
    let ready = this.#known.get(key)
    if (ready === undefined) {
      if (this.#known.size === MOST_READY) this.#known.clear()
      ready = encoded((out) => this.#encode(out, key))
      this.#known.set(key, ready)
    }
    return ready
  }
}

const STATUSES = new ReadyAttributes<number>((out, status) => {
  const at = writeTextAttribute(out, 0, COMPONENT, 'proxy')
  return writeTextAttribute(
    out,
    writeSmallAttribute(out, at, STATUS_NUMBER, status),
    ENVOY_STATUS,
    String(status),
  )
})
const FLAGS = new ReadyAttributes<number>((out, flags) =>
  writeTextAttribute(out, 0, RESPONSE_FLAGS, shortResponseFlags(flags)),
)
const CLUSTERS = new ReadyAttributes<string>((out, name) => {
  const cluster = name.slice(0, MOST_CLUSTER)
  return writeTextAttribute(out, writeTextAttribute(out, 0, CLUSTER, cluster), CLUSTER_NAME, cluster)
})

/** Envoy's attribute, and OTLP's status of the span. */
const FAILED = encoded((out) => {
  const at = writeTextAttribute(out, 0, ERROR, 'true')
  out.set([STATUS, 2, STATUS_CODE, STATUS_ERROR], at)
  return at + 4
})

function encoded(encode: (out: Buffer) => number): Buffer {
  const out = Buffer.alloc(MOST_READY_BYTES)
  return Buffer.from(out.subarray(0, encode(out)))
}
