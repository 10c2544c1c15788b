import type { LogLine } from '../../runtime/log-book.ts'
import type { NodeRegistry } from '../nodes/node-registry.ts'

/** Nodes are asked for new lines so often, in milliseconds. */
const FOLLOW_MS = 250
/** Lines that are asked of each node at once. */
const MOST_LINES = 1_000

/** What instances on all nodes wrote, by time; with `follow` it goes on until the signal aborts. `tail` -1: all that is kept. */
export async function* clusterLogs(
  registry: NodeRegistry,
  fn: string,
  follow: boolean,
  tail: number,
  signal: AbortSignal,
): AsyncGenerator<LogLine> {
  const lines = await readLines(registry, fn)
  yield* tail < 0 ? lines : lines.slice(Math.max(0, lines.length - tail))
  let told = new Set(lines.map(identityOf))
  while (follow && !signal.aborted) {
    await pause(FOLLOW_MS, signal)
    const now = await readLines(registry, fn)
    for (const line of now) if (!told.has(identityOf(line))) yield line
    told = new Set(now.map(identityOf))
  }
}

async function readLines(registry: NodeRegistry, fn: string): Promise<LogLine[]> {
  const asked = registry.nodes().map(async (node) => {
    const answer = await node.ask({ kind: 'logs', function: fn, tail: MOST_LINES })
    if (!Array.isArray(answer)) return []
    return answer.slice(-MOST_LINES).filter((line): line is LogLine => isLine(line, fn))
  })
  const lines = (await Promise.all(asked)).flat()
  return lines.sort((a, b) => a.time - b.time)
}

/** Nodes are other machines: what they send is looked at. */
function isLine(line: unknown, fn: string): boolean {
  const {
    time,
    instance,
    stream,
    text,
    function: key,
  } = (line ?? {}) as Partial<Record<keyof LogLine, unknown>>
  return (
    typeof time === 'number' &&
    Number.isFinite(time) &&
    (stream === 'stdout' || stream === 'stderr') &&
    [instance, text, key].every((one) => typeof one === 'string') &&
    (fn === '' || key === fn)
  )
}

function identityOf({ time, instance, stream, text }: LogLine): string {
  return `${time} ${instance} ${stream} ${text}`
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms)
    signal.addEventListener('abort', () => {
      clearTimeout(timer)
      resolve()
    })
  })
}
