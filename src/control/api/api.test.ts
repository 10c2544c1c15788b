import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { connect } from 'node:tls'
import { Code, ConnectError, createClient } from '@connectrpc/connect'
import { createConnectTransport } from '@connectrpc/connect-node'
import { CertificateAuthority } from '../certificate-authority.ts'
import { NodeBook } from '../nodes/node-book.ts'
import { MeshService } from '../proto/mayfly/v1/mesh_pb.js'
import { ResourceStore } from '../resources/resource-store.ts'
import { openSqliteStore } from '../store/sqlite-store.ts'
import type { Store } from '../store/store.ts'
import { type ApiServer, startApiServer } from './api-server.ts'
import { clientPrincipal, controlPlanePrincipal, nodePrincipal } from './asker.ts'
import { ClientBook } from './client-book.ts'
import { type ControlIdentity, newIdentity } from './control-identity.ts'
import { JoinTokens } from './join-tokens.ts'
import { meshService } from './mesh-service.ts'

const folder = mkdtempSync(join(tmpdir(), 'mayfly-api-'))
let store: Store
let server: ApiServer
let authority: CertificateAuthority
let admin: ControlIdentity
let problem: string | null = null

before(async () => {
  authority = await CertificateAuthority.open()
  store = await openSqliteStore(join(folder, 'a.sqlite'))
  const resources = await ResourceStore.open(store, { changed: () => {} })
  const tokens = new JoinTokens(store, authority.root)
  const clients = new ClientBook(store)
  admin = await newIdentity(authority, clientPrincipal('cluster.local', 'admin'))
  server = await startApiServer({
    host: '127.0.0.1',
    port: 0,
    identity: await newIdentity(authority, controlPlanePrincipal('cluster.local'), [
      'localhost',
      '127.0.0.1',
    ]),
    roots: authority.root,
    trustDomain: 'cluster.local',
    problem: () => problem,
    routes: (router) =>
      router.service(
        MeshService,
        meshService({
          store,
          resources,
          tokens,
          status: async (what) => (what === 'nodes' ? [{ name: 'a' }] : undefined),
          logs: async function* () {
            yield { text: 'hello' }
          },
          explain: async () => ({ outcome: 'allowed' }),
          clients,
          authority,
          trustDomain: 'cluster.local',
          nodes: new NodeBook(store),
          scheduled: () => {},
          nodeDeleted: () => {},
          version: '1.2.3',
          instance: 'one',
          isLeader: () => true,
          leader: () => null,
        }),
      ),
  })
})

after(async () => {
  await server.close()
  await store.close()
  rmSync(folder, { recursive: true, force: true })
})

function client(identity: ControlIdentity | null) {
  const transport = createConnectTransport({
    baseUrl: `https://127.0.0.1:${server.port}`,
    httpVersion: '2',
    nodeOptions: {
      ca: authority.root,
      ...(identity && { cert: identity.certificate, key: identity.key }),
    },
  })
  return createClient(MeshService, transport)
}

const refusedWith = (code: Code, text: RegExp) => (error: unknown) => {
  assert.ok(error instanceof ConnectError)
  assert.equal(error.code, code, error.message)
  assert.match(error.message, text)
  return true
}

const manifest = (name: string, labels = {}) =>
  JSON.stringify({
    apiVersion: 'serving.knative.dev/v1',
    kind: 'Service',
    metadata: { name, namespace: 'shop', labels },
    spec: { template: { spec: { containers: [{ image: `file:./${name}.ts` }] } } },
  })
const apply = (text: string, dryRun = false) =>
  client(admin).apply({ files: [{ path: 'a.yaml', text }], dryRun })

