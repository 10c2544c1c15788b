import { Code, ConnectError } from '@connectrpc/connect'
import type { KeyValue, TxnResponse } from '../proto/etcd/etcd_pb.js'
import type { EtcdClient } from './etcd-client.ts'
import {
  bytesOf,
  type EtcdLayout,
  type Head,
  MOST_OPERATIONS,
  rangeOf,
  read,
  readEntry,
  readHead,
} from './etcd-layout.ts'
import { readStaged, stagedEvents } from './etcd-staged.ts'
import { type Entry, type Listing, StoreError } from './store.ts'

/** Keys that are read with one call at most. */
const PAGE = 1_000

/** The head, and the entries of `keys` as they lie in etcd: where the head is staged, without what its commit changes. */
export async function readEntries(
  client: EtcdClient,
  layout: EtcdLayout,
  keys: readonly string[],
): Promise<{ head: Head; entries: Map<string, Entry>; revision: number }> {
  const entries = new Map<string, Entry>()
  let head: Head | null = null
  let revision = 0
  for (let from = 0; head === null || from < keys.length; from += MOST_OPERATIONS) {
    const paths = keys.slice(from, from + MOST_OPERATIONS).map((key) => layout.entry(key))
    const success = [layout.head, ...paths].map(read)
    const answer = await client.call(({ kv }, options) => kv.txn({ success }, options))
    const [first, ...rest] = keyValues(answer)
    const seen = readHead(first)
    if (head && head.position !== seen.position) return readEntries(client, layout, keys)
    head = seen
    revision = Number(answer.header!.revision)
    for (const kv of rest) {
      if (!kv) continue
      const entry = readEntry(layout, kv)
      entries.set(entry.key, entry)
    }
  }
  return { head, entries, revision }
}

export function getEntry(client: EtcdClient, layout: EtcdLayout, key: string): Promise<Entry | null> {
  return uncompacted(async () => {
    const { head, entries, revision } = await readEntries(client, layout, [key])
    const staged = head.staged > 0 ? await overlay(client, layout, head, revision) : []
    const event = staged.find((one) => one.key === key)
    return event ? event.entry : (entries.get(key) ?? null)
  })
}

/** All entries with the prefix, as of one revision. */
export function listEntries(client: EtcdClient, layout: EtcdLayout, prefix: string): Promise<Listing> {
  return uncompacted(() => listOnce(client, layout, prefix))
}

/** Begins anew where the revision that was read first is compacted before the rest was read. */
async function uncompacted<T>(reading: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await reading()
    } catch (error) {
      if (error instanceof StoreError) throw error
      const { code, rawMessage } = ConnectError.from(error)
      if (code !== Code.OutOfRange) throw new StoreError('unavailable', `etcd: ${rawMessage}`)
    }
  }
}

async function listOnce(client: EtcdClient, layout: EtcdLayout, prefix: string): Promise<Listing> {
  const { key, rangeEnd } = rangeOf(layout.entry(prefix))
  const limit = BigInt(PAGE)
  const first = { request: { case: 'requestRange' as const, value: { key, rangeEnd, limit } } }
  const answer = await client.call(({ kv }, options) =>
    kv.txn({ success: [read(layout.head), first] }, options),
  )
  const head = readHead(keyValues(answer)[0])
  const revision = answer.header!.revision
  let page = rangeAnswers(answer)[1]!
  const found: KeyValue[] = [...page.kvs]
  while (page.more) {
    const next = { key: Buffer.concat([found.at(-1)!.key, bytesOf('\0')]), rangeEnd, limit, revision }
    page = await client.call(({ kv }, options) => kv.range(next, options))
    found.push(...page.kvs)
  }
  const entries = found.map((kv) => readEntry(layout, kv))
  if (head.staged === 0) return { entries, revision: head.revision }
  const byKey = new Map(entries.map((entry) => [entry.key, entry]))
  for (const { key: changed, entry } of await overlay(client, layout, head, Number(revision))) {
    if (!changed.startsWith(prefix)) continue
    if (entry) byKey.set(changed, entry)
    else byKey.delete(changed)
  }
  const sorted = [...byKey.values()].toSorted((a, b) => Buffer.compare(bytes(a), bytes(b)))
  return { entries: sorted, revision: head.revision }
}

function bytes({ key }: Entry): Buffer {
  return Buffer.from(key)
}

async function overlay(client: EtcdClient, layout: EtcdLayout, head: Head, revision: number) {
  return stagedEvents(await readStaged(client, layout, head, revision), head.revision)
}

function rangeAnswers({ responses }: TxnResponse) {
  return responses.map(({ response }) =>
    response.case === 'responseRange' ? response.value : { kvs: [], more: false },
  )
}

/** The only key-value of each range of a transaction, in order. */
export function keyValues(answer: TxnResponse): (KeyValue | undefined)[] {
  return rangeAnswers(answer).map(({ kvs }) => kvs[0])
}
