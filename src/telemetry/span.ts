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
  /** The function on whose behalf the sidecar ran, "namespace/name"; "" where the request named none. */
  function: string
  name: string
  startMs: number
  endMs: number
  status: number
  attributes: Readonly<Record<string, string | number>>
}

/** The ids of a sidecar's span from the 64 digits that it leaves (OUT_TRACE_PTR); null where they are none. */
export function spanIds(trace: string): Pick<Span, 'traceId' | 'spanId' | 'parentSpanId'> | null {
  if (!/^[0-9a-f]{64}$/.test(trace)) return null
  const parent = trace.slice(48)
  return {
    traceId: trace.slice(0, 32),
    spanId: trace.slice(32, 48),
    parentSpanId: parent === NO_PARENT ? null : parent,
  }
}

/** Ended spans until somebody takes them away; what comes when it is full is dropped and counted. */
export class SpanRecord {
  readonly counters = { recorded: 0, dropped: 0 }
  readonly #capacity: number
  #spans: Span[] = []

  constructor(capacity = 2048) {
    this.#capacity = capacity
  }

  get size(): number {
    return this.#spans.length
  }

  add(span: Span): void {
    if (this.#spans.length >= this.#capacity) {
      this.counters.dropped++
      return
    }
    this.counters.recorded++
    this.#spans.push(span)
  }

  /** Takes all spans out, in the order in which they ended. */
  take(): Span[] {
    const taken = this.#spans
    this.#spans = []
    return taken
  }
}

const NO_PARENT = '0'.repeat(16)
