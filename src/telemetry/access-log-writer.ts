import { closeSync, openSync, write, writeSync } from 'node:fs'

/** Writes lines to the access log's file without holding anybody up. */
export interface AccessLog {
  /** Takes a line without its newline. Where too many wait, the line is dropped and counted. */
  write(line: Buffer): void
  /** Opens the file anew, for whoever has moved it away. Lines that wait go into the new one. */
  reopen(): void
  /** Takes no more lines and writes what waits: before it returns, unless a write is under way. */
  close(): Promise<void>
  readonly counters: Readonly<AccessLogCounters>
}

/** Lines by what became of them. */
export interface AccessLogCounters {
  written: number
  /** Too many were waiting, or the log was closed. */
  dropped: number
  /** The file could not be opened or written. */
  failed: number
}

export interface AccessLogOptions {
  /** So many bytes are written at once; fewer wait for the interval. */
  batchBytes?: number
  intervalMs?: number
  /** Lines that wait take at most so many bytes. */
  maxBytes?: number
  /** Told when the file cannot be written, and not again until it could be. */
  onError?: (message: string) => void
}

/** Opens an access log. "" and /dev/stdout are standard output, /dev/stderr is standard error, all else a file to append to. */
export function openAccessLog(path: string, options: AccessLogOptions = {}): AccessLog {
  return new BatchedLog(path, options)
}

const STDOUT = 1
const STDERR = 2
const NEWLINE = 0x0a
/** A pipe whose reader does not keep up is tried again after so long. */
const RETRY_MS = 20

class BatchedLog implements AccessLog {
  readonly counters: AccessLogCounters = { written: 0, dropped: 0, failed: 0 }
  readonly #path: string
  readonly #batchBytes: number
  readonly #intervalMs: number
  readonly #maxBytes: number
  readonly #onError: (message: string) => void
  #fd: number | null = null
  #waiting: Buffer
  #waitingBytes = 0
  #waitingLines = 0
  /** Memory for lines that is free, and what is being written from: two take turns, so that none is allocated. */
  #spare: Buffer | null = null
  #lent: Buffer | null = null
  /** What is being written, from `#written` on. */
  #batch: Buffer | null = null
  #batchLines = 0
  #written = 0
  #inFlight = false
  /** The file ends in a part of a line. */
  #torn = false
  #failing = false
  #timer: NodeJS.Timeout | null = null
  /** A descriptor that is closed when the write on it has ended. */
  #retired: number | null = null
  #closed: (() => void) | null = null

  constructor(path: string, options: AccessLogOptions) {
    this.#path = path
    this.#maxBytes = options.maxBytes ?? 8 * 1024 * 1024
    this.#batchBytes = Math.min(options.batchBytes ?? 256 * 1024, this.#maxBytes)
    this.#intervalMs = options.intervalMs ?? 100
    this.#onError = options.onError ?? ((message) => process.stderr.write(`mayfly: ${message}\n`))
    this.#waiting = Buffer.allocUnsafe(0)
    this.#open()
  }

