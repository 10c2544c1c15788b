import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { EtcdServer } from '../../../scripts/etcd.ts'
import { readBackup } from './backup-file.ts'
import { EtcdClient } from './etcd-client.ts'
import type { Permission } from './etcd-commits.ts'
import { bytesOf, EtcdLayout, put, rangeOf } from './etcd-layout.ts'
import { type EtcdStore, openEtcdStore } from './etcd-store.ts'
import { listening, puts } from './etcd-testing.ts'
import { openSqliteStore } from './sqlite-store.ts'
import { MAX_CHANGES, StoreError } from './store.ts'
import { storeContract } from './store-testing.ts'

const folder = mkdtempSync(join(tmpdir(), 'mayfly-etcd-store-'))
let server: EtcdServer
let client: EtcdClient
let count = 0
const newPrefix = () => `test/${count++}`
const open = (prefix = newPrefix()): Promise<EtcdStore> => openEtcdStore({ client, prefix })

before(async () => {
  server = await EtcdServer.start()
  client = new EtcdClient({ endpoints: [server.endpoint] })
})
after(async () => {
  client.close()
  await server.close()
  rmSync(folder, { recursive: true, force: true })
})

describe('a store in etcd', () => storeContract(() => open()))

describe('a commit that is larger than a transaction of etcd', () => {
  test('is one commit: read, listed and told as a whole', async () => {
    const store = await open()
    const watching = listening(store, 'k/')
    const first = await store.commit([{ kind: 'put', key: 'k/00007', value: 'before' }])
    assert.ok(first.ok)
    const commit = await store.commit([
      ...puts(1_500, 'v').filter(({ key }) => key !== 'k/00007'),
      { kind: 'delete', key: 'k/00007', ifModified: first.revision },
      { kind: 'delete', key: 'k/none' },
      { kind: 'put', key: 'other', value: '' },
    ])
    assert.ok(commit.ok)
    const { entries, revision } = await store.list('k/')
    assert.equal(revision, commit.revision)
    assert.equal(entries.length, 1_499)
    assert.deepEqual(entries[0], {
      key: 'k/00000',
      value: 'v',
      created: commit.revision,
      modified: commit.revision,
    })
    assert.equal(await store.get('k/00007'), null)
    // What follows finds the revisions of the commit, not those of what brought it to the entries.
    const next = await store.commit([
      { kind: 'put', key: 'k/00001', value: 'next', ifModified: commit.revision },
    ])
    assert.ok(next.ok)
    assert.deepEqual(await store.get('k/00001'), {
      key: 'k/00001',
      value: 'next',
      created: commit.revision,
      modified: next.revision,
    })
    await watching.until(() => watching.heard.length === 3)
    assert.deepEqual(
      watching.heard.map((one) => [one.revision, one.events.length]),
      [
        [first.revision, 1],
        [commit.revision, 1_500],
        [next.revision, 1],
      ],
    )
    await store.close()
  })

  test('holds to its conditions as a whole', async () => {
    const store = await open()
    const changes = puts(500, 'v').map((change) => ({ ...change, ifModified: 0 }))
    assert.ok((await store.commit([changes[499]!])).ok)
    const commit = await store.commit(changes)
    assert.ok(!commit.ok && commit.kind === 'conflict' && commit.key === 'k/00499')
    assert.equal((await store.list('')).entries.length, 1)
    await store.close()
  })

  test('may have as many changes and bytes as a commit may', async () => {
    const store = await open()
    const commit = await store.commit(puts(MAX_CHANGES, 'x'.repeat(200)))
    assert.ok(commit.ok, JSON.stringify(commit))
    assert.equal((await store.list('k/')).entries.length, MAX_CHANGES)
    const large = await store.commit(puts(5, 'ü'.repeat(500_000)))
    assert.ok(large.ok)
    assert.equal((await store.get('k/00004'))?.value.length, 500_000)
    const tooLarge = await store.commit(puts(1, 'ü'.repeat(600_000)))
    assert.ok(!tooLarge.ok && tooLarge.kind === 'unavailable')
    assert.match(tooLarge.reason, /etcd takes at most/)
    await store.close()
  })

  test('counts once it is the head, though its writer dies then; the next one brings it to an end', async () => {
    const prefix = newPrefix()
    const layout = new EtcdLayout(prefix)
    const store = await open(prefix)
    assert.ok((await store.commit(puts(3, 'old'))).ok)
    // As a writer leaves it that died after its commit, in the middle of bringing it to the entries.
    const staged = JSON.stringify([
      { key: 'k/00001', value: 'new', created: 0 },
      { key: 'k/00002', value: null, created: 0 },
    ])
    const write = (...success: ReturnType<typeof put>[]) => client.call(({ kv }) => kv.txn({ success }))
    await write(put(layout.staged('dead', 0), staged))
    assert.equal((await store.get('k/00001'))?.value, 'old')
    const { header } = await write(put(layout.head, JSON.stringify({ id: 'dead', staged: 1 })))
    const revision = Number(header!.revision)
    assert.equal((await store.get('k/00001'))?.value, 'new')
    assert.equal((await store.get('k/00001'))?.modified, revision)
    const listed = await store.list('k/')
    assert.deepEqual(
      listed.entries.map(({ key, value }) => [key, value]),
      [
        ['k/00000', 'old'],
        ['k/00001', 'new'],
      ],
    )
    assert.equal(listed.revision, revision)
    const commit = await store.commit([{ kind: 'put', key: 'k/00001', value: 'newer', ifModified: revision }])
    assert.ok(commit.ok, JSON.stringify(commit))
    const { kvs } = await client.call(({ kv }) => kv.range({ key: bytesOf(layout.staged('dead', 0)) }))
    assert.equal(kvs.length, 0)
    assert.equal((await store.list('k/')).entries.length, 2)
    await store.close()
  })
})

