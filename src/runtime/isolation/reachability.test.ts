// What an isolated instance can reach: its sidecar, its name server, and nothing else.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readlinkSync } from 'node:fs'
import { createServer as createHttpServer, request } from 'node:http'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { networkInterfaces } from 'node:os'
import { type TestContext, test } from 'node:test'
import type { Compartment } from './compartment.ts'
import { compartment, evaluate, inside, started, WHERE_ISOLATED } from './isolation-testing.ts'
import { INSIDE } from './packet-filter.ts'
import { runTool } from './system-tool.ts'

/** Tries connections, and says for each how it went. */
const TRY = `
import { connect } from 'node:net'
const tryOne = (options) => new Promise((resolve) => {
  const socket = connect({ ...options, timeout: 700 })
  const end = (outcome) => { resolve(outcome); socket.destroy() }
  socket.on('connect', () => end('CONNECTED')).on('error', ({ code }) => end(code)).on('timeout', () => end('TIMEOUT'))
})
const outcomes = []
for (const options of OPTIONS) outcomes.push(await tryOne(options))
console.log(JSON.stringify(outcomes))
`

function attempt(within: Compartment, options: object[]): Promise<string[]> {
  return evaluate(within, TRY.replace('OPTIONS', JSON.stringify(options))) as Promise<string[]>
}

async function listening(t: TestContext, server: Server, options: object): Promise<number> {
  server.listen(options)
  await once(server, 'listening')
  t.after(() => server.close())
  return (server.address() as AddressInfo).port
}

/** A server that counts who connects. */
async function counting(t: TestContext, host: string): Promise<{ port: number; connections(): number }> {
  let count = 0
  const server = createServer((socket) => {
    count++
    socket.destroy()
  })
  return { port: await listening(t, server, { host, port: 0 }), connections: () => count }
}

async function held(t: TestContext): Promise<Compartment> {
  const made = await compartment()
  t.after(() => made.release())
  return made
}

test(
  'a call to any name of the mesh arrives at the sidecar, from an address of the instance alone',
  WHERE_ISOLATED,
  async (t) => {
    const within = await held(t)
    const seen: string[] = []
    const sidecar = createHttpServer((incoming, answer) => {
      seen.push(`${incoming.headers.host} from ${incoming.socket.remoteAddress}`)
      answer.end(`hello ${'x'.repeat(100_000)}`)
    })
    await listening(t, sidecar, { host: within.host, port: within.port })
    const text = await evaluate(
      within,
      `const texts = []
    for (const url of ['http://cart/', 'http://cart.shop/', 'http://cart.shop.svc.cluster.local/x', 'http://${INSIDE.sidecar}/'])
      texts.push((await (await fetch(url)).text()).length)
    console.log(JSON.stringify(texts))`,
    )
    assert.deepEqual(text, [100_006, 100_006, 100_006, 100_006])
    assert.deepEqual(
      seen,
      ['cart', 'cart.shop', 'cart.shop.svc.cluster.local', INSIDE.sidecar].map(
        (name) => `${name} from ${within.address}`,
      ),
    )
  },
)

test(
  'the machine reaches the instance, wherever its server listens, with bodies larger than any segment',
  WHERE_ISOLATED,
  async (t) => {
    for (const host of ['127.0.0.1', '0.0.0.0', '::', 'localhost']) {
      const within = await held(t)
      const server = started(within, process.execPath, [
        '-e',
        `require('http').createServer((q, s) => { let n = 0; q.on('data', (d) => n += d.length).on('end', () => s.end(q.socket.remoteAddress + ' ' + n)) })
      .listen(8080, '${host}', () => console.log('up'))`,
      ])
      await server.wrote(/up/)
      const sent = request({ host: within.address, port: 8080, method: 'POST' })
      sent.end(Buffer.alloc(3_000_000, 'x'))
      const [response] = await once(sent, 'response')
      let body = ''
      for await (const part of response.setEncoding('utf8')) body += part
      assert.match(body, new RegExp(`${INSIDE.sidecar} 3000000$`), host)
      server.child.kill('SIGKILL')
      await server.ran
    }
  },
)

