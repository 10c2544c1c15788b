/** How a request fared, kept for `mayfly explain`: verdicts and no content, so no secret is kept. */
export interface DecisionRecord {
  requestId: string
  /** Milliseconds since the epoch. */
  time: number
  durationMs: number
  status: number
  stages: StageRecord[]
}

export interface StageRecord {
  /** "namespace/name" of the function whose policy judged; "" for the gateway's own. */
  function: string
  policyHash: string
  direction: number
  /** The verdicts as the sidecar wrote them (VERDICTS in layout/record.ts). */
  verdicts: Buffer
}

/** The last `size` requests' records; older ones are overwritten. */
export class DecisionRing {
  readonly #records: (DecisionRecord | undefined)[]
  #next = 0

  constructor(size: number) {
    this.#records = new Array(size)
  }

  add(record: DecisionRecord): void {
    this.#records[this.#next] = record
    this.#next = (this.#next + 1) % this.#records.length
  }

  find(requestId: string): DecisionRecord | undefined {
    return this.#records.find((record) => record?.requestId === requestId)
  }
}