describe('two that write to one store', () => {
  test('see each other, and neither loses what the other wrote', async () => {
    const prefix = newPrefix()
    const stores = await Promise.all([open(prefix), open(prefix)])
    const watching = listening(stores[0]!, 'c/')
    const commits = await Promise.all(
      Array.from({ length: 40 }, (_, i) =>
        stores[i % 2]!.commit([{ kind: 'put', key: `c/${i}`, value: String(i), ifModified: 0 }]),
      ),
    )
    const revisions = commits.map((commit) => (commit.ok ? commit.revision : 0))
    assert.equal(new Set(revisions).size, 40, JSON.stringify(commits.filter(({ ok }) => !ok)))
    assert.equal((await stores[1]!.list('c/')).entries.length, 40)
    await watching.until(() => watching.heard.length === 40)
    assert.deepEqual(
      watching.heard.map(({ revision }) => revision),
      revisions.toSorted((a, b) => a - b),
    )
    for (const store of stores) await store.close()
  })

  test('count to the same number', async () => {
    const prefix = newPrefix()
    const stores = await Promise.all([open(prefix), open(prefix)])
    const count = async (store: EtcdStore) => {
      let counted = 0
      while (counted < 15) {
        const entry = await store.get('n')
        const value = String(Number(entry?.value ?? 0) + 1)
        const commit = await store.commit([
          { kind: 'put', key: 'n', value, ifModified: entry?.modified ?? 0 },
        ])
        if (commit.ok) counted++
      }
    }
    await Promise.all([...stores, ...stores].map(count))
    assert.equal((await stores[0]!.get('n'))?.value, '60')
    for (const store of stores) await store.close()
  })

  test('are told apart by the fence: who stands behind one that is gone commits nothing, small or large', async () => {
    const prefix = newPrefix()
    const layout = new EtcdLayout(prefix)
    let permission: Permission = { ok: false, reason: 'it stands by' }
    let fenced = 0
    const store = await openEtcdStore({
      client,
      prefix,
      permission: () => permission,
      fenced: () => fenced++,
    })
    // Left behind by a writer that died before its commit was the head.
    const parts = { success: [put(layout.staged('dead', 0), '[]')] }
    await client.call(({ kv }) => kv.txn(parts))
    const refused = await store.commit(puts(1, 'v'))
    assert.deepEqual(refused, { ok: false, kind: 'unavailable', reason: 'it stands by' })
    const led = await client.call(({ kv }) => kv.txn({ success: [put(layout.leader, 'one')] }))
    permission = { ok: true, fence: { key: layout.leader, created: Number(led.header!.revision) } }
    assert.ok((await store.commit(puts(1, 'v'))).ok)
    const { kvs } = await client.call(({ kv }) => kv.range(rangeOf(layout.staged())))
    assert.equal(kvs.length, 0)
    const remove = {
      request: { case: 'requestDeleteRange' as const, value: { key: bytesOf(layout.leader) } },
    }
    await client.call(({ kv }) => kv.txn({ success: [remove] }))
    await client.call(({ kv }) => kv.txn({ success: [put(layout.leader, 'two')] }))
    for (const n of [1, 300]) {
      const commit = await store.commit(puts(n, 'late'))
      assert.ok(!commit.ok && commit.kind === 'unavailable')
      assert.match(commit.reason, /leads no more/)
    }
    assert.equal(fenced, 2)
    assert.deepEqual(
      (await store.list('')).entries.map(({ value }) => value),
      ['v'],
    )
    await store.close()
  })
})

describe('its keys', () => {
  test('of another program, of a newer Mayfly, or none of ours are refused with what to do', async () => {
    const write = (key: string, value: string) =>
      client.call(({ kv }) => kv.txn({ success: [put(key, value)] }))
    await write('songs/a', 'x')
    await assert.rejects(open('songs'), /another program's.*PREFIX/)
    await write('newer/schema', JSON.stringify({ program: 'mayfly', version: 99 }))
    await assert.rejects(open('newer'), (error) => error instanceof StoreError && error.code === 'too-new')
    await write('odd/schema', 'hello')
    await assert.rejects(open('odd'), /name another prefix/)
    const prefix = newPrefix()
    const store = await open(prefix)
    assert.ok((await store.commit(puts(1, 'v'))).ok)
    // A newer Mayfly brings the schema up: this one writes no more.
    await write(`${prefix}/schema`, JSON.stringify({ program: 'mayfly', version: 2 }))
    const commit = await store.commit(puts(1, 'w'))
    assert.ok(!commit.ok && commit.kind === 'unavailable')
    assert.match(commit.reason, /newer Mayfly/)
    await store.close()
  })

  test('are backed up as one state, to a file that fills another store', async () => {
    const store = await open()
    assert.ok((await store.commit(puts(300, 'v'))).ok)
    assert.ok((await store.commit([{ kind: 'put', key: 'k/00001', value: 'w' }])).ok)
    const file = join(folder, 'backup')
    await store.backup(file)
    await assert.rejects(store.backup(file), /exists/)
    const same = await openSqliteStore(file)
    assert.deepEqual((await same.list('')).entries, (await store.list('')).entries)
    await same.close()
    const other = await open()
    assert.ok((await other.fill(readBackup(file))).ok)
    assert.deepEqual(
      (await other.list('')).entries.map(({ key, value }) => [key, value]),
      (await store.list('')).entries.map(({ key, value }) => [key, value]),
    )
    const again = await other.fill(readBackup(file))
    assert.ok(!again.ok && again.kind === 'unavailable' && /300 entries already/.test(again.reason))
    assert.throws(() => readBackup(join(folder, 'none')), /no such file/)
    await store.close()
    await other.close()
  })
})
