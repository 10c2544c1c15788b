import type { SpanFacts } from '../dataplane/span-facts.ts'
import { DIRECTION_OUTBOUND } from '../sidecar/layout/record.ts'

/** One sidecar's part in a trace, as OpenTelemetry has it. Times are milliseconds since the epoch, with fractions. */
export interface Span {
  /** 32 lower-case hexadecimal digits. */
  traceId: string
  /** 16 lower-case hexadecimal digits. */
  spanId: string
  /** null: the first span of its trace. */
  parentSpanId: string | null
  /** A caller's outbound sidecar makes a client's span, a callee's inbound one and the gateway's a server's. */
  kind: 'client' | 'server'
  /** The function on whose behalf the sidecar ran, "namespace/name". */
  function: string
  /** As forwarded, the path without query and cut at MOST_PATH bytes; "" where the request was refused. */
  method: string
  path: string
  requestId: string
  startMs: number
  endMs: number
  status: number
}

const TRACE_DIGITS = 64
const REQUEST_ID_BYTES = 36
const MOST_METHOD = 32
const MOST_PATH = 256
const SLOT_BYTES = TRACE_DIGITS + REQUEST_ID_BYTES + MOST_METHOD + MOST_PATH
const SPACE = 0x20
const QUESTION_MARK = 0x3f

/**
 * Ended spans until somebody takes them away; what comes when it is full is dropped and counted. They are copied into
 * memory that was allocated once: as objects they would outlive the young generation, at several times the cost of all else.
 */
export class SpanRecord {
  readonly counters = { recorded: 0, dropped: 0 }
  readonly #capacity: number
  readonly #bytes: Buffer
  readonly #times: Float64Array
  readonly #statuses: Uint16Array
  readonly #directions: Uint8Array
  readonly #lengths: Uint16Array
  readonly #functions: string[]
  #size = 0

  constructor(capacity = 2048) {
    this.#capacity = capacity
    this.#bytes = Buffer.alloc(capacity * SLOT_BYTES)
    this.#times = new Float64Array(2 * capacity)
    this.#statuses = new Uint16Array(capacity)
    this.#directions = new Uint8Array(capacity)
    this.#lengths = new Uint16Array(3 * capacity)
    this.#functions = new Array(capacity).fill('')
  }

  get size(): number {
    return this.#size
  }

  /** Copies it; a span without its ids is none. */
  add(facts: SpanFacts): void {
    if (facts.trace.length !== TRACE_DIGITS) return
    if (this.#size === this.#capacity) {
      this.counters.dropped++
      return
    }
    this.counters.recorded++
    const slot = this.#size++
    let at = slot * SLOT_BYTES
    at += this.#bytes.write(facts.trace, at, 'latin1')
    this.#lengths[3 * slot] = this.#bytes.write(facts.requestId, at, REQUEST_ID_BYTES, 'latin1')
    at += REQUEST_ID_BYTES
    this.#copyRequestLine(facts.head, slot, at)
    this.#functions[slot] = facts.function
    this.#directions[slot] = facts.direction
    this.#statuses[slot] = facts.status
    this.#times[2 * slot] = facts.startMs
    this.#times[2 * slot + 1] = facts.startMs + facts.durationMs
  }

  /** Takes all spans out, in the order in which they ended. */
  take(): Span[] {
    const spans = Array.from({ length: this.#size }, (_, slot) => this.#span(slot))
    this.#size = 0
    return spans
  }

  #copyRequestLine(head: Buffer | null, slot: number, at: number): void {
    const methodEnd = head === null ? -1 : head.indexOf(SPACE)
    const targetEnd = head === null ? -1 : head.indexOf(SPACE, methodEnd + 1)
    if (head === null || methodEnd < 0 || targetEnd < 0) {
      this.#lengths[3 * slot + 1] = 0
      this.#lengths[3 * slot + 2] = 0
      return
    }
    const query = head.indexOf(QUESTION_MARK, methodEnd + 1)
    const pathEnd = query >= 0 && query < targetEnd ? query : targetEnd
    const methodLength = Math.min(methodEnd, MOST_METHOD)
    const pathLength = Math.min(pathEnd - methodEnd - 1, MOST_PATH)
    head.copy(this.#bytes, at, 0, methodLength)
    head.copy(this.#bytes, at + MOST_METHOD, methodEnd + 1, methodEnd + 1 + pathLength)
    this.#lengths[3 * slot + 1] = methodLength
    this.#lengths[3 * slot + 2] = pathLength
  }

  #span(slot: number): Span {
    const at = slot * SLOT_BYTES
    const text = (from: number, length: number) => this.#bytes.toString('latin1', from, from + length)
    const parent = text(at + 48, 16)
    const requestIdAt = at + TRACE_DIGITS
    const methodAt = requestIdAt + REQUEST_ID_BYTES
    return {
      traceId: text(at, 32),
      spanId: text(at + 32, 16),
      parentSpanId: parent === NO_PARENT ? null : parent,
      kind: this.#directions[slot] === DIRECTION_OUTBOUND ? 'client' : 'server',
      function: this.#functions[slot]!,
      method: text(methodAt, this.#lengths[3 * slot + 1]!),
      path: text(methodAt + MOST_METHOD, this.#lengths[3 * slot + 2]!),
      requestId: text(requestIdAt, this.#lengths[3 * slot]!),
      startMs: this.#times[2 * slot]!,
      endMs: this.#times[2 * slot + 1]!,
      status: this.#statuses[slot]!,
    }
  }
}

const NO_PARENT = '0'.repeat(16)
