import { Worker } from 'node:worker_threads'
import type { EtcdOptions } from './store/etcd-client.ts'

/** What the thread that renews is told, and what it says. */
export type ToRenewer = { kind: 'renew'; lease: bigint } | { kind: 'stop' }
export type FromRenewer =
  | { kind: 'ended'; lease: bigint; why: string }
  /** null: etcd answers again. */
  | { kind: 'problem'; text: string | null }

export interface RenewerData {
  etcd: EtcdOptions
  ttl: number
  /** A control plane whose own thread gives no sign for so long does not lead any more: nobody would notice. In milliseconds. */
  mostSilentMs: number
  /** Two times in nanoseconds of the machine's steady clock (process.hrtime): see VALID_UNTIL and ALIVE_AT. */
  times: BigInt64Array
}

/** Until when the lease is valid for certain. */
export const VALID_UNTIL = 0
/** When the control plane's own thread last gave a sign of life. */
export const ALIVE_AT = 1
/** It ceases to lead so long before etcd may let another, in milliseconds. */
export const MARGIN_MS = 200

const ALIVE_MS = 500

/**
 * Renews a leader's lease on a thread of its own: while the control plane compiles a large change its own thread answers nobody
 * for seconds, and goes on leading. One that stands still as a whole does not; nor one whose own thread gives no sign for long.
 */
export class LeaseRenewal {
  readonly #times = new BigInt64Array(new SharedArrayBuffer(16))
  readonly #worker: Worker
  readonly #alive: NodeJS.Timeout
  #lease = 0n

  constructor(
    parts: Omit<RenewerData, 'times'>,
    events: { ended(why: string): void; problem(text: string | null): void },
  ) {
    const data: RenewerData = { ...parts, times: this.#times }
    this.#worker = new Worker(new URL('./lease-renewer.ts', import.meta.url), {
      workerData: data,
      execArgv: ['--no-warnings'],
    })
    this.#worker.on('message', (message: FromRenewer) => {
      if (message.kind === 'problem') events.problem(message.text)
      else if (message.lease === this.#lease) events.ended(message.why)
    })
    this.#worker.on('error', (error: Error) =>
      events.ended(`the thread that renews its lease has ended: ${error.message}`),
    )
    this.#worker.unref()
    this.#alive = setInterval(() => this.#sign(), ALIVE_MS)
    this.#alive.unref()
  }

  /** Milliseconds that the lease is still valid for. */
  get leftMs(): number {
    return Number(Atomics.load(this.#times, VALID_UNTIL) - process.hrtime.bigint()) / 1e6
  }

  /** A lease that was asked for at `begun` (process.hrtime) for `ttl` seconds. */
  granted(begun: bigint, ttl: bigint): void {
    Atomics.store(this.#times, VALID_UNTIL, validUntil(begun, ttl))
  }

  begin(lease: bigint): void {
    this.#lease = lease
    this.#sign()
    this.#worker.postMessage({ kind: 'renew', lease } satisfies ToRenewer)
  }

  stop(): void {
    this.#lease = 0n
    this.#worker.postMessage({ kind: 'stop' } satisfies ToRenewer)
  }

  async close(): Promise<void> {
    clearInterval(this.#alive)
    // Nothing else may be left that keeps this process until then.
    this.#worker.ref()
    await this.#worker.terminate()
  }

  #sign(): void {
    Atomics.store(this.#times, ALIVE_AT, process.hrtime.bigint())
  }
}

export function validUntil(begun: bigint, ttl: bigint): bigint {
  return begun + (ttl * 1_000n - BigInt(MARGIN_MS)) * 1_000_000n
}
