import type { ToEngine } from '../dataplane/engine-messages.ts'
import type { QuotaLimit } from '../policy/quota-limit.ts'
import type { QuotaReply, QuotaRequest } from '../state/quota-message.ts'

/** Who leases the limits' requests: the authority in this process, or one that several meshes share. */
export interface QuotaSource {
  /** The limits in force, all of them. */
  setLimits(limits: readonly QuotaLimit[]): void
  /** Answers an engine of that node; what cannot be answered is `unavailable`. */
  answer(node: string, request: QuotaRequest): QuotaReply | Promise<QuotaReply>
  readonly counters: Record<string, number>
  close(): void
}

/** Brings engines' requests for quota to whoever leases it, and the answers back. */
export class QuotaHub {
  readonly #source: QuotaSource
  readonly #send: (engine: string, message: ToEngine) => void

  constructor(source: QuotaSource, send: (engine: string, message: ToEngine) => void) {
    this.#source = source
    this.#send = send
  }

  follow(functions: Iterable<{ quotaLimits: readonly QuotaLimit[] }>): void {
    this.#source.setLimits([...functions].flatMap(({ quotaLimits }) => quotaLimits))
  }

  receive(engine: string, node: string, request: QuotaRequest): void {
    const reply = this.#source.answer(node, request)
    if (reply instanceof Promise) void reply.then((later) => this.#answer(engine, later))
    else this.#answer(engine, reply)
  }

  get counters(): Record<string, number> {
    return this.#source.counters
  }

  close(): void {
    this.#source.close()
  }

  #answer(engine: string, reply: QuotaReply): void {
    if (reply.grants.length > 0) this.#send(engine, { type: 'quota', reply })
  }
}
