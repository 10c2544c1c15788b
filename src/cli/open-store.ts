import {
  closeSync,
  copyFileSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  renameSync,
  rmSync,
} from 'node:fs'
import { join } from 'node:path'
import { openAuthorityFolder } from '../control/authority-folder.ts'
import { CertificateAuthority } from '../control/certificate-authority.ts'
import { type Leadership, soleLeadership } from '../control/leadership.ts'
import { LeaseLeadership } from '../control/leadership-lease.ts'
import { checkSealed, sealedAuthority } from '../control/sealed-authority.ts'
import { readBackup } from '../control/store/backup-file.ts'
import { EtcdClient } from '../control/store/etcd-client.ts'
import { forgetHistory } from '../control/store/etcd-history.ts'
import { EtcdLayout } from '../control/store/etcd-layout.ts'
import { openEtcdStore } from '../control/store/etcd-store.ts'
import { openSqliteStore } from '../control/store/sqlite-store.ts'
import { type Store, StoreError } from '../control/store/store.ts'
import type { StorePlace } from './etcd-place.ts'

/** What a control plane decides by: its resources, its certificate authority, and whether it is its turn. */
export interface OpenedStore {
  store: Store
  authority: CertificateAuthority
  leadership: Leadership
  /** After all else that uses it. */
  close(): Promise<void>
}

export interface OpenStoreOptions {
  place: StorePlace
  /** The control plane's own folder. */
  data: string
  /** What the authority's keys in a shared store are sealed by. */
  authorityKey: string
  /** A backup that fills the store, which must be empty; absent: the store is as it is. */
  restore?: string
  notice(text: string): void
}

/** Opens it; throws an Error that says what is wrong and what to do. */
export async function openStore(options: OpenStoreOptions): Promise<OpenedStore> {
  mkdirSync(options.data, { recursive: true, mode: 0o700 })
  return options.place.kind === 'file' ? openFile(options) : openEtcd(options, options.place)
}

async function openFile({ data, authorityKey, restore }: OpenStoreOptions): Promise<OpenedStore> {
  const file = join(data, 'store.sqlite')
  if (restore !== undefined) restoreFile(restore, file, authorityKey)
  const store = await openSqliteStore(file)
  try {
    const authority = await fileAuthority(store, data, authorityKey)
    return { store, authority, leadership: soleLeadership(), close: () => store.close() }
  } catch (error) {
    await store.close()
    throw error
  }
}

/** A store that was restored from a shared one has its authority in it. */
async function fileAuthority(store: Store, data: string, key: string): Promise<CertificateAuthority> {
  const isShared = (await store.get('authority')) !== null
  const place = isShared ? { keys: await sealedAuthority(store, key) } : { folder: join(data, 'authority') }
  return CertificateAuthority.open(place)
}

/** A backup is a store as it is; it becomes ours whole or not at all. */
function restoreFile(backup: string, file: string, authorityKey: string): void {
  if (existsSync(file))
    throw new StoreError(
      'unavailable',
      `--restore: ${file} is there already: name an empty folder with --data`,
    )
  checkSealed(readBackup(backup), authorityKey)
  const partial = `${file}.restore`
  try {
    copyFileSync(backup, partial)
    const copy = openSync(partial, 'r+')
    fsyncSync(copy)
    closeSync(copy)
    renameSync(partial, file)
  } finally {
    rmSync(partial, { force: true })
  }
}

async function openEtcd(
  { data, authorityKey, restore, notice }: OpenStoreOptions,
  { etcd, prefix }: Extract<StorePlace, { kind: 'etcd' }>,
): Promise<OpenedStore> {
  const client = new EtcdClient(etcd)
  try {
    // Nobody leads yet; each of these commits is on condition that there is nothing.
    const first = await openEtcdStore({ client, prefix })
    if (restore !== undefined) {
      const entries = readBackup(restore)
      checkSealed(entries, authorityKey)
      const filled = await first.fill(entries)
      if (!filled.ok)
        throw new StoreError(
          'unavailable',
          `--restore: the store cannot be filled: ${filled.kind === 'conflict' ? `${filled.key} is there already` : filled.reason}: name another prefix with --store etcd://HOST:PORT/PREFIX`,
        )
    }
    await beginSharedAuthority(first, authorityKey, join(data, 'authority'))
    await first.close()
    const leadership = new LeaseLeadership({ client, etcd, prefix, notice })
    const store = await openEtcdStore({
      client,
      prefix,
      permission: () => leadership.permission(),
      fenced: () => leadership.fenced(),
      outdated: (why) => leadership.retire(why),
    })
    const authority = await CertificateAuthority.open({ keys: await sealedAuthority(store, authorityKey) })
    const layout = new EtcdLayout(prefix)
    const stop = forgetHistory({ client, layout, leads: () => leadership.leads, notice })
    return {
      store,
      authority,
      leadership,
      close: async () => {
        stop()
        await store.close()
        client.close()
      },
    }
  } catch (error) {
    client.close()
    throw error
  }
}

/** Makes the store's authority where it has none; that of a mesh that was begun with a store of its own goes on. */
async function beginSharedAuthority(store: Store, file: string, folder: string): Promise<void> {
  const keys = await sealedAuthority(store, file)
  if ((await keys.read()) !== null) return
  const own = existsSync(folder) ? await openAuthorityFolder(folder).read() : null
  if (own === null) return void (await CertificateAuthority.open({ keys }))
  await keys.writeRoot(own.root)
  await keys.writeEpoch(own.epoch, own.intermediate)
}
