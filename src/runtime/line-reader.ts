import type { Readable } from 'node:stream'

/** Where the lines of one output stream go. */
export type LineSink = { line(text: string): void; dropped(bytes: number): void }

/** Bounds for one stream, so that a flood of output costs little time and no memory. */
export type LineLimits = {
  /** A longer line is cut, and says so. */
  lineBytes: number
  windowMs: number
  /** In each window: bytes and lines kept; what comes beyond is dropped and counted. */
  keptBytes: number
  keptLines: number
  /** In each window: bytes read at all; beyond, the writer waits for the next window. */
  readBytes: number
}

export const LINE_LIMITS: LineLimits = {
  lineBytes: 8 * 1024,
  windowMs: 100,
  keptBytes: 512 * 1024,
  keptLines: 2_000,
  readBytes: 8 * 1024 * 1024,
}

/** Reads a process's output stream to its end as lines of UTF-8. */
export function readLines(stream: Readable, sink: LineSink, limits: LineLimits = LINE_LIMITS): void {
  let partial: Buffer[] = []
  let partialBytes = 0
  /** Bytes of the present line that are beyond `lineBytes`. */
  let cutBytes = 0
  /** A part of the present line was dropped, so its rest is, too. */
  let skipping = false
  let windowEnd = 0
  let kept = 0
  let lines = 0
  let read = 0
  let dropped = 0
  let timer: NodeJS.Timeout | undefined

  stream.on('data', (chunk: Buffer) => {
    const now = performance.now()
    if (now >= windowEnd) openWindow(now)
    read += chunk.length
    if (kept + chunk.length > limits.keptBytes) skip(chunk.length)
    else {
      kept += chunk.length
      split(chunk)
    }
    if (read > limits.readBytes) stream.pause()
    // Whoever dropped or paused must come back at the window's end even if nothing more is written.
    if (dropped > 0 || read > limits.readBytes) {
      timer ??= setTimeout(() => openWindow(performance.now()), Math.max(1, windowEnd - now))
    }
  })
  stream.on('end', finish)
  stream.on('close', finish)
  stream.on('error', finish)

  function openWindow(now: number): void {
    clearTimeout(timer)
    timer = undefined
    windowEnd = now + limits.windowMs
    kept = 0
    lines = 0
    read = 0
    if (dropped > 0) sink.dropped(dropped)
    dropped = 0
    if (stream.isPaused()) stream.resume()
  }

  function skip(bytes: number): void {
    dropped += bytes + partialBytes + cutBytes
    partial = []
    partialBytes = 0
    cutBytes = 0
    skipping = true
  }

  function split(chunk: Buffer): void {
    let start = 0
    if (skipping) {
      const end = chunk.indexOf(NEWLINE)
      dropped += end === -1 ? chunk.length : end + 1
      if (end === -1) return
      skipping = false
      start = end + 1
    }
    for (let end = chunk.indexOf(NEWLINE, start); end !== -1; end = chunk.indexOf(NEWLINE, start)) {
      if (partialBytes === 0 && end - start <= limits.lineBytes) emit(chunk, start, end, 0)
      else {
        hold(chunk.subarray(start, end))
        flush()
      }
      start = end + 1
      if (++lines >= limits.keptLines && start < chunk.length) {
        kept = limits.keptBytes
        return skip(chunk.length - start)
      }
    }
    if (start < chunk.length) hold(Buffer.from(chunk.subarray(start)))
  }

  function hold(bytes: Buffer): void {
    const room = limits.lineBytes - partialBytes
    const taken = bytes.length <= room ? bytes : bytes.subarray(0, room)
    if (taken.length > 0) partial.push(taken)
    partialBytes += taken.length
    cutBytes += bytes.length - taken.length
  }

  function flush(): void {
    const bytes = partial.length === 1 ? partial[0]! : Buffer.concat(partial)
    const cut = cutBytes
    partial = []
    partialBytes = 0
    cutBytes = 0
    emit(bytes, 0, bytes.length, cut)
  }

  function emit(bytes: Buffer, start: number, end: number, cut: number): void {
    const last = cut === 0 && end > start && bytes[end - 1] === CARRIAGE_RETURN ? end - 1 : end
    const text = bytes.toString('utf8', start, last)
    sink.line(cut === 0 ? text : `${text} [cut: ${cut} more bytes]`)
  }

  function finish(): void {
    clearTimeout(timer)
    timer = undefined
    if (partialBytes > 0) flush()
    if (dropped > 0) sink.dropped(dropped)
    dropped = 0
  }
}

const NEWLINE = 0x0a
const CARRIAGE_RETURN = 0x0d
