import { setTimeout as pause } from 'node:timers/promises'
import { create, type MessageInitShape } from '@bufbuild/protobuf'
import { MessageQueue } from '../nodes/message-queue.ts'
import {
  type Event,
  type WatchRequest,
  WatchRequestSchema,
  type WatchResponse,
} from '../proto/etcd/etcd_pb.js'
import type { EtcdClient } from './etcd-client.ts'
import { rangeOf } from './etcd-layout.ts'

export interface EtcdWatchOptions {
  client: EtcdClient
  /** Ends the watch. */
  signal: AbortSignal
  /** Keys that start with it are watched. */
  prefix: string
  /** The first revision to hear of. */
  from: number
  /** All events of one revision, in the order of revisions; the next one waits for it. Where it rejects, events count as lost. */
  changed(events: readonly Event[], revision: number): Promise<void>
  /** Events may have been missed; those after the call are whole again. */
  lost(): void
}

/** A member is asked for a sign of life so often; without one for so long another one is asked. In milliseconds. */
const ASK_MS = 2_000
const SILENCE_MS = 6_000
const RETRY_MS = 100

/** Watches until its signal aborts, whatever becomes of members and connections. */
export async function watchEtcd(options: EtcdWatchOptions): Promise<void> {
  const { client, signal } = options
  const position: Position = { next: options.from, gap: false }
  while (!signal.aborted) {
    const { member } = client
    try {
      await watchOnce(options, position)
    } catch {
      // Begins again where it was, there or elsewhere.
    }
    if (signal.aborted) return
    client.leave(member)
    await pause(RETRY_MS, undefined, { signal }).catch(() => {})
  }
}

interface Position {
  /** The first revision that was not told. */
  next: number
  /** What came before `next` cannot be told any more. */
  gap: boolean
}

/** One stream, until it ends: its connection, or the history that it needs, is gone. */
async function watchOnce(options: EtcdWatchOptions, position: Position): Promise<void> {
  const { client, signal, prefix } = options
  const requests = new MessageQueue<WatchRequest>(100)
  const ended = new AbortController()
  const end = () => ended.abort()
  signal.addEventListener('abort', end)
  let heardAt = performance.now()
  const asking = setInterval(() => {
    if (performance.now() - heardAt > SILENCE_MS) end()
    else requests.push(request({ case: 'progressRequest', value: {} }))
  }, ASK_MS)
  asking.unref()
  const startRevision = BigInt(position.gap ? 0 : position.next)
  requests.push(request({ case: 'createRequest', value: { ...rangeOf(prefix), startRevision } }))
  // A member that has lost its cluster ends the stream instead of staying silent.
  const call = { signal: ended.signal, headers: { hasleader: 'true' } }
  try {
    for await (const response of client.member.watch.watch(requests, call)) {
      heardAt = performance.now()
      if (!(await take(options, position, response))) return
      heardAt = performance.now()
    }
  } finally {
    clearInterval(asking)
    signal.removeEventListener('abort', end)
    requests.end()
    end()
  }
}

/** False where the watch has to begin anew. */
async function take(
  { changed, lost }: EtcdWatchOptions,
  position: Position,
  { header, created, canceled, events }: WatchResponse,
): Promise<boolean> {
  if (canceled) {
    // The history that was asked for is compacted: goes on from now.
    position.gap = true
    return false
  }
  if (created && position.gap) {
    position.next = Number(header!.revision) + 1
    position.gap = false
    lost()
  }
  for (let from = 0; from < events.length; ) {
    const revision = Number(events[from]!.kv!.modRevision)
    let to = from
    while (to < events.length && Number(events[to]!.kv!.modRevision) === revision) to++
    try {
      await changed(events.slice(from, to), revision)
    } catch {
      lost()
    }
    position.next = revision + 1
    from = to
  }
  return true
}

function request(union: MessageInitShape<typeof WatchRequestSchema>['requestUnion']): WatchRequest {
  return create(WatchRequestSchema, { requestUnion: union! })
}
