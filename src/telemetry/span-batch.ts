// Ended spans as OTLP's protobuf message ExportTraceServiceRequest (opentelemetry-proto, trace.proto, v1). Each span is encoded
// when it ends, into memory that stays: nothing of it is left for the garbage collector.

import type { SpanFacts } from '../dataplane/span-facts.ts'
import { field } from './otlp-writer.ts'
import { mostSpanBytes, TRACE_DIGITS, writeSpan } from './span-encoding.ts'

const MOST_SERVICE = 256
const FIRST_BYTES = 16_384

/** Spans of one collector, service by service, until `take`. */
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
    for (const [name, { bytes, length }] of this.#services) {
      if (length > 0) parts.push(resourceSpans(serviceName(name), bytes.subarray(0, length)))
    }
    this.#services.clear()
    this.#size = 0
    return Buffer.concat(parts)
  }
}

/** "namespace/name" as Istio's proxies call their services: "name.namespace". */
function serviceName(key: string): string {
  const slash = key.indexOf('/')
  return slash < 0 ? key : `${key.slice(slash + 1)}.${key.slice(0, slash)}`
}

/** ResourceSpans (field 1 of the request): the service's name, then one ScopeSpans with all its spans. */
function resourceSpans(service: string, spans: Buffer): Buffer {
  const name = Buffer.from(service.slice(0, MOST_SERVICE))
  const attribute = field(1, Buffer.concat([field(1, Buffer.from('service.name')), field(2, field(1, name))]))
  const scope = field(1, field(1, Buffer.from('mayfly')))
  const scopeSpans = field(2, Buffer.concat([scope, spans]))
  return field(1, Buffer.concat([field(1, attribute), scopeSpans]))
}
