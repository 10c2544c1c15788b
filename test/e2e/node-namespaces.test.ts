// Two nodes in network namespaces of their own, which only a cable joins: the gateway's engines in one, those of the
// functions and an instance in the other.

import assert from 'node:assert/strict'
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import { readManifests } from '../../src/api/read-manifests.ts'
import { spawnEngine } from '../../src/cli/spawn-engine.ts'
import { CertificateAuthority } from '../../src/control/certificate-authority.ts'
import { compileMesh } from '../../src/control/compile-mesh.ts'
import { Mesh } from '../../src/control/mesh.ts'
import { serverName } from '../../src/dataplane/server-name.ts'
import { createRuntime } from '../../src/runtime/runtime.ts'
import { functionManifest, meshConfig } from './cluster.ts'

const run = promisify(execFile)
const ID = process.pid
const skip =
  process.platform !== 'linux' || process.getuid?.() !== 0
    ? 'network namespaces are made by root on Linux only'
    : !works()
      ? 'this system allows no network namespaces (`ip netns add` fails)'
      : false

const GATEWAY = `mayfly-g${ID}`
const WORKER = `mayfly-w${ID}`
const GATEWAY_ADDRESS = '10.213.77.1'
const WORKER_ADDRESS = '10.213.77.2'
const INSTANCE = `
const server = require('node:http').createServer((request, response) => {
  response.end(JSON.stringify({ url: request.url, headers: request.headers }))
})
server.listen(0, '127.0.0.1', () => console.log(server.address().port))`

function works(): boolean {
  try {
    execFileSync('ip', ['netns', 'add', `mayfly-p${ID}`], { stdio: 'ignore' })
    execFileSync('ip', ['netns', 'del', `mayfly-p${ID}`], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

const within = (namespace: string) => ['ip', 'netns', 'exec', namespace]

function inside(namespace: string, command: string, ...args: string[]) {
  return run('ip', ['netns', 'exec', namespace, command, ...args])
}

/** Two namespaces with a pair of virtual devices between them. */
function connectNamespaces(): void {
  const ip = (...args: string[]) => execFileSync('ip', args)
  for (const name of [GATEWAY, WORKER]) {
    ip('netns', 'add', name)
    ip('-n', name, 'link', 'set', 'lo', 'up')
  }
  ip('link', 'add', 'veth0', 'netns', GATEWAY, 'type', 'veth', 'peer', 'name', 'veth0', 'netns', WORKER)
  for (const [name, address] of [
    [GATEWAY, GATEWAY_ADDRESS],
    [WORKER, WORKER_ADDRESS],
  ] as const) {
    ip('-n', name, 'addr', 'add', `${address}/24`, 'dev', 'veth0')
    ip('-n', name, 'link', 'set', 'veth0', 'up')
  }
}

let mesh: Mesh | null = null
let instance: ChildProcess | null = null

before(async () => {
  if (skip) return
  connectNamespaces()
  instance = spawn('ip', [...within(WORKER).slice(1), process.execPath, '-e', INSTANCE], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [port] = await once(instance.stdout!, 'data')
  const image = `endpoint:127.0.0.1:${String(port).trim()}`
  const text = [
    meshConfig({ engines: 2 }),
    ...['fn', 'caller'].map((name) => functionManifest({ image, name })),
  ].join('\n---\n')
  const read = readManifests([{ path: 'mesh.yaml', text }])
  assert.ok(read.ok)
  const compiled = compileMesh(read.resources)
  assert.ok(compiled.ok)
  const node = { engines: 2, port: 0 }
  const started = new Mesh(compiled.mesh, {
    gateway: { host: GATEWAY_ADDRESS, port: 0 },
    nodes: [
      {
        ...node,
        name: 'gateway',
        gateway: true,
        host: GATEWAY_ADDRESS,
        spawn: spawnEngine('mesh', within(GATEWAY)),
        runtime: null,
      },
      {
        ...node,
        name: 'worker',
        gateway: false,
        host: WORKER_ADDRESS,
        spawn: spawnEngine('mesh', within(WORKER)),
        runtime: createRuntime(),
      },
    ],
    authority: await CertificateAuthority.open(),
    notice: (text) => process.stderr.write(`${text}\n`),
  })
  mesh = started
  assert.equal(await started.start(), null)
})

after(async () => {
  await mesh?.stop()
  instance?.kill('SIGKILL')
  if (skip) return
  for (const name of [GATEWAY, WORKER]) execFileSync('ip', ['netns', 'del', name], { stdio: 'ignore' })
})

test('a request from one namespace reaches a function in the other over mutual TLS', { skip }, async () => {
  const { stdout } = await inside(
    GATEWAY,
    'curl',
    '-sS',
    '--fail',
    '-H',
    'host: fn.test.localhost',
    `${mesh!.gateway}/hello?a=b`,
  )
  const seen = JSON.parse(stdout)
  assert.equal(seen.url, '/hello?a=b')
  assert.equal(seen.headers['x-forwarded-for'], GATEWAY_ADDRESS)
  const answers = await mesh!.query({ kind: 'counters' })
  const handshakes = answers.map(({ answer }) => (answer as { tlsHandshakes: number }).tlsHandshakes)
  assert.equal(
    handshakes.reduce((sum, one) => sum + one, 0),
    2,
    'one on either side',
  )
})

test('functions call each other inside their namespace, and are told who calls', { skip }, async () => {
  const egress = mesh!.egressUrl('test/caller')!
  const { stdout } = await inside(WORKER, 'curl', '-sS', '--fail', '-H', 'host: fn', `${egress}/inside`)
  assert.match(
    JSON.parse(stdout).headers['x-forwarded-client-cert'],
    /URI=spiffe:\/\/cluster\.local\/ns\/test\/sa\/caller$/,
  )
  await assert.rejects(inside(GATEWAY, 'curl', '-sS', '-m', '5', '-H', 'host: fn', egress))
})

test('who has no certificate gets nothing of the node, from either namespace', { skip }, async () => {
  const address = mesh!.nodes().find(({ node }) => node === 'worker')!.address!
  for (const namespace of [GATEWAY, WORKER]) {
    const name = serverName('test/fn', 8080)
    const said = await openssl(namespace, '-connect', address, '-servername', name)
    // It ends the connection; whether the client still reads the alert is a matter of luck (node-tls.test.ts holds that there is one).
    assert.match(said, /CONNECTED/)
    assert.doesNotMatch(said, /HTTP\/1\.1 \d/)
    const plain = await inside(namespace, 'curl', '-sS', '-i', '-H', 'host: fn.test', `http://${address}/`)
    assert.match(plain.stdout, /^HTTP\/1\.1 403 /)
  }
})

/** What a client says that sends a request and waits until the other side ends the connection. */
function openssl(namespace: string, ...args: string[]): Promise<string> {
  const [command, ...inside] = [...within(namespace), 'openssl', 's_client', ...args]
  const child = spawn(command!, inside)
  let said = ''
  for (const output of [child.stdout, child.stderr])
    output.on('data', (part) => {
      said += part
    })
  child.stdin.on('error', () => {})
  child.stdin.write('GET / HTTP/1.1\r\nhost: fn.test\r\n\r\n')
  return new Promise((resolve) => child.on('close', () => resolve(said)))
}
