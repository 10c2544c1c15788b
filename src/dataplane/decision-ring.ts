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
  /** "namespace/name" of the function whose policy judged. */
  function: string
  policyHash: string
  direction: number
  /** The verdicts as the sidecar wrote them (VERDICTS in layout/record.ts). */
  verdicts: Buffer
}

const REQUEST_ID_BYTES = 36
/** A request passes two sidecars at most: its caller's and its callee's. */
const MOST_STAGES = 2
/** MAX_VERDICTS of layout/record.ts, in bytes. */
const MOST_VERDICT_BYTES = 128
const SLOT_BYTES = REQUEST_ID_BYTES + MOST_STAGES * MOST_VERDICT_BYTES

/**
 * The last `size` requests' records; older ones are overwritten. They are copied into memory that was allocated once:
 * kept as objects they would live just long enough to be moved to the old generation, whose collection then costs a
 * twentieth of an engine's time.
 */
export class DecisionRing {
  readonly #size: number
  readonly #bytes: Buffer
  readonly #times: Float64Array
  readonly #durations: Float64Array
  readonly #statuses: Uint16Array
  readonly #stageCounts: Uint8Array
  /** For each slot's stages: their direction and the length of their verdicts, and whose policy judged. */
  readonly #directions: Uint8Array
  readonly #lengths: Uint8Array
  readonly #functions: string[]
  readonly #hashes: string[]
  #next = 0

  constructor(size: number) {
    this.#size = size
    this.#bytes = Buffer.alloc(size * SLOT_BYTES)
    this.#times = new Float64Array(size)
    this.#durations = new Float64Array(size)
    this.#statuses = new Uint16Array(size)
    this.#stageCounts = new Uint8Array(size)
    this.#directions = new Uint8Array(size * MOST_STAGES)
    this.#lengths = new Uint8Array(size * MOST_STAGES)
    this.#functions = new Array(size * MOST_STAGES).fill('')
    this.#hashes = new Array(size * MOST_STAGES).fill('')
  }

  add({ requestId, time, durationMs, status, stages }: DecisionRecord): void {
    // Without an id nobody can ask for it.
    if (requestId.length !== REQUEST_ID_BYTES) return
    const slot = this.#next
    this.#next = (slot + 1) % this.#size
    let at = slot * SLOT_BYTES
    at += this.#bytes.write(requestId, at, 'latin1')
    this.#times[slot] = time
    this.#durations[slot] = durationMs
    this.#statuses[slot] = status
    const count = Math.min(stages.length, MOST_STAGES)
    this.#stageCounts[slot] = count
    for (let i = 0; i < count; i++) {
      const stage = stages[i]!
      const entry = slot * MOST_STAGES + i
      this.#functions[entry] = stage.function
      this.#hashes[entry] = stage.policyHash
      this.#directions[entry] = stage.direction
      this.#lengths[entry] = stage.verdicts.copy(this.#bytes, at, 0, MOST_VERDICT_BYTES)
      at += MOST_VERDICT_BYTES
    }
  }

  /** A function may send its request's id on with its own calls, so several may have it. */
  findAll(requestId: string): DecisionRecord[] {
    if (requestId.length !== REQUEST_ID_BYTES) return []
    const wanted = Buffer.from(requestId, 'latin1')
    const found: DecisionRecord[] = []
    for (let slot = 0; slot < this.#size; slot++) {
      const at = slot * SLOT_BYTES
      if (wanted.equals(this.#bytes.subarray(at, at + REQUEST_ID_BYTES)))
        found.push(this.#record(slot, requestId))
    }
    return found
  }

  #record(slot: number, requestId: string): DecisionRecord {
    const stages: StageRecord[] = []
    for (let i = 0; i < this.#stageCounts[slot]!; i++) {
      const entry = slot * MOST_STAGES + i
      const at = slot * SLOT_BYTES + REQUEST_ID_BYTES + i * MOST_VERDICT_BYTES
      stages.push({
        function: this.#functions[entry]!,
        policyHash: this.#hashes[entry]!,
        direction: this.#directions[entry]!,
        verdicts: Buffer.from(this.#bytes.subarray(at, at + this.#lengths[entry]!)),
      })
    }
    return {
      requestId,
      time: this.#times[slot]!,
      durationMs: this.#durations[slot]!,
      status: this.#statuses[slot]!,
      stages,
    }
  }
}
