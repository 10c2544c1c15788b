// DestinationRules at work: load balancing, bounds with their refusals, outlier detection, subsets.

import assert from 'node:assert/strict'
import { after, afterEach, before, test } from 'node:test'
import { RawClient } from '../raw-client.ts'
import { echoPath, type HttpMesh, type Instance, startHttpMesh, startInstance } from './http-world.ts'

const rule = (name: string, policy: string, more = '') => `apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: ${name}, namespace: test}
spec:
  host: ${name}
  trafficPolicy: {${policy}}
  ${more}`

const subsetRoute = `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: subset, namespace: test}
spec:
  hosts: [subset]
  http:
    - match: [{uri: {prefix: /old}}]
      route: [{destination: {host: subset, subset: old}}]
    - route: [{destination: {host: subset, subset: own}}]`

let mesh: HttpMesh
/** Answer with their number; "/bad…" with 500, "/wait…" when the test says so. */
const instances: Instance[] = []
const waiting: (() => void)[] = []
let reached = 0
let bad = new Set<number>()

before(async () => {
  for (let i = 0; i < 3; i++) instances.push(await startNumbered(i))
  const three = instances.map(({ address }) => address).join(',')
  const names = [
    'turn',
    'chance',
    'header',
    'cookie',
    'query',
    'address',
    'few',
    'once',
    'eject',
    'panic',
    'subset',
    'narrow',
    'open',
  ]
  mesh = await startHttpMesh(Object.fromEntries(names.map((name) => [name, three])), {
    more: [
      rule('turn', 'loadBalancer: {simple: ROUND_ROBIN}'),
      rule('chance', 'loadBalancer: {simple: RANDOM}'),
      rule('header', 'loadBalancer: {consistentHash: {httpHeaderName: X-User}}'),
      rule('cookie', 'loadBalancer: {consistentHash: {httpCookie: {name: seat, path: /, ttl: 60s}}}'),
      rule(
        'query',
        'loadBalancer: {consistentHash: {httpQueryParameterName: user, maglev: {tableSize: 251}}}',
      ),
      rule('address', 'loadBalancer: {consistentHash: {useSourceIp: true}}'),
      rule('few', 'connectionPool: {http: {http2MaxRequests: 2}}'),
      rule('narrow', 'connectionPool: {tcp: {maxConnections: 1}, http: {http1MaxPendingRequests: 1}}'),
      rule('once', 'connectionPool: {http: {maxRequestsPerConnection: 1}}'),
      rule(
        'eject',
        'outlierDetection: {consecutive5xxErrors: 2, interval: 100ms, baseEjectionTime: 200ms, maxEjectionPercent: 100}',
      ),
      rule(
        'panic',
        'outlierDetection: {consecutive5xxErrors: 1, baseEjectionTime: 1h, maxEjectionPercent: 100, minHealthPercent: 50}',
      ),
      rule(
        'subset',
        'loadBalancer: {simple: ROUND_ROBIN}',
        'subsets: [{name: own, labels: {}}, {name: old, labels: {version: v0}}]',
      ),
      subsetRoute,
    ].join('\n---\n'),
  })
})
afterEach(async () => {
  bad = new Set()
  await mesh.counted({ requestsInFlight: 0 })
})
after(async () => {
  await mesh?.stop()
  for (const instance of instances) instance.close()
})

test('ROUND_ROBIN goes in turn, RANDOM reaches all, and so does a hash without a key', async () => {
  assert.deepEqual(
    new Set(await bodies('turn', Array(6).fill('')).then((all) => all.slice(0, 3))),
    new Set(['0', '1', '2']),
  )
  const turns = await bodies('turn', Array(6).fill(''))
  assert.deepEqual(turns.slice(0, 3), turns.slice(3))
  assert.equal(new Set(await bodies('chance', Array(40).fill(''))).size, 3)
  assert.equal(new Set(await bodies('header', Array(40).fill(''))).size, 3)
})

test('a key goes to the same instance each time, and keys are spread', async () => {
  for (const [fn, fields, path] of [
    ['header', (i: number) => `x-user: user-${i}\r\n`, () => '/'],
    ['cookie', (i: number) => `cookie: a=b; seat=user-${i}; c=d\r\n`, () => '/'],
    ['query', () => '', (i: number) => `/?a=b&user=user-${i}&c=d`],
  ] as const) {
    const found = new Map<number, Set<string>>()
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 12; i++) {
        const { body } = await ask(fn, fields(i), path(i))
        found.set(i, (found.get(i) ?? new Set()).add(body))
      }
    }
    for (const [i, reachedBy] of found) assert.equal(reachedBy.size, 1, `${fn} user-${i}`)
    assert.ok(new Set([...found.values()].flatMap((one) => [...one])).size > 1, fn)
  }
  assert.equal(new Set(await bodies('address', Array(10).fill(''))).size, 1)
})

