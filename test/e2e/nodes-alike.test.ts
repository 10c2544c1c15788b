// Whatever a mesh's division into nodes, a request is judged and sent on alike.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { TestMesh } from '../start-mesh.ts'
import { type Answer, askMesh, Client, counted, type TestServer, until } from './cluster.ts'
import { type NodeRow, type Seen, startNodes, startSeeing } from './nodes-world.ts'

const rule = (path: string, from: object) =>
  JSON.stringify({ to: [{ operation: { paths: [path] } }], from: [{ source: from }] })

const POLICIES = `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: fn, namespace: test}
spec:
  selector: {matchLabels: {serving.knative.dev/service: fn}}
  rules:
    - to: [{operation: {paths: ['/open']}}]
    - ${rule('/near', { ipBlocks: ['127.0.0.1'] })}
    - ${rule('/far', { ipBlocks: ['10.0.0.0/8'] })}
    - ${rule('/behind', { remoteIpBlocks: ['9.9.9.9'] })}
    - ${rule('/behind-two', { remoteIpBlocks: ['8.8.8.8'] })}
    - ${rule('/caller', { principals: ['cluster.local/ns/test/sa/caller'] })}
    - ${rule('/anyone', { principals: ['*'] })}
    - ${rule('/namespace', { namespaces: ['test'] })}
    - ${rule('/not-caller', { notPrincipals: ['cluster.local/ns/test/sa/caller'] })}
    - {to: [{operation: {paths: ['/port'], ports: ['8080']}}]}
    - {to: [{operation: {paths: ['/cert']}}], when: [{key: 'request.headers[x-forwarded-client-cert]', values: ['*']}]}
    - {to: [{operation: {paths: ['/proto']}}], when: [{key: 'request.headers[x-forwarded-proto]', values: ['http']}]}
`

const DIVISIONS = [1, 2, 3]
const PATHS = [
  '/open',
  '/near',
  '/far',
  '/behind',
  '/behind-two',
  '/caller',
  '/anyone',
  '/namespace',
  '/not-caller',
  '/port',
  '/cert',
  '/proto',
  '/closed',
]

let server: TestServer
const meshes = new Map<number, TestMesh>()
before(async () => {
  server = await startSeeing()
  for (const nodes of DIVISIONS) {
    const config = {
      accessLogFile: '/dev/stdout',
      defaultConfig: { gatewayTopology: { numTrustedProxies: 1 } },
    }
    meshes.set(nodes, await startNodes(server, nodes, POLICIES, [], config))
  }
})
after(async () => {
  await Promise.all([...meshes.values()].map((mesh) => mesh.stop()))
  await server.close()
})

type Ask = (client: Client, mesh: TestMesh, path: string, headers?: Record<string, string>) => Promise<Answer>

const FROM: Record<string, Ask> = {
  outside: (client, _, path, headers) =>
    client.send({ path, headers: { host: 'fn.test.localhost', ...headers } }),
  caller: (client, mesh, path, headers) => fromFunction('caller', client, mesh, path, headers),
  other: (client, mesh, path, headers) => fromFunction('other', client, mesh, path, headers),
}

function fromFunction(
  name: string,
  client: Client,
  mesh: TestMesh,
  path: string,
  headers: Record<string, string> = {},
): Promise<Answer> {
  const port = Number(new URL(mesh.functions[`test/${name}`]!.egress).port)
  return client.send({ path, port, headers: { host: 'fn', ...headers } })
}

/** Asks every mesh the same, and gives the answers in the order of DIVISIONS. */
async function ask<T>(what: (client: Client, mesh: TestMesh) => Promise<T>): Promise<T[]> {
  const answers: T[] = []
  for (const nodes of DIVISIONS) {
    const mesh = meshes.get(nodes)!
    const client = new Client(mesh)
    answers.push(await what(client, mesh))
    client.close()
  }
  return answers
}

function assertAlike<T>(answers: readonly T[]): T {
  for (const answer of answers) assert.deepEqual(answer, answers[0])
  return answers[0]!
}

for (const [from, send] of Object.entries(FROM)) {
  test(`policies judge a request of ${from} alike`, async () => {
    const statuses = await ask(async (client, mesh) => {
      const all: Record<string, number> = {}
      for (const path of PATHS) {
        const headers = { 'x-forwarded-for': '8.8.8.8, 9.9.9.9', 'x-forwarded-client-cert': 'URI=spiffe://x' }
        all[path] = (await send(client, mesh, path, headers)).status
      }
      return all
    })
    const one = assertAlike(statuses)
    assert.equal(one['/open'], 200)
    assert.equal(one['/closed'], 403)
    assert.equal(one['/caller'], from === 'caller' ? 200 : 403)
    assert.equal(one['/anyone'], from === 'outside' ? 403 : 200)
    assert.equal(one['/not-caller'], from === 'caller' ? 403 : 200)
    assert.equal(one['/cert'], from === 'outside' ? 403 : 200)
    assert.equal(one['/behind'], from === 'outside' ? 200 : 403)
    assert.equal(one['/behind-two'], 403)
    assert.equal(one['/far'], 403)
  })
}

/** What differs from request to request, or says of the division itself. */
function plain({ headers, ...rest }: Seen): unknown {
  const shown: Record<string, unknown> = { ...headers }
  for (const name of ['x-request-id', 'traceparent']) {
    assert.ok(typeof shown[name] === 'string')
    delete shown[name]
  }
  const cert = shown['x-forwarded-client-cert']
  if (typeof cert === 'string') {
    shown['x-forwarded-client-cert'] = cert.replace(/;Hash=[0-9a-f]{64};Subject=""/, '')
  }
  return { ...rest, headers: shown }
}

