import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { readStorePlace, type StoreOptions } from './etcd-place.ts'

const folder = mkdtempSync(join(tmpdir(), 'mayfly-place-'))
after(() => rmSync(folder, { recursive: true, force: true }))
const file = (name: string, text: string) => {
  const path = join(folder, name)
  writeFileSync(path, text)
  return path
}
const read = (options: StoreOptions) => {
  const place = readStorePlace(options)
  assert.ok(place.ok, JSON.stringify(place))
  return place.value
}
const refused = (options: StoreOptions, why: RegExp) => {
  const place = readStorePlace(options)
  assert.ok(!place.ok)
  assert.match(place.message, why)
}

test('a store is a file, or etcd with members, prefix, TLS and user', () => {
  assert.deepEqual(read({}), { kind: 'file' })
  assert.deepEqual(read({ store: 'etcd://a:2379' }), {
    kind: 'etcd',
    etcd: { endpoints: ['a:2379'] },
    prefix: 'mayfly',
  })
  const pem = file('a.pem', '-----BEGIN CERTIFICATE-----\n')
  const options = {
    store: 'etcd://10.0.0.1:2379,[::1]:2380/team/mesh',
    storeCa: pem,
    storeUser: 'mayfly',
    storePasswordFile: file('password', 'se:cret \n'),
  }
  assert.deepEqual(read(options), {
    kind: 'etcd',
    etcd: {
      endpoints: ['10.0.0.1:2379', '[::1]:2380'],
      tls: { ca: '-----BEGIN CERTIFICATE-----\n' },
      user: { name: 'mayfly', password: 'se:cret ' },
    },
    prefix: 'team/mesh',
  })
})

test('what cannot be meant is refused with what to write', () => {
  for (const store of [
    'etcd://',
    'etcd://a',
    'redis://a:1',
    'a:2379',
    'etcd://a:1/x//y',
    'etcd://a:1?b=c',
    'etcd://a:1,',
  ])
    refused({ store }, /expected (etcd:\/\/)?HOST:PORT/)
  refused({ store: 'etcd://u:p@a:1' }, /--store-user and --store-password-file/)
  refused({ storeCa: 'x' }, /--store-ca is for etcd/)
  refused({ store: 'etcd://a:1', storeCert: 'x' }, /belong together/)
  refused({ store: 'etcd://a:1', storeUser: 'x' }, /belong together/)
  refused({ store: 'etcd://a:1', storeCa: join(folder, 'none') }, /--store-ca: ENOENT/)
  refused({ store: 'etcd://a:1', storeCa: file('b', 'hello') }, /expected PEM/)
})
