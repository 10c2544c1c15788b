import assert from 'node:assert/strict'
import { copyFileSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { EtcdServer } from '../../scripts/etcd.ts'
import type { StorePlace } from './etcd-place.ts'
import { type OpenedStore, openStore } from './open-store.ts'

const folder = mkdtempSync(join(tmpdir(), 'mayfly-open-'))
let server: EtcdServer
before(async () => {
  server = await EtcdServer.start()
})
after(async () => {
  await server.close()
  rmSync(folder, { recursive: true, force: true })
})

const FILE: StorePlace = { kind: 'file' }
const etcd = (prefix: string): StorePlace => ({
  kind: 'etcd',
  etcd: { endpoints: [server.endpoint] },
  prefix,
})
const open = (place: StorePlace, name: string, restore?: string): Promise<OpenedStore> => {
  const data = join(folder, name)
  return openStore({
    place,
    data,
    authorityKey: join(data, 'authority.key'),
    notice: () => {},
    ...(restore !== undefined && { restore }),
  })
}
const lead = ({ leadership }: OpenedStore) =>
  leadership.begin('https://here:1', { gained: async () => {}, lost: () => {} })
const put = async ({ store }: OpenedStore, key: string) => {
  const commit = await store.commit([{ kind: 'put', key, value: key }])
  assert.ok(commit.ok, JSON.stringify(commit))
}
const end = async (opened: OpenedStore) => {
  await opened.leadership.close()
  await opened.close()
}

test('a backup of a file is a new store with the same revisions, where there is none', async () => {
  const first = await open(FILE, 'one')
  await put(first, 'a')
  const backup = join(folder, 'one.backup')
  await first.store.backup(backup)
  const before = await first.store.list('')
  await put(first, 'b')
  await end(first)
  await assert.rejects(open(FILE, 'one', backup), /is there already: name an empty folder/)
  const restored = await open(FILE, 'two', backup)
  assert.deepEqual(await restored.store.list(''), before)
  await end(restored)
  const rubbish = join(folder, 'rubbish')
  writeFileSync(rubbish, 'hello')
  await assert.rejects(open(FILE, 'three', rubbish), /is no backup of Mayfly/)
  await assert.rejects(open(FILE, 'three', join(folder, 'none')), /no such file/)
  assert.ok(!existsSync(join(folder, 'three', 'store.sqlite')))
})

test('a mesh moves from a file to etcd, and back, and nodes go on trusting it', async () => {
  const first = await open(FILE, 'moving')
  await put(first, 'a')
  const backup = join(folder, 'moving.backup')
  await first.store.backup(backup)
  const { root } = first.authority
  await end(first)
  const shared = await open(etcd('moved'), 'moving', backup)
  assert.equal(shared.authority.root, root)
  await lead(shared)
  assert.equal((await shared.store.get('a'))?.value, 'a')
  await put(shared, 'b')
  await assert.rejects(open(etcd('moved'), 'other'), /copy it from the control plane/)
  const back = join(folder, 'back.backup')
  await shared.store.backup(back)
  await assert.rejects(open(etcd('moved'), 'moving', back), /has \d entries already/)
  await end(shared)
  await assert.rejects(open(FILE, 'home', back), /copy it from the control plane/)
  copyFileSync(join(folder, 'moving', 'authority.key'), join(folder, 'home', 'authority.key'))
  const home = await open(FILE, 'home', back)
  assert.equal(home.authority.root, root)
  assert.equal((await home.store.get('b'))?.value, 'b')
  await end(home)
})

test('only the one that leads writes to a shared store', async () => {
  const one = await open(etcd('shared'), 'first')
  const key = join(folder, 'first', 'authority.key')
  const early = await one.store.commit([{ kind: 'put', key: 'a', value: '' }])
  assert.ok(!early.ok && early.kind === 'unavailable')
  const two = await openStore({
    place: etcd('shared'),
    data: join(folder, 'second'),
    authorityKey: key,
    notice: () => {},
  })
  assert.equal(two.authority.root, one.authority.root)
  await lead(one)
  await lead(two)
  await put(one, 'a')
  const refused = await two.store.commit([{ kind: 'put', key: 'b', value: '' }])
  assert.ok(!refused.ok && refused.kind === 'unavailable' && /https:\/\/here:1/.test(refused.reason))
  await assert.rejects(two.authority.beginEpoch(), /stands by/)
  await one.authority.beginEpoch()
  await two.authority.refresh()
  assert.equal(two.authority.epoch, 2)
  await end(two)
  await end(one)
})