  write(line: Buffer): void {
    const end = this.#waitingBytes + line.length + 1
    if (this.#closed !== null || (this.#batch?.length ?? 0) + end > this.#maxBytes) {
      this.counters.dropped++
      return
    }
    if (end > this.#waiting.length) this.#grow(end)
    line.copy(this.#waiting, this.#waitingBytes)
    this.#waiting[end - 1] = NEWLINE
    this.#waitingBytes = end
    this.#waitingLines++
    this.#schedule()
  }

  reopen(): void {
    if (this.#closed !== null) return
    if (this.#fd !== null && this.#fd > STDERR) {
      if (this.#inFlight && this.#retired === null) this.#retired = this.#fd
      else if (this.#fd !== this.#retired) closeSync(this.#fd)
    }
    this.#fd = null
    this.#torn = false
    this.#open()
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#closed !== null) return resolve()
      this.#closed = resolve
      this.#stopTimer()
      if (!this.#inFlight) this.#finish()
    })
  }

  /** Sees to it that what waits is written, now or at the interval. */
  #schedule(): void {
    if (this.#batch !== null || this.#waitingBytes === 0) return
    if (this.#waitingBytes >= this.#batchBytes) this.#beginBatch()
    else if (this.#timer === null) this.#after(this.#intervalMs, () => this.#beginBatch())
  }

  #beginBatch(): void {
    this.#stopTimer()
    this.#takeBatch()
    this.#writeOn()
  }

  #takeBatch(): void {
    const lines = this.#waiting.subarray(0, this.#waitingBytes)
    const taken = this.#waiting
    this.#batch = this.#torn ? Buffer.concat([Buffer.of(NEWLINE), lines]) : lines
    this.#batchLines = this.#waitingLines
    this.#written = 0
    this.#waiting = this.#spare ?? Buffer.allocUnsafeSlow(this.#batchBytes)
    this.#spare = null
    this.#lent = taken
    this.#waitingBytes = 0
    this.#waitingLines = 0
  }

  #writeOn(): void {
    if (this.#fd === null) this.#open()
    if (this.#fd === null) return this.#endBatch(false)
    const batch = this.#batch!
    this.#inFlight = true
    write(this.#fd, batch, this.#written, batch.length - this.#written, null, (error, bytes) => {
      this.#inFlight = false
      if (this.#retired !== null) closeSync(this.#retired)
      this.#retired = null
      if (error === null) this.#written += bytes
      if (this.#closed !== null) return this.#finish()
      if (error?.code === 'EAGAIN') return this.#after(RETRY_MS, () => this.#writeOn())
      if (error !== null) {
        this.#report(error)
        return this.#endBatch(false)
      }
      if (this.#written < batch.length) return this.#writeOn()
      this.#endBatch(true)
    })
  }

  #endBatch(isWritten: boolean): void {
    this.counters[isWritten ? 'written' : 'failed'] += this.#batchLines
    if (isWritten) this.#failing = false
    if (isWritten || this.#written > 0) this.#torn = !isWritten && this.#batch![this.#written - 1] !== NEWLINE
    this.#batch = null
    if (
      this.#lent !== null &&
      this.#lent.length >= this.#batchBytes &&
      this.#lent.length <= 4 * this.#batchBytes
    )
      this.#spare = this.#lent
    this.#lent = null
    if (this.#closed === null) this.#schedule()
  }

  /** Writes all that is left, in the end without regard to who waits meanwhile. */
  #finish(): void {
    if (this.#batch !== null) this.#writeNow()
    if (this.#waitingBytes > 0) {
      this.#takeBatch()
      this.#writeNow()
    }
    if (this.#fd !== null && this.#fd > STDERR) closeSync(this.#fd)
    this.#fd = null
    this.#closed!()
  }

  #writeNow(): void {
    const batch = this.#batch!
    try {
      if (this.#fd === null) this.#open()
      while (this.#fd !== null && this.#written < batch.length) {
        this.#written += writeSync(this.#fd, batch, this.#written)
      }
    } catch (error) {
      this.#report(error as NodeJS.ErrnoException)
    }
    this.#endBatch(this.#written === batch.length)
  }

  #open(): void {
    if (this.#path === '' || this.#path === '/dev/stdout') this.#fd = STDOUT
    else if (this.#path === '/dev/stderr') this.#fd = STDERR
    else {
      try {
        this.#fd = openSync(this.#path, 'a', 0o640)
      } catch (error) {
        this.#report(error as NodeJS.ErrnoException)
      }
    }
  }

  #report(error: NodeJS.ErrnoException): void {
    if (this.#failing) return
    this.#failing = true
    this.#onError(
      `cannot write the access log ${this.#path}: ${error.message}; lines are lost until it can be written`,
    )
  }

  #grow(bytes: number): void {
    const size = Math.max(bytes, this.#batchBytes, Math.min(this.#waiting.length * 2, this.#maxBytes))
    const larger = Buffer.allocUnsafe(size)
    this.#waiting.copy(larger, 0, 0, this.#waitingBytes)
    this.#waiting = larger
  }

  #after(ms: number, then: () => void): void {
    this.#timer = setTimeout(() => {
      this.#timer = null
      then()
    }, ms)
    this.#timer.unref()
  }

  #stopTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
  }
}
