// Who gets in at a node's own address: clients with real certificates, right and wrong, and openssl's own client.

import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { connect as connectPlain } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls'
import { CertificateAuthority, type Svid } from '../../src/control/certificate-authority.ts'
import { withHop } from '../../src/dataplane/hop.ts'
import { ipBytes } from '../../src/dataplane/ip-bytes.ts'
import { serverName } from '../../src/dataplane/server-name.ts'
import { oddCertificate } from '../odd-certificate.ts'
import type { TestMesh } from '../start-mesh.ts'
import { askMesh, Client, counted, type InstanceRow, type TestServer, until } from './cluster.ts'
import { startNodes, startSeeing, workerAddress } from './nodes-world.ts'

const DOMAIN = 'cluster.local'
const CALLER = `${DOMAIN}/ns/test/sa/caller`
const NAME = serverName('test/fn', 8080)
const POLICY = `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: fn, namespace: test}
spec:
  selector: {matchLabels: {serving.knative.dev/service: fn}}
  rules:
    - to: [{operation: {paths: ['/open']}}]
    - {to: [{operation: {paths: ['/caller']}}], from: [{source: {principals: ['${CALLER}']}}]}
    - {to: [{operation: {paths: ['/near']}}], from: [{source: {ipBlocks: ['10.1.2.3']}}]}
`

const folder = mkdtempSync(join(tmpdir(), 'mayfly-authority-'))
let server: TestServer
let mesh: TestMesh
let authority: CertificateAuthority
let node: { host: string; port: number }
let instance: string
let svid: Svid

before(async () => {
  server = await startSeeing()
  mesh = await startNodes(server, 2, POLICY, ['--authority', folder])
  authority = await CertificateAuthority.open({ folder })
  node = await workerAddress(mesh)
  const instances = await askMesh<InstanceRow[]>(mesh, 'instances')
  instance = instances.find((one) => one.function === 'test/fn')!.id
  svid = await authority.issue(CALLER)
})
after(async () => {
  await mesh.stop()
  await server.close()
  rmSync(folder, { recursive: true, force: true })
})

type Outcome =
  | { kind: 'answered'; status: number; text: string; resumed: boolean; session: Buffer | null }
  | { kind: 'refused'; why: string }

/** A head as another node's engine sends it. */
function head(path: string, sourceIp = '127.0.0.1'): Buffer {
  const facts = {
    direction: 0,
    peer: '',
    sourceIp: ipBytes(sourceIp),
    sourcePort: 1,
    localIp: ipBytes('127.0.0.1'),
    localPort: 2,
    tls: false,
  }
  const bytes = Buffer.from(`GET ${path} HTTP/1.1\r\nhost: fn.test\r\n\r\n`)
  return withHop(bytes, { instance, facts, caller: 'test/caller' })
}

const own = (one: { chain: string; key: string }): ConnectionOptions => ({ cert: one.chain, key: one.key })

function open(options: ConnectionOptions): TLSSocket {
  return connect({
    ...node,
    ca: authority.anchor.certificate,
    allowPartialTrustChain: true,
    servername: NAME,
    checkServerIdentity: () => undefined,
    ...options,
  } as ConnectionOptions)
}

/** Connects, sends the bytes, and reads one answer. */
function exchange(options: ConnectionOptions, bytes = head('/open')): Promise<Outcome> {
  return new Promise((resolve) => {
    const socket = open(options)
    let text = ''
    let session: Buffer | null = null
    const end = (why: string) => {
      socket.destroy()
      resolve({ kind: 'refused', why })
    }
    socket.on('session', (ticket) => {
      session = ticket
    })
    socket.on('secureConnect', () => socket.write(bytes))
    socket.on('data', (part) => {
      text += part
      const status = /^HTTP\/1\.1 (\d{3}) [\s\S]*\r\n\r\n/.exec(text)
      if (!status) return
      resolve({
        kind: 'answered',
        status: Number(status[1]),
        text,
        resumed: socket.isSessionReused(),
        session,
      })
      socket.destroy()
    })
    socket.on('error', (error: NodeJS.ErrnoException) => end(error.code ?? error.message))
    socket.on('close', () => end('closed'))
  })
}

async function answered(options: ConnectionOptions, bytes?: Buffer) {
  const outcome = await exchange(options, bytes)
  if (outcome.kind !== 'answered') throw new Error(`refused: ${outcome.why}`)
  return outcome
}

