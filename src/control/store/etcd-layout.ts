// How the store lies in etcd: under one prefix, by these keys.
//   PREFIX/schema            which Mayfly wrote it
//   PREFIX/leader            who leads (leadership-lease.ts)
//   PREFIX/head              the last commit; every commit is a transaction that finds the head as its writer knew it, and puts the
//                            next one: so commits form one chain, and a try that was lost on the way can be told from one that was not
//   PREFIX/entries/KEY       an entry: a line of JSON (its revisions, where they are not etcd's own for that key), then the value
//   PREFIX/staged/ID/NUMBER  parts of a commit that is larger than a transaction may be (etcd-staged.ts)

import { create, type MessageInitShape } from '@bufbuild/protobuf'
import type { KeyValue, RequestOpSchema } from '../proto/etcd/etcd_pb.js'
import {
  type Compare,
  Compare_CompareResult,
  Compare_CompareTarget,
  CompareSchema,
} from '../proto/etcd/etcd_pb.js'
import type { Entry } from './store.ts'

export type Operation = MessageInitShape<typeof RequestOpSchema>

/** etcd's own default bounds are 128 operations and 1.5 MiB for a transaction; what is beside the changes fits in the rest. */
export const MOST_OPERATIONS = 100
export const MOST_BYTES = 1024 * 1024

export interface Head {
  /** Of the commit, made up by its writer; "" before the first one. */
  id: string
  /** Revision of the head's key, 0 before the first commit. */
  position: number
  /** Revision of the commit. */
  revision: number
  /** Parts of the commit that are not yet brought to the entries; 0: all are. */
  staged: number
}

export class EtcdLayout {
  readonly #prefix: string

  /** `prefix` has no slash at its ends. */
  constructor(prefix: string) {
    this.#prefix = `${prefix}/`
  }

  get all(): string {
    return this.#prefix
  }

  get schema(): string {
    return `${this.#prefix}schema`
  }

  get leader(): string {
    return `${this.#prefix}leader`
  }

  get head(): string {
    return `${this.#prefix}head`
  }

  entry(key: string): string {
    return `${this.#prefix}entries/${key}`
  }

  /** The entry's key that lies at `path`, or null. */
  entryKey(path: string): string | null {
    const start = `${this.#prefix}entries/`
    return path.startsWith(start) ? path.slice(start.length) : null
  }

  /** All staged parts, those of one commit, or one of them. */
  staged(id = '', number?: number): string {
    const folder = `${this.#prefix}staged/`
    if (id === '') return folder
    return `${folder}${id}/${number === undefined ? '' : String(number).padStart(6, '0')}`
  }
}

const encoder = new TextEncoder()
const decoder = new TextDecoder()

export function bytesOf(text: string): Uint8Array {
  return encoder.encode(text)
}

export function textOf(bytes: Uint8Array): string {
  return decoder.decode(bytes)
}

/** The range of all keys that start with `prefix`, which is not empty. */
export function rangeOf(prefix: string): { key: Uint8Array; rangeEnd: Uint8Array } {
  const key = bytesOf(prefix)
  const rangeEnd = Uint8Array.from(key)
  // UTF-8 has no byte 0xff.
  rangeEnd[rangeEnd.length - 1]!++
  return { key, rangeEnd }
}

export function read(key: string): Operation {
  return { request: { case: 'requestRange', value: { key: bytesOf(key) } } }
}

export function put(key: string, value: string | Uint8Array): Operation {
  const bytes = typeof value === 'string' ? bytesOf(value) : value
  return { request: { case: 'requestPut', value: { key: bytesOf(key), value: bytes } } }
}

export function remove(key: string): Operation {
  return { request: { case: 'requestDeleteRange', value: { key: bytesOf(key) } } }
}

export function removeAll(prefix: string): Operation {
  return { request: { case: 'requestDeleteRange', value: rangeOf(prefix) } }
}

/** Holds where the key was written last by that revision; 0: where it is absent. */
export function modifiedAt(key: string, revision: number): Compare {
  const target = Compare_CompareTarget.MOD
  const targetUnion = { case: 'modRevision' as const, value: BigInt(revision) }
  return create(CompareSchema, { key: bytesOf(key), target, targetUnion })
}

/** Holds where the key has been there since that revision. */
export function createdAt(key: string, revision: number): Compare {
  const target = Compare_CompareTarget.CREATE
  const targetUnion = { case: 'createRevision' as const, value: BigInt(revision) }
  return create(CompareSchema, { key: bytesOf(key), target, targetUnion })
}

/** Holds where the key is there. */
export function isThere(key: string): Compare {
  return create(CompareSchema, {
    result: Compare_CompareResult.NOT_EQUAL,
    key: bytesOf(key),
    target: Compare_CompareTarget.CREATE,
    targetUnion: { case: 'createRevision', value: 0n },
  })
}

interface HeadValue {
  id: string
  staged?: number
  /** The commit's revision, where the head was written again since. */
  at?: number
}

export function headValue(head: HeadValue): string {
  return JSON.stringify(head)
}

export function readHead(kv: KeyValue | undefined): Head {
  if (!kv) return { id: '', position: 0, revision: 0, staged: 0 }
  const { id, staged = 0, at } = JSON.parse(textOf(kv.value)) as HeadValue
  const position = Number(kv.modRevision)
  return { id, position, revision: at ?? position, staged }
}

/** What lies at an entry's key; revisions that are etcd's own are left out. */
export function entryValue(value: string, revisions: { created?: number; modified?: number }): Uint8Array {
  const { created, modified } = revisions
  return bytesOf(`${created || modified ? JSON.stringify({ created, modified }) : ''}\n${value}`)
}

export function readEntry(layout: EtcdLayout, kv: KeyValue): Entry {
  const text = textOf(kv.value)
  const end = text.indexOf('\n')
  const own = end > 0 ? (JSON.parse(text.slice(0, end)) as { created?: number; modified?: number }) : {}
  return {
    key: layout.entryKey(textOf(kv.key))!,
    value: text.slice(end + 1),
    created: own.created ?? Number(kv.createRevision),
    modified: own.modified ?? Number(kv.modRevision),
  }
}
