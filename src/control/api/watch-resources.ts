import { Code, ConnectError } from '@connectrpc/connect'
import type { KeptResource } from '../resources/kept-resource.ts'
import type { ResourceChange } from '../resources/resource-change.ts'
import type { ResourceStore } from '../resources/resource-store.ts'
import { type ListQuery, listResources, readQuery, toItem } from './list-resources.ts'

/** Events that a watcher may leave unread; one more ends its watch. */
const MOST_UNREAD = 10_000

export type WatchEvent =
  | { type: 'added' | 'modified' | 'deleted'; item: ReturnType<typeof toItem> }
  | { type: 'synced' }

/** What there is, `synced`, then every change until the signal aborts. */
export async function* watchResources(
  query: ListQuery,
  resources: ResourceStore,
  signal: AbortSignal,
): AsyncGenerator<WatchEvent> {
  const read = readQuery(query)
  const listed = listResources(query, resources.kept)
  if (!read.ok || !listed.ok) throw new ConnectError(read.ok ? '' : read.message, Code.InvalidArgument)
  const unread: WatchEvent[] = []
  let wake = () => {}
  const stop = resources.watch((changes) => {
    for (const change of changes) {
      const event = toEvent(change, read.matches)
      if (event) unread.push(event)
    }
    wake()
  })
  signal.addEventListener('abort', () => wake())
  try {
    for (const one of listed.items) yield { type: 'added', item: toItem(one) }
    yield { type: 'synced' }
    while (!signal.aborted) {
      if (unread.length > MOST_UNREAD)
        throw new ConnectError('the watcher is too slow: list again', Code.ResourceExhausted)
      const event = unread.shift()
      if (event) yield event
      else
        await new Promise<void>((resolve) => {
          wake = resolve
          if (signal.aborted || unread.length > 0) resolve()
        })
    }
  } finally {
    stop()
  }
}

/** A resource that begins or ceases to match is added or deleted for the watcher. */
function toEvent(
  { action, before, after }: ResourceChange,
  matches: (kept: KeptResource) => boolean,
): WatchEvent | null {
  if (action === 'unchanged') return null
  const was = before !== null && matches(before)
  const is = after !== null && matches(after)
  if (is) return { type: was ? 'modified' : 'added', item: toItem(after) }
  return was ? { type: 'deleted', item: toItem(before) } : null
}
