import type { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto'
import type { Resource } from '@opentelemetry/resources'
import type { ReadableSpan } from '@opentelemetry/sdk-trace-base'
import type { SpanFacts } from '../dataplane/span-facts.ts'
import { type Span, SpanRecord } from './span.ts'

/** Spans are sent when so many wait, and otherwise this long after the first of them ended, in milliseconds. */
const BATCH = 512
const DELAY_MS = 1_000
/** An export that takes longer has failed. */
const EXPORT_MS = 10_000
/** How long a collector may keep an engine from ending. */
const CLOSE_MS = 2_000
/** Collectors that one engine sends to; spans for more are dropped. */
const MAX_COLLECTORS = 16

/** Sends spans to OpenTelemetry collectors (OTLP over HTTP, protobuf). What can't be sent or kept is dropped and counted. */
export class SpanExporter {
  readonly counters = { exported: 0, dropped: 0, failed: 0 }
  readonly #collectors = new Map<string, Collector>()

  record(facts: SpanFacts): void {
    let collector = this.#collectors.get(facts.collector)
    if (!collector) {
      if (this.#collectors.size >= MAX_COLLECTORS) {
        this.counters.dropped++
        return
      }
      collector = new Collector(facts.collector, this.counters)
      this.#collectors.set(facts.collector, collector)
    }
    collector.add(facts)
  }

  /** Sends what waits; resolves when that has been tried, or after CLOSE_MS. */
  async close(): Promise<void> {
    const flushed = Promise.all(Array.from(this.#collectors.values(), (collector) => collector.flush()))
    const { promise: late, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, CLOSE_MS)
    await Promise.race([flushed, late])
    clearTimeout(timer)
  }
}

class Collector {
  readonly #url: string
  readonly #counters: SpanExporter['counters']
  readonly #waiting = new SpanRecord(BATCH * 4)
  #exporter: Promise<Exporter> | null = null
  #timer: NodeJS.Timeout | null = null
  #sending: Promise<void> | null = null

  constructor(url: string, counters: SpanExporter['counters']) {
    this.#url = url
    this.#counters = counters
  }

  add(facts: SpanFacts): void {
    const dropped = this.#waiting.counters.dropped
    this.#waiting.add(facts)
    this.#counters.dropped += this.#waiting.counters.dropped - dropped
    if (this.#waiting.size >= BATCH) void this.#send()
    else this.#timer ??= setTimeout(() => void this.#send(), DELAY_MS).unref()
  }

  async flush(): Promise<void> {
    await this.#sending
    await this.#send()
  }

  /** One export at a time: a collector that is slow makes spans wait, and then be dropped, rather than pile up. */
  #send(): Promise<void> {
    this.#sending ??= this.#sendAll().finally(() => {
      this.#sending = null
      if (this.#waiting.size >= BATCH) void this.#send()
    })
    return this.#sending
  }

  async #sendAll(): Promise<void> {
    if (this.#timer) clearTimeout(this.#timer)
    this.#timer = null
    const spans = this.#waiting.take()
    if (spans.length === 0) return
    this.#exporter ??= openExporter(this.#url)
    const sent = await (await this.#exporter).send(spans)
    if (sent) this.#counters.exported += spans.length
    else this.#counters.failed += spans.length
  }
}

interface Exporter {
  send(spans: Span[]): Promise<boolean>
}

/** The library is loaded when spans are first to be sent: most meshes start without it. */
async function openExporter(url: string): Promise<Exporter> {
  const [{ OTLPTraceExporter }, { resourceFromAttributes }] = await Promise.all([
    import('@opentelemetry/exporter-trace-otlp-proto'),
    import('@opentelemetry/resources'),
  ])
  const exporter: OTLPTraceExporter = new OTLPTraceExporter({ url, timeoutMillis: EXPORT_MS })
  const resources = new Map<string, Resource>()
  const resourceOf = (service: string): Resource => {
    let resource = resources.get(service)
    if (!resource) {
      resource = resourceFromAttributes({ 'service.name': service })
      resources.set(service, resource)
    }
    return resource
  }
  return {
    send: (spans) =>
      new Promise((resolve) => {
        const readable = spans.map((span) => readableSpan(span, resourceOf(span.function)))
        exporter.export(readable, (result) => resolve(result.code === 0))
      }),
  }
}

function attributesOf(span: Span): Record<string, string | number> {
  const attributes: Record<string, string | number> = { 'http.response.status_code': span.status }
  if (span.method !== '') attributes['http.request.method'] = span.method
  if (span.path !== '') attributes['url.path'] = span.path
  if (span.requestId !== '') attributes['guid:x-request-id'] = span.requestId
  return attributes
}

/** OpenTelemetry's numbers: span kinds SERVER and CLIENT, status codes UNSET and ERROR, trace flag SAMPLED. */
const SERVER = 1
const CLIENT = 2
const UNSET = 0
const ERROR = 2
const SAMPLED = 1

function readableSpan(span: Span, resource: Resource): ReadableSpan {
  const { traceId, spanId, parentSpanId } = span
  return {
    name: span.method || 'request',
    kind: span.kind === 'client' ? CLIENT : SERVER,
    spanContext: () => ({ traceId, spanId, traceFlags: SAMPLED }),
    ...(parentSpanId !== null && {
      parentSpanContext: { traceId, spanId: parentSpanId, traceFlags: SAMPLED },
    }),
    startTime: clock(span.startMs),
    endTime: clock(span.endMs),
    duration: clock(span.endMs - span.startMs),
    ended: true,
    status: { code: span.status >= 500 ? ERROR : UNSET },
    attributes: attributesOf(span),
    events: [],
    links: [],
    resource,
    instrumentationScope: SCOPE,
    droppedAttributesCount: 0,
    droppedEventsCount: 0,
    droppedLinksCount: 0,
  }
}

const SCOPE = { name: 'mayfly' }

/** Milliseconds as seconds and nanoseconds. */
function clock(ms: number): [number, number] {
  const seconds = Math.floor(ms / 1000)
  return [seconds, Math.round((ms - seconds * 1000) * 1e6)]
}