test('a client without the cookie is given one, by which it comes back to the same instance', async () => {
  for (let i = 0; i < 6; i++) {
    const first = await ask('cookie', '')
    const cookie = /set-cookie: (seat="[0-9a-f]{16}"); Max-Age=60; Path=\/; HttpOnly\r\n/.exec(
      first.head,
    )![1]!
    for (const sent of [cookie, cookie.replaceAll('"', '')]) {
      const again = await ask('cookie', `cookie: ${sent}\r\n`)
      assert.equal(again.body, first.body)
      assert.doesNotMatch(again.head, /set-cookie/)
    }
  }
})

test('requests beyond http2MaxRequests are refused as Envoy does', async () => {
  const held = [hold('few'), hold('few')]
  await untilReached(2)
  const refused = await ask('few', '', '/over')
  assert.match(refused.head, /^HTTP\/1\.1 503 .*x-envoy-overloaded: true\r\n/s)
  assert.match(await mesh.line('stdout', /"\/over"/), /"response_flags":"UO"/)
  const inside = await ask('few', '', '/over', Number(new URL(mesh.functions['test/open']!.egress).port))
  assert.match(inside.head, /^HTTP\/1\.1 503 .*x-envoy-overloaded: true\r\n/s)
  release()
  for (const one of held) assert.equal((await one).status, 200)
  assert.equal((await ask('few', '')).status, 200)
})

test('with one connection one request waits, and no more', async () => {
  const first = hold('narrow')
  await untilReached(1)
  const second = ask('narrow', '')
  await mesh.counted({ requestsInFlight: 2 })
  assert.equal((await ask('narrow', '')).status, 503)
  release()
  assert.deepEqual([(await first).status, (await second).status], [200, 200])
})

test('a connection carries as many requests as it may', async () => {
  const before = instances.reduce((sum, { connections }) => sum + connections.length, 0)
  await bodies('once', Array(6).fill(''))
  assert.equal(instances.reduce((sum, { connections }) => sum + connections.length, 0) - before, 6)
})

test('an instance that fails is left out, and comes back', async () => {
  bad = new Set([1])
  const answers: number[] = []
  for (let i = 0; i < 20; i++) answers.push((await ask('eject', '')).status)
  assert.equal(answers.filter((status) => status === 500).length, 2)
  await mesh.counted({ outliersEjected: 1 })
  bad = new Set()
  for (;;) if ((await ask('eject', '')).body === '1') break
})

test('where all are left out there is no healthy upstream', async () => {
  bad = new Set([0, 1, 2])
  let refused: Answer
  do refused = await ask('eject', '', '/none')
  while (refused.status === 500)
  assert.equal(refused.status, 503)
  assert.match(await mesh.line('stdout', /"\/none".*"UH"|"UH".*"\/none"/), /no_healthy_upstream|UH/)
})

test('below minHealthPercent all are used', async () => {
  bad = new Set([0, 1, 2])
  for (let i = 0; i < 12; i++) assert.equal((await ask('panic', '')).status, 500)
})

test('a subset is those instances whose labels it asks for', async () => {
  assert.equal((await ask('subset', '', '/')).status, 200)
  const { status, head } = await ask('subset', '', '/old')
  assert.equal(status, 503, head)
})

interface Answer {
  status: number
  head: string
  body: string
}

/** `port`: the egress address of a function that calls; left out: from outside. */
async function ask(fn: string, fields: string, path = '/', port = 0): Promise<Answer> {
  const client = port === 0 ? await mesh.client() : await RawClient.connect(port)
  client.send(
    `GET ${path} HTTP/1.1\r\nhost: ${fn}.test${port === 0 ? '.localhost' : ''}\r\nconnection: close\r\n${fields}\r\n`,
  )
  const text = await client.receive()
  client.close()
  const end = text.indexOf('\r\n\r\n') + 4
  return { status: Number(text.slice(9, 12)), head: text.slice(0, end), body: text.slice(end).trim() }
}

async function bodies(fn: string, fields: readonly string[]): Promise<string[]> {
  const found: string[] = []
  for (const one of fields) found.push((await ask(fn, one)).body)
  return found
}

/** A request that its instance answers only after `release`. */
const hold = (fn: string) => ask(fn, '', '/wait')

function release(): void {
  for (const answer of waiting.splice(0)) answer()
  reached = 0
}

async function untilReached(count: number): Promise<void> {
  while (reached < count) await new Promise(setImmediate)
}

async function startNumbered(number: number): Promise<Instance> {
  const instance: Instance = await startInstance((received) => {
    const path = echoPath(received)
    if (path === null) return null
    const answer = `HTTP/1.1 ${bad.has(number) ? 500 : 200} Any\r\ncontent-length: 1\r\n\r\n${number}`
    if (!path.endsWith('/wait')) return answer
    const { socket } = instance.connections.find((one) => one.received === received)!
    waiting.push(() => socket.write(answer))
    reached++
    return ''
  })
  return instance
}
