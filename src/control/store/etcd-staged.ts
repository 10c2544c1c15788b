import type { Compare } from '../proto/etcd/etcd_pb.js'
import type { EtcdClient } from './etcd-client.ts'
import {
  bytesOf,
  type EtcdLayout,
  entryValue,
  type Head,
  headValue,
  isThere,
  MOST_BYTES,
  MOST_OPERATIONS,
  modifiedAt,
  type Operation,
  put,
  rangeOf,
  readHead,
  remove,
  removeAll,
  textOf,
} from './etcd-layout.ts'
import { type Entry, type Event, StoreError } from './store.ts'

// A commit that is larger than one transaction may be is first written aside, in parts; then one transaction names it the head,
// and from then on it counts: whoever reads lays it over the entries. At last its changes are brought to the entries, in
// transactions that each go on in the chain, by its writer or, if that one died, by the next one.

/** A change of a staged commit: a deletion has no value and is there only for a key that was. */
export interface StagedChange {
  key: string
  value: string | null
  /** Revision of the commit that first wrote the key; 0: this one. */
  created: number
}

/** Writes the parts; gives how many. They count for nothing yet. */
export async function stage(
  client: EtcdClient,
  layout: EtcdLayout,
  guard: readonly Compare[],
  id: string,
  changes: readonly StagedChange[],
): Promise<number | null> {
  const bytes = bytesOf(JSON.stringify(changes))
  const parts = Math.ceil(bytes.length / MOST_BYTES)
  for (let part = 0; part < parts; part++) {
    const value = bytes.subarray(part * MOST_BYTES, (part + 1) * MOST_BYTES)
    const transaction = { compare: [...guard], success: [put(layout.staged(id, part), value)] }
    const { succeeded } = await client.call(({ kv }, options) => kv.txn(transaction, options))
    if (!succeeded) return null
  }
  return parts
}

/** The changes of the head's commit, as they lay at a revision (0: now). */
export async function readStaged(
  client: EtcdClient,
  layout: EtcdLayout,
  { id, staged }: Head,
  revision: number,
): Promise<StagedChange[]> {
  const parts: Uint8Array[] = []
  for (let part = 0; part < staged; part++) {
    const range = { key: bytesOf(layout.staged(id, part)), revision: BigInt(revision) }
    const { kvs } = await client.call(({ kv }, options) => kv.range(range, options))
    if (!kvs[0])
      throw new StoreError('damaged', `etcd: ${layout.staged(id, part)} is missing: restore a backup`)
    parts.push(kvs[0].value)
  }
  return JSON.parse(textOf(Buffer.concat(parts))) as StagedChange[]
}

export function stagedEvents(changes: readonly StagedChange[], revision: number): Event[] {
  return changes.map(({ key, value, created }) => {
    const entry: Entry | null =
      value === null ? null : { key, value, created: created || revision, modified: revision }
    return { key, entry }
  })
}

/** Brings a staged commit to the entries; gives the head after it, or null where somebody else went on with the chain. */
export async function settle(
  client: EtcdClient,
  layout: EtcdLayout,
  guard: readonly Compare[],
  head: Head,
): Promise<Head | null> {
  const { id, staged, revision } = head
  const changes = await stillStaged(client, layout, head)
  if (changes === null) return null
  let { position } = head
  const advance = async (operations: Operation[], value: string): Promise<boolean> => {
    const transaction = {
      compare: [...guard, modifiedAt(layout.head, position)],
      success: [put(layout.head, value), ...operations],
    }
    const { succeeded, header } = await client.call(({ kv }, options) => kv.txn(transaction, options))
    if (succeeded) position = Number(header!.revision)
    return succeeded
  }
  for (const operations of batches(changes.map((change) => operationOf(layout, change, revision))))
    if (!(await advance(operations, headValue({ id, staged, at: revision })))) return null
  const done = await advance([removeAll(layout.staged(id))], headValue({ id, at: revision }))
  return done ? { id, position, revision, staged: 0 } : null
}

/** Null where somebody else has gone on with the chain. */
async function stillStaged(
  client: EtcdClient,
  layout: EtcdLayout,
  head: Head,
): Promise<StagedChange[] | null> {
  try {
    return await readStaged(client, layout, head, 0)
  } catch (error) {
    const range = { key: bytesOf(layout.head) }
    const { kvs } = await client.call(({ kv }, options) => kv.range(range, options))
    if (readHead(kvs[0]).position === head.position) throw error
    return null
  }
}

/**
 * Removes parts that no commit came to name: their writer died. Only for who has none under way; that of a writer that is no more
 * allowed to write cannot be named any more (partsAreThere).
 */
export async function removeAbandoned(
  client: EtcdClient,
  layout: EtcdLayout,
  guard: readonly Compare[],
  head: Head,
): Promise<void> {
  const range = { ...rangeOf(layout.staged()), limit: 1n }
  const { kvs } = await client.call(({ kv }, options) => kv.range(range, options))
  if (kvs.length === 0) return
  const transaction = {
    compare: [...guard, modifiedAt(layout.head, head.position)],
    success: [removeAll(layout.staged())],
  }
  await client.call(({ kv }, options) => kv.txn(transaction, options))
}

/** Holds where a commit's parts are all there: whoever removes one removes all, and this one was written first. */
export function partsAreThere(layout: EtcdLayout, id: string): Compare {
  return isThere(layout.staged(id, 0))
}

function operationOf(layout: EtcdLayout, { key, value, created }: StagedChange, revision: number): Operation {
  if (value === null) return remove(layout.entry(key))
  return put(layout.entry(key), entryValue(value, { created: created || revision, modified: revision }))
}

function batches(operations: readonly Operation[]): Operation[][] {
  const all: Operation[][] = []
  let bytes = MOST_BYTES
  for (const operation of operations) {
    const size = operation.request?.case === 'requestPut' ? operation.request.value.value!.length : 0
    const last = all.at(-1)
    if (!last || last.length >= MOST_OPERATIONS || bytes + size > MOST_BYTES) {
      all.push([operation])
      bytes = size
    } else {
      last.push(operation)
      bytes += size
    }
  }
  return all
}
