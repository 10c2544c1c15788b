/** One line that an instance wrote, or (`mesh`) that the runtime has to say about it. */
export type LogLine = {
  /** Milliseconds since the epoch at which the line was read. */
  time: number
  function: string
  instance: string
  stream: 'stdout' | 'stderr' | 'mesh'
  text: string
}

/** Which lines are meant; an absent field matches all. */
export type LogFilter = { function?: string; instance?: string }

/** How much is kept; what is older is forgotten. */
export type LogLimits = { linesPerFunction: number; bytesPerFunction: number; bytesInAll: number }

export const LOG_LIMITS: LogLimits = {
  linesPerFunction: 1_000,
  bytesPerFunction: 256 * 1024,
  bytesInAll: 16 * 1024 * 1024,
}

/** The latest lines of every function, and a place to follow new ones. */
export type LogBook = {
  append(line: LogLine): void
  /** Notes that output was too much or too fast to keep. */
  drop(bytes: number): void
  /** The latest lines that match, oldest first. */
  recent(filter: LogFilter, limit?: number): LogLine[]
  /** Calls `listener` for each new line that matches, until the returned function is called. It must not throw or block. */
  subscribe(filter: LogFilter, listener: (line: LogLine) => void): () => void
  /** Forgets a function's lines. */
  forget(functionKey: string): void
  counts(): LogCounts
}

/** `dropped` was never kept (bytes of output); `forgotten` made room for newer lines. */
export type LogCounts = { lines: number; forgottenLines: number; droppedBytes: number }

export function createLogBook(limits: LogLimits = LOG_LIMITS): LogBook {
  // In order of last use, so that the first is the one to forget when all together are too many.
  const pages = new Map<string, Page>()
  const followers = new Set<{ filter: LogFilter; listener: (line: LogLine) => void }>()
  const counts: LogCounts = { lines: 0, forgottenLines: 0, droppedBytes: 0 }
  let bytesInAll = 0

  function append(line: LogLine): void {
    const page = pages.get(line.function) ?? { lines: [], first: 0, bytes: 0 }
    pages.delete(line.function)
    pages.set(line.function, page)
    const bytes = cost(line)
    page.lines.push(line)
    page.bytes += bytes
    bytesInAll += bytes
    counts.lines++
    while (page.bytes > limits.bytesPerFunction || page.lines.length - page.first > limits.linesPerFunction)
      forgetFirst(page)
    while (bytesInAll > limits.bytesInAll) {
      const [oldest] = pages.keys()
      forget(oldest!)
    }
    for (const follower of followers) if (matches(follower.filter, line)) follower.listener(line)
  }

  function forgetFirst(page: Page): void {
    const bytes = cost(page.lines[page.first]!)
    page.first++
    page.bytes -= bytes
    bytesInAll -= bytes
    counts.forgottenLines++
    if (page.first * 2 < page.lines.length) return
    page.lines.splice(0, page.first)
    page.first = 0
  }

  function forget(functionKey: string): void {
    const page = pages.get(functionKey)
    if (page === undefined) return
    pages.delete(functionKey)
    bytesInAll -= page.bytes
    counts.forgottenLines += page.lines.length - page.first
  }

  return {
    append,
    forget,
    drop(bytes) {
      counts.droppedBytes += bytes
    },
    recent(filter, limit = Number.POSITIVE_INFINITY) {
      const found: LogLine[] = []
      for (const [key, page] of pages) {
        if (filter.function !== undefined && filter.function !== key) continue
        for (let i = page.first; i < page.lines.length; i++) {
          if (matches(filter, page.lines[i]!)) found.push(page.lines[i]!)
        }
      }
      found.sort((a, b) => a.time - b.time)
      return limit < found.length ? found.slice(found.length - limit) : found
    },
    subscribe(filter, listener) {
      const follower = { filter, listener }
      followers.add(follower)
      return () => void followers.delete(follower)
    },
    counts: () => ({ ...counts }),
  }
}

type Page = { lines: LogLine[]; first: number; bytes: number }

/** What a line takes in memory, roughly: its text (one byte for each latin1 character) and its object. */
function cost(line: LogLine): number {
  return line.text.length + 100
}

function matches(filter: LogFilter, line: LogLine): boolean {
  return (
    (filter.function === undefined || filter.function === line.function) &&
    (filter.instance === undefined || filter.instance === line.instance)
  )
}