test('a port on which nothing listens refuses at once', WHERE_ISOLATED, async (t) => {
  const within = await held(t)
  const begun = performance.now()
  const sent = request({ host: within.address, port: 8080 })
  const [error] = await once(sent, 'error')
  assert.equal((error as NodeJS.ErrnoException).code, 'ECONNREFUSED')
  // A lost segment would be sent again after a second.
  assert.ok(performance.now() - begun < 900)
})

test(
  'no other function, no server of the machine and nothing of the world can be reached',
  WHERE_ISOLATED,
  async (t) => {
    const [within, other] = [await held(t), await held(t)]
    const neighbour = started(other, process.execPath, [
      '-e',
      `require('net').createServer((s) => { console.log('REACHED'); s.end() }).listen(8080, '0.0.0.0', () => console.log('up'))`,
    ])
    await neighbour.wrote(/up/)
    const everywhere = await counting(t, '0.0.0.0')
    const loopback = await counting(t, '127.0.0.1')
    const sidecar = await counting(t, within.host)
    const otherSidecar = createServer((socket) => socket.destroy())
    let reached = 0
    otherSidecar.on('connection', () => reached++)
    await listening(t, otherSidecar, { host: other.host, port: other.port })
    const own = Object.values(networkInterfaces())
      .flat()
      .filter((one) => one && one.family === 'IPv4' && !one.internal)
      .map((one) => one!.address)
    const targets = [
      { host: other.address, port: 8080 },
      { host: other.host, port: other.port },
      { host: within.address, port: 8080 },
      { host: within.host, port: within.port },
      { host: within.host, port: everywhere.port },
      { host: within.host, port: sidecar.port },
      ...own.map((host) => ({ host, port: everywhere.port })),
      { host: '127.0.0.1', port: everywhere.port },
      { host: '127.0.0.1', port: loopback.port },
      { host: '0.0.0.0', port: everywhere.port },
      // The address that does lead out, at ports of the machine and at that of the sidecar itself.
      { host: INSIDE.sidecar, port: everywhere.port },
      { host: INSIDE.sidecar, port: sidecar.port },
      { host: INSIDE.sidecar, port: within.port },
      { host: INSIDE.sidecar, port: 443 },
      { host: '1.1.1.1', port: 80 },
      { host: '8.8.8.8', port: 53 },
      { host: '169.254.169.254', port: 80 },
      { host: '169.254.1.1', port: everywhere.port },
      { host: '224.0.0.1', port: everywhere.port },
      { host: '255.255.255.255', port: everywhere.port },
      { host: '::1', port: everywhere.port },
      { host: 'fe80::1', port: everywhere.port },
      { host: '2606:4700:4700::1111', port: 443 },
      { host: `::ffff:${within.host}`, port: everywhere.port },
    ]
    const outcomes = await attempt(within, targets)
    targets.forEach((target, index) => {
      assert.match(outcomes[index]!, /^E|^TIMEOUT$/, JSON.stringify(target))
    })
    assert.deepEqual(
      [everywhere.connections(), loopback.connections(), sidecar.connections(), reached],
      [0, 0, 0, 0],
    )
    neighbour.child.kill('SIGKILL')
    assert.doesNotMatch((await neighbour.ran).stdout, /REACHED/)
  },
)

test(
  "a function that calls from its own server's port, or from its loopback address, gets no further",
  WHERE_ISOLATED,
  async (t) => {
    const within = await held(t)
    const everywhere = await counting(t, '0.0.0.0')
    const options = [8080, 80, within.port].flatMap((localPort) => [
      { host: INSIDE.sidecar, port: everywhere.port, localPort },
      { host: INSIDE.sidecar, port: everywhere.port, localPort, localAddress: '127.0.0.1' },
    ])
    for (const outcome of await attempt(within, options)) assert.match(outcome, /^E|^TIMEOUT$/)
    assert.equal(everywhere.connections(), 0)
  },
)

