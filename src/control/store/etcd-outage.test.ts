import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { EtcdServer } from '../../../scripts/etcd.ts'
import { EtcdClient } from './etcd-client.ts'
import { type EtcdStore, openEtcdStore } from './etcd-store.ts'
import { listening, puts } from './etcd-testing.ts'
import { StoreError } from './store.ts'

let server: EtcdServer
let client: EtcdClient
let count = 0
const newPrefix = () => `outage/${count++}`
const open = (prefix = newPrefix()): Promise<EtcdStore> => openEtcdStore({ client, prefix })

before(async () => {
  server = await EtcdServer.start()
  client = new EtcdClient({ endpoints: [server.endpoint] })
})
after(async () => {
  client.close()
  await server.close()
})

describe('etcd', () => {
  test('may be killed and started again: nothing acknowledged is lost, and watchers hear of all', async () => {
    const store = await open()
    const watching = listening(store, 'r/')
    const acknowledged: number[] = []
    let going = true
    const writing = (async () => {
      for (let i = 0; going; i++) {
        const commit = await store.commit([{ kind: 'put', key: `r/${i}`, value: String(i), ifModified: 0 }])
        // What is not known to be written may be written: it is asked for once.
        if (commit.ok) acknowledged.push(i)
      }
    })()
    for (let round = 1; round <= 2; round++) {
      await watching.until(() => watching.heard.length > 20 * round)
      await server.stop()
      await new Promise((resolve) => setTimeout(resolve, 200))
      await server.start()
    }
    const before = acknowledged.length
    await watching.until(() => acknowledged.length > before + 10)
    going = false
    await writing
    const { entries } = await store.list('r/')
    const keys = new Set(entries.map(({ key }) => key))
    for (const i of acknowledged) assert.ok(keys.has(`r/${i}`), `r/${i}`)
    await watching.until(() => watching.heard.length === entries.length)
    assert.equal(new Set(watching.heard.map(({ events }) => events[0]!.key)).size, entries.length)
    assert.equal(watching.lost(), 0)
    await store.close()
  })

  test('that does not answer refuses a commit within its time, and what became of it is found out after', async () => {
    const store = await open()
    assert.ok((await store.commit(puts(1, 'a'))).ok)
    server.freeze()
    const commit = await store.commit([{ kind: 'put', key: 'k/00000', value: 'b' }])
    assert.ok(!commit.ok && commit.kind === 'unavailable')
    assert.match(commit.reason, /does not answer/)
    await assert.rejects(store.get('k/00000'), (error) => error instanceof StoreError)
    server.thaw()
    for (;;) {
      const after = await store.commit([{ kind: 'put', key: 'end', value: '' }])
      if (after.ok) break
    }
    assert.match((await store.get('k/00000'))!.value, /^[ab]$/)
    await store.close()
  })

  test('that was compacted while a watcher was away makes it list again', async () => {
    const proxied = new EtcdClient({ endpoints: [server.endpoint] })
    const prefix = newPrefix()
    const store = await openEtcdStore({ client: proxied, prefix })
    const watching = listening(store, 'k/')
    const other = await open(prefix)
    assert.ok((await other.commit(puts(1, '0'))).ok)
    await watching.until(() => watching.heard.length === 1)
    // The stream is held up while the history goes: the server is stopped, and compacted before the watcher is back.
    await server.stop()
    const away = proxied.member.watch.watch
    let held = true
    proxied.member.watch.watch = (requests, options) => {
      if (held) throw new Error('held up')
      return away(requests, options)
    }
    await server.start()
    let last = 0
    for (let i = 1; i <= 3; ) {
      const commit = await other.commit(puts(1, String(i)))
      if (!commit.ok) continue
      last = commit.revision
      i++
    }
    await client.call(({ kv }) => kv.compact({ revision: BigInt(last) }))
    held = false
    await watching.until(() => watching.lost() === 1)
    assert.equal((await store.get('k/00000'))?.value, '3')
    assert.ok((await other.commit(puts(1, '4'))).ok)
    await watching.until(() => watching.heard.at(-1)!.events[0]!.entry?.value === '4')
    proxied.close()
    await other.close()
  })
})