describe('the API', () => {
  test('changes, lists and removes resources for a client', async () => {
    const { applied } = await apply(manifest('cart', { tier: 'back' }))
    assert.deepEqual([applied[0]!.action, applied[0]!.kind, applied[0]!.name], ['created', 'Service', 'cart'])
    await apply(manifest('front', { tier: 'front' }))
    const all = await client(admin).list({})
    assert.deepEqual(
      all.items.map(({ name }) => name),
      ['cart', 'front'],
    )
    const some = await client(admin).list({ kind: 'Service', labelSelector: 'tier=back' })
    assert.equal(some.items.length, 1)
    const listed = JSON.parse(some.items[0]!.manifest)
    assert.equal(listed.metadata.resourceVersion, applied[0]!.resourceVersion)
    // What was listed may be applied again as it is.
    assert.equal((await apply(some.items[0]!.manifest)).applied[0]!.action, 'unchanged')
    await assert.rejects(apply(manifest('Bad Name')), refusedWith(Code.InvalidArgument, /a.yaml:1/))
    await assert.rejects(
      client(admin).list({ kind: 'Nonsense' }),
      refusedWith(Code.InvalidArgument, /kinds are/),
    )
    const gone = await client(admin).delete({ kind: 'Service', namespace: 'shop', name: 'front' })
    assert.equal(gone.applied!.action, 'deleted')
    await assert.rejects(
      client(admin).delete({ kind: 'Service', namespace: 'shop', name: 'front' }),
      refusedWith(Code.NotFound, /no Service/),
    )
  })

  test('tells watchers what there is and what changes', async () => {
    const abort = new AbortController()
    const events: string[] = []
    const watched = (async () => {
      for await (const { type, item } of client(admin).watch({ kind: 'Service' }, { signal: abort.signal })) {
        events.push(`${type} ${item?.name ?? ''}`)
        if (type === 'synced') {
          await apply(manifest('w'))
          await apply(manifest('w', { a: 'b' }))
          await client(admin).delete({ kind: 'Service', namespace: 'shop', name: 'w' })
        }
        if (type === 'deleted') break
      }
    })()
    await watched
    abort.abort()
    assert.deepEqual(events, ['added cart', 'synced ', 'added w', 'modified w', 'deleted w'])
  })

  test('brings an earlier revision back', async () => {
    await apply(manifest('rev').replace('rev.ts', 'one.ts'))
    await apply(manifest('rev').replace('rev.ts', 'two.ts'))
    const { revisions } = await client(admin).listRevisions({ namespace: 'shop', name: 'rev' })
    assert.deepEqual(
      revisions.map(({ name, current }) => [name, current]),
      [
        ['rev-00001', false],
        ['rev-00002', true],
      ],
    )
    const { applied } = await client(admin).rollback({ namespace: 'shop', name: 'rev' })
    assert.match(applied[0]!.after, /one\.ts/)
    assert.equal(applied[0]!.generation, 3n)
    await assert.rejects(
      client(admin).rollback({ namespace: 'shop', name: 'rev', generation: 99n }),
      refusedWith(Code.NotFound, /no revision 99/),
    )
  })

  test('is for clients of the mesh alone', async () => {
    await assert.rejects(client(null).list({}), refusedWith(Code.Unauthenticated, /certificate/))
    const node = await newIdentity(authority, nodePrincipal('cluster.local', 'a'))
    await assert.rejects(client(node).list({}), refusedWith(Code.PermissionDenied, /node/))
    const other = await CertificateAuthority.open()
    const stranger = await newIdentity(other, clientPrincipal('cluster.local', 'eve'))
    await assert.rejects(client(stranger).list({}), refusedWith(Code.Unauthenticated, /certificate/))
    const elsewhere = await newIdentity(authority, clientPrincipal('other.domain', 'eve'))
    await assert.rejects(client(elsewhere).list({}), refusedWith(Code.Unauthenticated, /certificate/))
    const workload = await newIdentity(authority, 'cluster.local/ns/shop/sa/cart')
    await assert.rejects(client(workload).list({}), refusedWith(Code.Unauthenticated, /certificate/))
    assert.equal((await client(null).version({})).version, '1.2.3')
  })

  test('answers plain JSON over HTTP/1.1, and for its health', async () => {
    const post = (path: string, body: string, identity: ControlIdentity | null) =>
      new Promise<{ status: number; text: string }>((resolve, reject) => {
        const sent = request(
          {
            host: '127.0.0.1',
            port: server.port,
            path,
            method: body === '' ? 'GET' : 'POST',
            headers: { 'content-type': 'application/json' },
            ca: authority.root,
            agent: false,
            ...(identity && { cert: identity.certificate, key: identity.key }),
          },
          async (response) => {
            let text = ''
            for await (const part of response) text += part
            resolve({ status: response.statusCode!, text })
          },
        )
        sent.on('error', reject)
        sent.end(body)
      })
    const listed = await post('/mayfly.v1.MeshService/List', '{"kind":"Service","name":"cart"}', admin)
    assert.equal(listed.status, 200)
    assert.equal(JSON.parse(listed.text).items[0].name, 'cart')
    assert.equal((await post('/mayfly.v1.MeshService/List', '{}', null)).status, 401)
    assert.deepEqual(await post('/healthz', '', null), { status: 200, text: 'ok\n' })
    problem = 'the store does not answer'
    assert.deepEqual(await post('/readyz', '', null), { status: 503, text: 'the store does not answer\n' })
    problem = null
    assert.equal((await post('/', '', null)).status, 404)
  })

  test('speaks TLS 1.3 and nothing older', async () => {
    const socket = connect({
      host: '127.0.0.1',
      port: server.port,
      maxVersion: 'TLSv1.2',
      rejectUnauthorized: false,
    })
    const [error] = await once(socket, 'error')
    assert.match(String(error), /protocol version|alert/)
  })

  test('keeps a record of who did what, and backs up', async () => {
    const { recordsJson } = await client(admin).listAudit({ limit: 1 })
    assert.equal(JSON.parse(recordsJson[0]!).who, 'admin')
    await client(admin).backup({ file: join(folder, 'copy.sqlite') })
    const copy = await openSqliteStore(join(folder, 'copy.sqlite'))
    assert.ok((await copy.list('resources/')).entries.length > 0)
    await copy.close()
    await assert.rejects(
      client(admin).backup({ file: 'relative' }),
      refusedWith(Code.InvalidArgument, /absolute/),
    )
  })
})