/** What openssl's client says, with these arguments, to what it gets. */
function openssl(...args: string[]): Promise<string> {
  return new Promise((resolve) => {
    const target = `${node.host}:${node.port}`
    const child = spawn('openssl', [
      's_client',
      '-connect',
      target,
      '-CAfile',
      join(folder, 'root.pem'),
      ...args,
    ])
    let said = ''
    child.stdout.on('data', (part) => {
      said += part
    })
    child.stderr.on('data', (part) => {
      said += part
    })
    child.stdin.on('error', () => {})
    child.stdin.write('GET /open HTTP/1.1\r\nhost: fn.test\r\n\r\n')
    child.on('close', () => resolve(said))
  })
}

test('openssl s_client without a certificate is refused with an alert', async () => {
  const requests = server.requests
  const said = await openssl('-servername', NAME)
  assert.match(said, /alert certificate required/)
  assert.match(said, /Verification: OK/)
  assert.match(said, /TLSv1\.3/)
  assert.doesNotMatch(said, /HTTP\/1\.1/)
  assert.match(await openssl('-noservername'), /alert|no peer certificate available/)
  assert.match(await openssl('-servername', NAME, '-tls1_2'), /alert protocol version/)
  assert.match(await openssl('-servername', NAME, '-alpn', 'h2'), /alert no application protocol/)
  assert.equal(server.requests, requests)
})

test('a workload with its certificate is who it says, and its sender is believed about the way', async () => {
  assert.equal((await answered(own(svid))).status, 200)
  assert.equal((await answered(own(svid), head('/caller'))).status, 200)
  assert.equal((await answered(own(svid), head('/closed'))).status, 403)
  assert.equal((await answered(own(svid), head('/near', '10.1.2.3'))).status, 200)
  assert.equal((await answered(own(svid), head('/near', '10.1.2.4'))).status, 403)
  const other = await authority.issue(`${DOMAIN}/ns/test/sa/other`)
  assert.equal((await answered(own(other), head('/caller'))).status, 403)
})

test("the gateway's certificate stands for clients without identity", async () => {
  const gateway = await authority.issue(`${DOMAIN}/ns/mayfly-system/sa/gateway`)
  const { status, text } = await answered(own(gateway), head('/open'))
  assert.equal(status, 200)
  assert.doesNotMatch(text, /x-forwarded-client-cert/)
  assert.equal((await answered(own(gateway), head('/caller'))).status, 403)
})

test('a head that does not say how it came, or says it twice or wrongly, is refused', async () => {
  const bare = Buffer.from('GET /open HTTP/1.1\r\nhost: fn.test\r\n\r\n')
  assert.equal((await answered(own(svid), bare)).status, 400)
  const text = head('/open').toString('latin1')
  const line = /x-mayfly-instance: .*\r\n/.exec(text)![0]
  const twice = Buffer.from(text.replace(line, line + line))
  assert.equal((await answered(own(svid), twice)).status, 400)
  for (const value of [
    '',
    'x',
    `${instance};00;1;00;1;0`,
    `../x;${'0'.repeat(32)};1;${'0'.repeat(32)};1;0`,
  ]) {
    const wrong = Buffer.from(text.replace(line, `x-mayfly-instance: ${value}\r\n`))
    const { status } = await answered(own(svid), wrong)
    assert.ok(status === 400 || status === 500, `${value}: ${status}`)
  }
  const unknown = Buffer.from(text.replace(instance, 'nobody'))
  assert.equal((await answered(own(svid), unknown)).status, 503)
})

test('certificates that are not a workload of this mesh in this epoch are refused', async () => {
  const requests = server.requests
  const stranger = await CertificateAuthority.open()
  const past = await CertificateAuthority.open({ folder, now: () => Date.now() - 3 * 86_400_000 })
  const future = await CertificateAuthority.open({ folder, now: () => Date.now() + 3 * 86_400_000 })
  const id = `spiffe://${CALLER}`
  const odd = (what: Parameters<typeof oddCertificate>[1]) => oddCertificate(folder, what)
  const wrong: Record<string, { chain: string; key: string }> = {
    'another authority': await stranger.issue(CALLER),
    expired: await past.issue(CALLER),
    'not valid yet': await future.issue(CALLER),
    'another trust domain': await authority.issue('other.example/ns/test/sa/caller'),
    'no SPIFFE ID': await odd({ names: [] }),
    'two SPIFFE IDs': await odd({ names: [id, `${id}2`] }),
    'a SPIFFE ID and a DNS name': await odd({ names: [id], dns: ['fn.test'] }),
    'another form of ID': await odd({ names: [`spiffe://${DOMAIN}/workload/caller`] }),
    'an ID with a query': await odd({ names: [`${id}?x=y`] }),
    'an ID in another case': await odd({ names: [`SPIFFE://${CALLER}`] }),
    'an RSA key': await odd({ names: [id], key: 'RSA' }),
    'a P-384 key': await odd({ names: [id], key: 'P-384' }),
    'an authority as leaf': await odd({ names: [id], authority: true }),
    'for servers only': await odd({ names: [id], usages: ['1.3.6.1.5.5.7.3.1'] }),
  }
  for (const [name, one] of Object.entries(wrong)) {
    const outcome = await exchange(own(one))
    assert.equal(outcome.kind, 'refused', name)
  }
  assert.equal((await exchange({})).kind, 'refused', 'no certificate')
  assert.equal((await exchange({ ...own(svid), maxVersion: 'TLSv1.2' })).kind, 'refused', 'TLS 1.2')
  const nobody = serverName('test/nobody', 8080)
  assert.equal((await exchange({ ...own(svid), servername: nobody })).kind, 'refused', 'no such function')
  assert.equal((await exchange({ ...own(svid), servername: 'fn.test' })).kind, 'refused', 'another name')
  assert.equal(server.requests, requests)
  assert.ok((await counted(mesh, 'tlsPeersRefused')) >= 8)
  assert.ok((await counted(mesh, 'tlsHandshakesFailed')) >= 4)
})

