import type { Asker } from './batch-changes.ts'
import type { Refused, Request, ResourceChange } from './resource-change.ts'

export type Outcome = { ok: true; changes: ResourceChange[] } | { ok: false; refused: Refused }

/** A request that waits for its answer. */
export interface Pending {
  request: Request
  asker: Asker
  dryRun: boolean
  resolve(outcome: Outcome): void
}

/** Requests taken together at most: they share one compilation and one commit, and hold up for that long whoever waits for something else. */
const MOST_TOGETHER = 64
/** Requests that may wait; one more is refused. */
const MOST_WAITING = 10_000

/** Requests in the order in which they came, taken in batches, one batch after the other. */
export class RequestQueue {
  /** Answers all of a batch; where it rejects, none of those that are left can be served. */
  readonly #serve: (batch: readonly Pending[]) => Promise<void>
  readonly #waiting: Pending[] = []
  #working = false

  constructor(serve: (batch: readonly Pending[]) => Promise<void>) {
    this.#serve = serve
  }

  push(request: Request, asker: Asker, dryRun: boolean): Promise<Outcome> {
    if (this.#waiting.length >= MOST_WAITING)
      return Promise.resolve({
        ok: false,
        refused: { kind: 'unavailable', message: `${MOST_WAITING} changes wait already` },
      })
    return new Promise((resolve) => {
      this.#waiting.push({ request, asker, dryRun, resolve })
      if (!this.#working) void this.#work()
    })
  }

  async #work(): Promise<void> {
    this.#working = true
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, MOST_TOGETHER)
      await this.#serve(batch).catch((error: Error) => {
        const refused: Refused = { kind: 'unavailable', message: error.message }
        for (const pending of batch) pending.resolve({ ok: false, refused })
      })
    }
    this.#working = false
  }
}