test('a function sees the same head, and nothing of the way between nodes', async () => {
  const forged = {
    'x-mayfly-instance': 'x;00;1;00;1;0',
    'x-envoy-internal': 'true',
    'x-forwarded-client-cert':
      'By=spiffe://cluster.local/ns/test/sa/fn;URI=spiffe://cluster.local/ns/test/sa/caller',
    'x-forwarded-proto': 'https',
    'x-own': 'kept',
  }
  for (const send of Object.values(FROM)) {
    const answers = await ask(async (client, mesh) => {
      const answer = await send(client, mesh, '/open?a=b', forged)
      assert.equal(answer.status, 200)
      assert.equal(answer.headers['x-mayfly-forged'], undefined)
      const seen: Seen = JSON.parse(answer.body)
      assert.equal(seen.headers['x-request-id'], answer.headers['x-request-id'])
      for (const name of Object.keys(seen.headers)) assert.doesNotMatch(name, /^x-(mayfly|envoy)-/)
      return plain(seen)
    })
    assertAlike(answers)
  }
})

test('the caller is told to the function as Envoy tells it, with the hash of its certificate', async () => {
  const [one, , three] = await ask(async (client, mesh) => {
    const answer = await FROM.caller!(client, mesh, '/open')
    return (JSON.parse(answer.body) as Seen).headers['x-forwarded-client-cert']
  })
  const by = 'By=spiffe://cluster.local/ns/test/sa/fn'
  const uri = 'URI=spiffe://cluster.local/ns/test/sa/caller'
  assert.equal(one, `${by};${uri}`)
  assert.match(String(three), new RegExp(`^${by};Hash=[0-9a-f]{64};Subject="";${uri}$`))
})

test('ports are those that the client named', async () => {
  const answers = await ask(async (client, mesh) => {
    const port = Number(new URL(mesh.functions['test/caller']!.egress).port)
    const status = async (host: string) =>
      (await client.send({ path: '/port', port, headers: { host } })).status
    return [
      await status('fn'),
      await status('fn.test:8080'),
      await status(`fn:${port}`),
      await status('fn:81'),
    ]
  })
  assert.deepEqual(assertAlike(answers), [200, 200, 200, 403])
})

test('bodies pass whole, however they are framed', async () => {
  const answers = await ask(async (client) => {
    const sizes: number[] = []
    for (const size of [0, 1, 16_384, 3_000_000]) {
      const body = 'x'.repeat(size)
      for (const framing of [{ 'content-length': String(size) }, { 'transfer-encoding': 'chunked' }]) {
        const headers = { host: 'fn.test.localhost', ...framing } as Record<string, string>
        const answer = await client.send({ method: 'POST', path: '/open', headers, body })
        sizes.push((JSON.parse(answer.body) as Seen).body)
      }
    }
    return sizes
  })
  assert.deepEqual(assertAlike(answers), [0, 0, 1, 1, 16_384, 16_384, 3_000_000, 3_000_000])
})

test('requests between nodes went over mutual TLS, and sessions were resumed', async () => {
  const mesh = meshes.get(2)!
  const nodes = await askMesh<NodeRow[]>(mesh, 'nodes')
  assert.deepEqual(
    nodes.map(({ node, roles, address }) => [node, roles, address !== null]),
    [
      ['gateway', ['gateway'], false],
      ['node-1', ['functions'], true],
    ],
  )
  assert.ok((await counted(mesh, 'tlsHandshakes')) >= 2)
  assert.equal(await counted(mesh, 'plaintextAccepted'), 0)
  assert.equal(await counted(mesh, 'tlsPeersRefused'), 0)
  assert.equal(await counted(mesh, 'tlsHandshakesFailed'), 0)
  assert.equal(await counted(meshes.get(1)!, 'tlsHandshakes'), 0)
})

test('each request has one access-log line of its function, and is counted once by either side', async () => {
  const lines = await ask(async (client, mesh) => {
    for (const send of Object.values(FROM)) {
      await send(client, mesh, '/open?logged')
      await send(client, mesh, '/closed?logged')
    }
    await until(
      async () => mesh.stdout.filter((line) => line.includes('?logged')).length,
      (count) => count >= 10,
    )
    return mesh.stdout.filter((line) => line.includes('?logged')).length
  })
  // A caller's own sidecar writes one as well.
  assert.equal(assertAlike(lines), 10)
  const counts = await ask(async (client, mesh) => {
    const { port } = new URL(mesh.metrics)
    const { body } = await client.send({ path: '/metrics', port: Number(port) })
    const total: Record<string, number> = {}
    for (const line of body.split('\n')) {
      const found = /^istio_requests_total\{(.*)\} (\d+)$/.exec(line)
      const label = (name: string) => new RegExp(`${name}="([^"]*)"`).exec(found?.[1] ?? '')?.[1]
      if (!found || label('destination_workload') !== 'fn') continue
      const key = [label('reporter'), label('source_workload'), label('response_code')].join(' ')
      total[key] = (total[key] ?? 0) + Number(found[2])
    }
    return total
  })
  const [one, two, three] = counts as [Record<string, number>, Record<string, number>, Record<string, number>]
  assert.ok(one['destination caller 200']! > 0)
  assert.deepEqual(two, one)
  assert.deepEqual(three, one)
})
