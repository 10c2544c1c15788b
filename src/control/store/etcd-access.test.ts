import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { Code, ConnectError } from '@connectrpc/connect'
import { EtcdServer } from '../../../scripts/etcd.ts'
import { newIdentity } from '../api/control-identity.ts'
import { CertificateAuthority } from '../certificate-authority.ts'
import { EtcdClient } from './etcd-client.ts'
import { forgetHistory } from './etcd-history.ts'
import { bytesOf, EtcdLayout } from './etcd-layout.ts'
import { openEtcdStore } from './etcd-store.ts'

const folder = mkdtempSync(join(tmpdir(), 'mayfly-etcd-access-'))
after(() => rmSync(folder, { recursive: true, force: true }))

async function using<T extends { close(): unknown }>(thing: T, use: (thing: T) => Promise<void>) {
  try {
    await use(thing)
  } finally {
    await thing.close()
  }
}

test('etcd with TLS is reached by a certificate that it knows, and only where its own is known', async () => {
  const authority = await CertificateAuthority.open()
  const file = (name: string, text: string) => {
    writeFileSync(join(folder, name), text, { mode: 0o600 })
    return join(folder, name)
  }
  const own = await newIdentity(authority, 'etcd/server', ['127.0.0.1', 'localhost'])
  const tls = {
    cert: file('cert.pem', own.certificate),
    key: file('key.pem', own.key),
    ca: file('ca.pem', authority.root),
  }
  await using(await EtcdServer.start({ tls }), async (server) => {
    const endpoints = [server.endpoint]
    const { certificate: cert, key } = await newIdentity(authority, 'etcd/client')
    await using(new EtcdClient({ endpoints, tls: { ca: authority.root, cert, key } }), async (client) => {
      const store = await openEtcdStore({ client, prefix: 'p' })
      assert.ok((await store.commit([{ kind: 'put', key: 'a', value: '1' }])).ok)
      await store.close()
    })
    const other = await CertificateAuthority.open()
    for (const wrong of [{ ca: authority.root }, { ca: other.root, cert, key }])
      await using(new EtcdClient({ endpoints, tls: wrong }), (client) =>
        assert.rejects(openEtcdStore({ client, prefix: 'p' }), /does not answer/),
      )
  })
})

test('etcd with users lets in who may write under the prefix, also after it forgot its tokens; who may not is told what to do', async () => {
  await using(await EtcdServer.start(), async (server) => {
    const admin = async (path: string, body: object) => {
      const answer = await fetch(`http://${server.endpoint}/v3/auth/${path}`, {
        method: 'POST',
        body: JSON.stringify(body),
      })
      assert.ok(answer.ok, `${path}: ${await answer.text()}`)
    }
    const base64 = (text: string) => Buffer.from(text).toString('base64')
    for (const name of ['root', 'mayfly', 'stranger'])
      await admin('user/add', { name, password: `${name}'s` })
    await admin('role/add', { name: 'mesh' })
    await admin('role/grant', {
      name: 'mesh',
      perm: { permType: 'READWRITE', key: base64('mesh/'), range_end: base64('mesh0') },
    })
    await admin('user/grant', { user: 'mayfly', role: 'mesh' })
    await admin('role/add', { name: 'root' })
    await admin('user/grant', { user: 'root', role: 'root' })
    await admin('enable', {})
    const endpoints = [server.endpoint]
    const refused = (user?: { name: string; password: string }) =>
      using(new EtcdClient({ endpoints, ...(user && { user }) }), (client) =>
        assert.rejects(openEtcdStore({ client, prefix: 'mesh' }), /--store-user and --store-password-file/),
      )
    await refused()
    await refused({ name: 'mayfly', password: 'wrong' })
    await refused({ name: 'stranger', password: "stranger's" })
    const user = { name: 'mayfly', password: "mayfly's" }
    await using(new EtcdClient({ endpoints, user }), async (client) => {
      const store = await openEtcdStore({ client, prefix: 'mesh' })
      const first = await store.commit([{ kind: 'put', key: 'a', value: '1' }])
      assert.ok(first.ok, JSON.stringify(first))
      const heard = Promise.withResolvers<void>()
      store.watch('', {
        changed: (events) => events.some(({ key }) => key === 'b') && heard.resolve(),
        lost: () => {},
      })
      // Its simple tokens do not outlive it.
      await server.stop()
      await server.start()
      const second = await store.commit([{ kind: 'put', key: 'b', value: '1' }])
      assert.ok(second.ok, JSON.stringify(second))
      await heard.promise
      await store.close()
    })
  })
})

test('of several members one that answers is used', async () => {
  await using(await EtcdServer.start(), (server) =>
    using(new EtcdClient({ endpoints: ['127.0.0.1:1', server.endpoint] }), async (client) => {
      const store = await openEtcdStore({ client, prefix: 'p' })
      assert.ok((await store.commit([{ kind: 'put', key: 'a', value: '1' }])).ok)
      await store.close()
    }),
  )
  await using(new EtcdClient({ endpoints: ['127.0.0.1:1', '127.0.0.1:2'] }), (client) =>
    assert.rejects(openEtcdStore({ client, prefix: 'p' }), /127.0.0.1:1: .*; 127.0.0.1:2: /),
  )
})

test('the history is forgotten by the one that leads, but for the last while', async () => {
  await using(await EtcdServer.start(), (server) =>
    using(new EtcdClient({ endpoints: [server.endpoint] }), async (client) => {
      const prefix = 'p'
      const layout = new EtcdLayout(prefix)
      const store = await openEtcdStore({ client, prefix })
      const first = await store.commit([{ kind: 'put', key: 'a', value: '0' }])
      assert.ok(first.ok)
      let leads = false
      const notices: string[] = []
      const stop = forgetHistory({
        client,
        layout,
        leads: () => leads,
        everyMs: 20,
        notice: (text) => notices.push(text),
      })
      const old = () =>
        client
          .call(({ kv }) => kv.range({ key: bytesOf(layout.entry('a')), revision: BigInt(first.revision) }))
          .then(
            () => 'there',
            (error) => Code[ConnectError.from(error).code],
          )
      const commits = async (from: number) => {
        for (let i = from; i < from + 10; i++) {
          assert.ok((await store.commit([{ kind: 'put', key: 'a', value: String(i) }])).ok)
          await pause(20)
        }
      }
      await commits(0)
      assert.equal(await old(), 'there')
      leads = true
      for (let i = 10; (await old()) === 'there'; i += 10) await commits(i)
      assert.equal(await old(), 'OutOfRange')
      assert.deepEqual(notices, [])
      assert.notEqual(await store.get('a'), null)
      stop()
      await store.close()
    }),
  )
})
