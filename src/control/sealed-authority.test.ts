import assert from 'node:assert/strict'
import { chmodSync, copyFileSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { CertificateAuthority } from './certificate-authority.ts'
import { sealedAuthority } from './sealed-authority.ts'
import { openSqliteStore } from './store/sqlite-store.ts'
import type { Store } from './store/store.ts'

const folder = mkdtempSync(join(tmpdir(), 'mayfly-sealed-'))
const file = join(folder, 'authority.key')
let store: Store
before(async () => {
  store = await openSqliteStore(join(folder, 'store.sqlite'))
})
after(async () => {
  await store.close()
  rmSync(folder, { recursive: true, force: true })
})

const open = async (path: string) => CertificateAuthority.open({ keys: await sealedAuthority(store, path) })

test('an authority in a store is one for all who have its key, and its private keys are in the store for nobody else', async () => {
  const first = await open(file)
  assert.equal(statSync(file).mode & 0o777, 0o600)
  const copied = join(folder, 'copied.key')
  copyFileSync(file, copied)
  const second = await open(copied)
  assert.equal(second.root, first.root)
  await first.beginEpoch()
  assert.equal(second.epoch, 1)
  await second.refresh()
  assert.deepEqual(second.anchor, first.anchor)
  await second.beginEpoch()
  assert.equal((await open(file)).epoch, 3)
  // The first one has not heard of the third epoch: it does not write another one over it.
  await assert.rejects(first.beginEpoch(), /at the same time/)
  const { value } = (await store.get('authority'))!
  assert.ok(!value.includes('PRIVATE KEY'))
  const secret = readFileSync(file, 'utf8').trim()
  assert.ok(!value.includes(secret))
})

test('without the key, with another one, or after what lies there was changed, nothing is opened', async () => {
  await assert.rejects(open(join(folder, 'none.key')), /no such file: copy it from/)
  const other = join(folder, 'other.key')
  writeFileSync(other, Buffer.alloc(32, 7).toString('base64'), { mode: 0o600 })
  await assert.rejects(open(other), /is not the key/)
  writeFileSync(other, 'short', { mode: 0o600 })
  await assert.rejects(open(other), /32 bytes in base64/)
  chmodSync(file, 0o640)
  await assert.rejects(open(file), /chmod 600/)
  chmodSync(file, 0o600)
  const entry = (await store.get('authority'))!
  const stranger = await CertificateAuthority.open()
  const value = JSON.parse(entry.value)
  value.root.certificate = stranger.root
  await store.commit([{ kind: 'put', key: 'authority', value: JSON.stringify(value) }])
  await assert.rejects(open(file), /tampered/)
  await store.commit([{ kind: 'put', key: 'authority', value: entry.value }])
  await open(file)
})