test('datagrams go to the name server alone', WHERE_ISOLATED, async (t) => {
  const within = await held(t)
  const outcomes = await evaluate(
    within,
    `import { createSocket } from 'node:dgram'
    import { Resolver } from 'node:dns/promises'
    const send = (host, port) => new Promise((resolve) => {
      const socket = createSocket('udp4')
      socket.send('x', port, host, (error) => { socket.close(); resolve(error ? error.code : 'SENT') })
    })
    const resolver = new Resolver({ timeout: 500, tries: 1 })
    const ask = (name) => resolver.resolve4(name).catch(({ code }) => code)
    console.log(JSON.stringify([
      await send('${INSIDE.sidecar}', 10000), await send('8.8.8.8', 53), await send('${within.host}', 53),
      await ask('cart.shop'), await ask('www.example.com')]))`,
  )
  assert.deepEqual(outcomes, ['EACCES', 'EACCES', 'EACCES', [INSIDE.sidecar], 'ENOTFOUND'])
})

test(
  'the filter holds by itself: against somebody with all rights in the network, who routes as he likes',
  WHERE_ISOLATED,
  async (t) => {
    const within = await held(t)
    const sleeper = started(within, '/bin/sh', ['-c', 'echo up; exec sleep 1000'])
    t.after(() => sleeper.child.kill('SIGKILL'))
    await sleeper.wrote(/up/)
    const network = `/proc/${sleeper.child.pid}/ns/net`
    // What follows must not happen to the machine.
    assert.notEqual(readlinkSync(network), readlinkSync('/proc/self/ns/net'))
    const everywhere = await counting(t, '0.0.0.0')
    const script = `
    for pref in 10 11 12 13; do ip rule del pref $pref; done
    ip route add default via ${INSIDE.sidecar} dev eth0 onlink
    sysctl -qw net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.eth0.disable_ipv6=0
    ip link set eth0 arp on
    ip route get ${within.host}; ip route get 1.1.1.1
    exec "$0" --input-type=module -e "$1"`
    const targets = [
      { host: within.host, port: everywhere.port },
      { host: within.host, port: within.port },
      { host: INSIDE.sidecar, port: everywhere.port },
      { host: '127.0.0.1', port: everywhere.port },
      { host: '1.1.1.1', port: 80 },
    ]
    const text = TRY.replace('OPTIONS', JSON.stringify(targets))
    const ran = await runTool('/usr/bin/nsenter', [
      `--net=${network}`,
      '/bin/sh',
      '-ec',
      script,
      process.execPath,
      text,
    ])
    assert.ok(ran.ok, JSON.stringify(ran))
    const lines = ran.output.trim().split('\n')
    assert.match(ran.output, /dev eth0/)
    assert.deepEqual(JSON.parse(lines.at(-1)!), ['TIMEOUT', 'TIMEOUT', 'TIMEOUT', 'ECONNREFUSED', 'TIMEOUT'])
    assert.equal(everywhere.connections(), 0)
  },
)

const PYTHON = `
import json, socket
def attempt(family, kind, protocol=0):
    try:
        socket.socket(family, kind, protocol).close()
        return 'OPENED'
    except OSError as error:
        return type(error).__name__
def abstract():
    try:
        one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        one.connect('\\0NAME')
        return 'CONNECTED'
    except OSError as error:
        return type(error).__name__
print(json.dumps([attempt(socket.AF_INET, socket.SOCK_RAW, 1), attempt(socket.AF_INET, socket.SOCK_RAW, 255),
  attempt(socket.AF_PACKET, socket.SOCK_RAW, 768), attempt(socket.AF_INET6, socket.SOCK_RAW, 58),
  attempt(socket.AF_INET, socket.SOCK_DGRAM, 1), abstract()]))
`

test(
  'no raw sockets, no packets, no echo requests, no abstract socket of the machine',
  WHERE_ISOLATED,
  async (t) => {
    const within = await held(t)
    const name = `mayfly-test-${process.pid}`
    const server = createServer((socket) => socket.destroy())
    server.listen({ path: `\0${name}` })
    await once(server, 'listening')
    t.after(() => server.close())
    const ran = await inside(within, '/usr/bin/python3', ['-c', PYTHON.replace('NAME', name)])
    assert.deepEqual(JSON.parse(ran.stdout || ran.stderr), [
      ...Array(5).fill('PermissionError'),
      'ConnectionRefusedError',
    ])
  },
)
