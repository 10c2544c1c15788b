import { Code, ConnectError } from '@connectrpc/connect'
import type { EtcdClient } from './etcd-client.ts'
import { type EtcdLayout, modifiedAt, put, rangeOf, read, textOf } from './etcd-layout.ts'
import { keyValues } from './etcd-reads.ts'
import { StoreError } from './store.ts'

/** Brings what is stored from one version to the next; may be run again where it was broken off. */
export type EtcdMigration = (client: EtcdClient, layout: EtcdLayout) => Promise<void>

/** Each brings the store from the version of its index, counted from 1, to the next one. Never change one that has been released. */
const MIGRATIONS: readonly EtcdMigration[] = []

interface SchemaValue {
  program: 'mayfly'
  version: number
}

/**
 * Sees to it that the store is one of ours, and of this version. Gives the revision of the schema's key: a commit that names
 * it fails once a newer Mayfly has changed the schema. Throws a StoreError.
 */
export async function prepareSchema(
  client: EtcdClient,
  layout: EtcdLayout,
  migrations: readonly EtcdMigration[] = MIGRATIONS,
): Promise<number> {
  const newest = migrations.length + 1
  for (;;) {
    const { version, revision } = await readSchema(client, layout)
    if (version === newest) return revision
    if (version > newest)
      throw new StoreError(
        'too-new',
        `etcd: ${layout.schema} was written by a newer Mayfly (schema ${version}, this one knows up to ${newest}): use that one`,
      )
    if (version > 0) await migrations[version - 1]!(client, layout)
    const next: SchemaValue = { program: 'mayfly', version: version === 0 ? newest : version + 1 }
    const transaction = {
      compare: [modifiedAt(layout.schema, revision)],
      success: [put(layout.schema, JSON.stringify(next))],
    }
    await client.call(({ kv }, options) => kv.txn(transaction, options))
  }
}

async function readSchema(
  client: EtcdClient,
  layout: EtcdLayout,
): Promise<{ version: number; revision: number }> {
  const any = { request: { case: 'requestRange' as const, value: { ...rangeOf(layout.all), limit: 1n } } }
  const answer = await refusedClearly(() =>
    client.call(({ kv }, options) => kv.txn({ success: [read(layout.schema), any] }, options)),
  )
  const [schema, some] = keyValues(answer)
  if (!schema) {
    if (!some) return { version: 0, revision: 0 }
    const there = textOf(some.key)
    throw new StoreError(
      'damaged',
      `etcd: ${there} is there and ${layout.schema} is not: the keys are another program's: name another prefix with --store etcd://HOST:PORT/PREFIX`,
    )
  }
  const value = parsed(textOf(schema.value))
  if (value?.program !== 'mayfly' || !Number.isInteger(value.version) || value.version < 1)
    throw new StoreError('damaged', `etcd: ${layout.schema} is not what Mayfly writes: name another prefix`)
  return { version: value.version, revision: Number(schema.modRevision) }
}

/** What etcd says when it does not let us in is no matter of the network. */
async function refusedClearly<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call()
  } catch (error) {
    if (error instanceof StoreError) throw error
    const { code, rawMessage } = ConnectError.from(error)
    const what =
      code === Code.PermissionDenied || code === Code.Unauthenticated || code === Code.InvalidArgument
        ? ': give a user that may read and write under the prefix, with --store-user and --store-password-file'
        : ''
    throw new StoreError('unavailable', `etcd refuses: ${rawMessage}${what}`)
  }
}

function parsed(text: string): SchemaValue | null {
  try {
    return JSON.parse(text) as SchemaValue
  } catch {
    return null
  }
}
