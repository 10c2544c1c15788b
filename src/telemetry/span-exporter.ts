import { Agent, request } from 'node:http'
import type { SpanFacts } from '../dataplane/span-facts.ts'
import { SpanBatch } from './span-batch.ts'

/** Spans are sent when so many wait, and otherwise this long after the first of them ended, in milliseconds. */
const BATCH = 512
const DELAY_MS = 1_000
/** So many may wait while an export is under way; what comes beyond that is dropped. */
const MOST_WAITING = 4 * BATCH
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
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 })

  record(facts: SpanFacts): void {
    let collector = this.#collectors.get(facts.collector)
    if (!collector) {
      if (this.#collectors.size >= MAX_COLLECTORS) {
        this.counters.dropped++
        return
      }
      collector = new Collector(facts.collector, this.#agent, this.counters)
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
    this.#agent.destroy()
  }
}

class Collector {
  readonly #url: string
  readonly #agent: Agent
  readonly #counters: SpanExporter['counters']
  readonly #waiting = new SpanBatch()
  #timer: NodeJS.Timeout | null = null
  #sending: Promise<void> | null = null

  constructor(url: string, agent: Agent, counters: SpanExporter['counters']) {
    this.#url = url
    this.#agent = agent
    this.#counters = counters
  }

  add(facts: SpanFacts): void {
    if (this.#waiting.size >= MOST_WAITING) {
      this.#counters.dropped++
      return
    }
    this.#waiting.add(facts)
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
    const count = this.#waiting.size
    if (count === 0) return
    if (await post(this.#url, this.#agent, this.#waiting.take())) this.#counters.exported += count
    else this.#counters.failed += count
  }
}

/** Whether the collector took it (a status of the 200s, OTLP/HTTP). */
function post(url: string, agent: Agent, body: Buffer): Promise<boolean> {
  return new Promise((resolve) => {
    const headers = { 'content-type': 'application/x-protobuf', 'content-length': body.length }
    const sent = request(url, { method: 'POST', agent, headers, timeout: EXPORT_MS }, (response) => {
      response.resume()
      response.on('close', () => resolve(response.statusCode! >= 200 && response.statusCode! < 300))
    })
    sent.on('timeout', () => sent.destroy())
    sent.on('error', () => resolve(false))
    sent.end(body)
  })
}
