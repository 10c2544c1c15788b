import { Agent } from 'node:http'
import type { SpanFacts } from '../dataplane/span-facts.ts'
import { post } from './otlp-post.ts'
import { SpanBatch } from './span-batch.ts'

/** Spans are sent when so many wait, and otherwise this long after the first of them ended, in milliseconds. */
const BATCH = 512
const DELAY_MS = 1_000
/** So many may wait while an export is under way; what comes beyond that is dropped. */
const MOST_WAITING = 4 * BATCH
/** So often is one export tried, where the collector is away or asks for it. */
const MOST_ATTEMPTS = 5
/** Until the second attempt, and doubled for each further one, in milliseconds; a collector may ask for more. */
const FIRST_RETRY_MS = 1_000
const LONGEST_RETRY_MS = 30_000
/** How long a collector may keep an engine from ending. */
const CLOSE_MS = 2_000
/** Collectors that one engine sends to; spans for more are dropped. */
const MAX_COLLECTORS = 16

/** Sends spans to OpenTelemetry collectors (OTLP over HTTP, protobuf). What can't be sent or kept is dropped and counted. */
export class SpanExporter {
  readonly counters = { exported: 0, dropped: 0, failed: 0, retried: 0 }
  readonly #collectors = new Map<string, Collector>()
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 })
  readonly #firstRetryMs: number

  constructor(firstRetryMs = FIRST_RETRY_MS) {
    this.#firstRetryMs = firstRetryMs
  }

  record(facts: SpanFacts): void {
    let collector = this.#collectors.get(facts.collector)
    if (!collector) {
      if (this.#collectors.size >= MAX_COLLECTORS) {
        this.counters.dropped++
        return
      }
      collector = new Collector(facts.collector, this.#agent, this.counters, this.#firstRetryMs)
      this.#collectors.set(facts.collector, collector)
    }
    collector.add(facts)
  }

  /** Sends what waits, once; resolves when that has been tried, or after CLOSE_MS. */
  async close(): Promise<void> {
    const flushed = Promise.all(Array.from(this.#collectors.values(), (collector) => collector.close()))
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
  readonly #firstRetryMs: number
  readonly #waiting = new SpanBatch()
  #timer: NodeJS.Timeout | null = null
  #sending: Promise<void> | null = null
  /** Ends the wait for the next attempt. */
  #hurry: (() => void) | null = null
  #closing = false

  constructor(url: string, agent: Agent, counters: SpanExporter['counters'], firstRetryMs: number) {
    this.#url = url
    this.#agent = agent
    this.#counters = counters
    this.#firstRetryMs = firstRetryMs
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

  async close(): Promise<void> {
    this.#closing = true
    this.#hurry?.()
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
    const body = this.#waiting.take()
    for (let attempt = 1; ; attempt++) {
      const posted = await post(this.#url, this.#agent, body)
      if (posted.kind === 'taken') {
        this.#counters.exported += count
        return
      }
      if (posted.kind === 'refused' || attempt === MOST_ATTEMPTS || this.#closing) {
        this.#counters.failed += count
        return
      }
      this.#counters.retried++
      const pause = Math.max(posted.afterMs, this.#firstRetryMs * 2 ** (attempt - 1))
      await this.#pause(Math.min(pause, LONGEST_RETRY_MS))
    }
  }

  /** A little longer by chance, so that engines whose collector comes back do not all ask at once. */
  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms * (1 + Math.random() / 4)).unref()
      this.#hurry = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }
}
