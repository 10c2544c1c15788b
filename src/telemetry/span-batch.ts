// Ended spans as OTLP's protobuf message ExportTraceServiceRequest (opentelemetry-proto, trace.proto, v1). Each span is encoded
// when it ends, into memory that stays: nothing of it is left for the garbage collector.

import type { SpanFacts } from '../dataplane/span-facts.ts'
import { field, fieldHead } from './otlp-writer.ts'
import { mostSpanBytes, TRACE_DIGITS, writeSpan } from './span-encoding.ts'

const MOST_SERVICE = 256
const FIRST_BYTES = 16_384
/** Memory that so many batches in a row had no use for is let go. */
const MOST_IDLE = 8

interface Service {
  /** What stands in front of its spans, without lengths: its resource, and the scope. */
  readonly resource: Buffer
  bytes: Buffer
  length: number
  idle: number
}

/** Spans of one collector, service by service, until `take`. */
export class SpanBatch {
  readonly #services = new Map<string, Service>()
  #size = 0

  get size(): number {
    return this.#size
  }

  /** Encodes it; a span without its ids is none. */
  add(facts: SpanFacts): void {
    if (facts.trace.length !== TRACE_DIGITS) return
    let service = this.#services.get(facts.function)
    if (!service) {
      const bytes = Buffer.allocUnsafeSlow(FIRST_BYTES)
      service = { resource: resourceOf(facts.function), bytes, length: 0, idle: 0 }
      this.#services.set(facts.function, service)
    }
    const most = mostSpanBytes(facts)
    if (service.length + most > service.bytes.length) {
      const larger = Buffer.allocUnsafeSlow(2 * service.bytes.length + most)
      service.bytes.copy(larger, 0, 0, service.length)
      service.bytes = larger
    }
    service.length = writeSpan(service.bytes, service.length, facts)
    this.#size++
  }

  /** The message with all spans; the batch is empty afterwards. */
  take(): Buffer {
    const parts: Buffer[] = []
    for (const [name, service] of this.#services) {
      if (service.length > 0) {
        resourceSpans(parts, service)
        service.length = 0
        service.idle = 0
      } else if (++service.idle === MOST_IDLE) this.#services.delete(name)
    }
    this.#size = 0
    return Buffer.concat(parts)
  }
}

const SCOPE = field(1, field(1, Buffer.from('mayfly')))

/** ResourceSpans (field 1 of the request): the service's name, then one ScopeSpans (2) with all its spans. */
function resourceSpans(parts: Buffer[], { resource, bytes, length }: Service): void {
  const scopeSpans = fieldHead(2, SCOPE.length + length)
  const all = resource.length + scopeSpans.length + SCOPE.length + length
  parts.push(fieldHead(1, all), resource, scopeSpans, SCOPE, bytes.subarray(0, length))
}

/** Resource (field 1 of ResourceSpans) of "namespace/name", as Istio's proxies call their services: "name.namespace". */
function resourceOf(key: string): Buffer {
  const slash = key.indexOf('/')
  const service = slash < 0 ? key : `${key.slice(slash + 1)}.${key.slice(0, slash)}`
  const name = Buffer.from(service.slice(0, MOST_SERVICE))
  const attribute = Buffer.concat([field(1, Buffer.from('service.name')), field(2, field(1, name))])
  return field(1, field(1, attribute))
}