test('the function proves its own identity, and no other', async () => {
  const socket = open(own(svid))
  await new Promise((resolve) => socket.once('secureConnect', resolve))
  assert.equal(socket.getPeerX509Certificate()!.subjectAltName, `URI:spiffe://${DOMAIN}/ns/test/sa/fn`)
  assert.equal(socket.getProtocol(), 'TLSv1.3')
  socket.destroy()
})

test('a resumed session keeps the identity, also with another engine of the node', async () => {
  const resumedBefore = await counted(mesh, 'tlsResumed')
  const { session } = await answered(own(svid), head('/caller'))
  assert.ok(session)
  // Each connection may reach either engine, so that of many some reach the other one.
  for (let i = 0; i < 12; i++) {
    const next = await answered({ ...own(svid), session }, head('/caller'))
    assert.equal(next.status, 200)
    assert.ok(next.resumed)
  }
  assert.equal((await counted(mesh, 'tlsResumed')) - resumedBefore, 12)
})

test('plaintext is refused by the sidecar where mutual TLS is required', async () => {
  const answer = await new Promise<string>((resolve, reject) => {
    const socket = connectPlain(node, () => socket.write('GET /open HTTP/1.1\r\nhost: fn.test\r\n\r\n'))
    socket.on('error', reject)
    socket.once('data', (bytes) => {
      resolve(String(bytes))
      socket.destroy()
    })
  })
  assert.match(answer, /^HTTP\/1\.1 403 /)
  assert.match(answer, /test\/fn accepts only mutual TLS on port 8080/)
})

test('a new epoch ends what earlier certificates could do, at once, and fails nobody of the mesh', async () => {
  const client = new Client(mesh)
  const statuses: number[] = []
  let ended = false
  const load = Promise.all(
    Array.from({ length: 8 }, async () => {
      const agent = new Client(mesh)
      while (!ended) statuses.push((await agent.get('/open')).status)
      agent.close()
    }),
  )
  const kept = open(own(svid))
  await new Promise((resolve) => kept.once('secureConnect', resolve))
  const { session } = await answered(own(svid))
  await until(
    async () => statuses.length,
    (count) => count > 100,
  )
  const { epoch } = await newEpoch()
  assert.equal(epoch, 2)
  const begun = statuses.length
  await until(
    async () => statuses.length,
    (count) => count > begun + 200,
  )
  ended = true
  await load
  assert.deepEqual([...new Set(statuses)], [200])
  // The connection is older than the epoch, its certificate does not count any more.
  const reply = new Promise<string>((resolve) => kept.once('data', (bytes) => resolve(String(bytes))))
  kept.write(head('/open'))
  assert.match(await reply, /^HTTP\/1\.1 403 /)
  kept.destroy()
  assert.equal((await exchange(own(svid))).kind, 'refused')
  assert.equal((await exchange({ ...own(svid), session: session! })).kind, 'refused')
  const again = await CertificateAuthority.open({ folder })
  const renewed = await again.issue(CALLER)
  const anchor = { ca: again.anchor.certificate }
  assert.equal((await answered({ ...own(renewed), ...anchor }, head('/caller'))).status, 200)
  assert.match(readFileSync(join(folder, 'epoch-2.pem'), 'utf8'), /BEGIN CERTIFICATE/)
  client.close()
})

async function newEpoch(): Promise<{ epoch: number }> {
  const { request } = await import('node:http')
  return new Promise((resolve, reject) => {
    const sent = request(
      { socketPath: mesh.adminSocket, path: '/v1/new-epoch', method: 'POST' },
      (response) => {
        let text = ''
        response.on('data', (part) => {
          text += part
        })
        response.on('end', () => resolve(JSON.parse(text)))
      },
    )
    sent.on('error', reject)
    sent.end('{}')
  })
}
