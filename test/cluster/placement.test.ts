// Where instances go in a cluster of real nodes: by what they ask for, over zones, and elsewhere when nodes are drained or lost.

import assert from 'node:assert/strict'
import { availableParallelism } from 'node:os'
import { after, before, test } from 'node:test'
import { type Answer, Client } from '../e2e/cluster.ts'
import { TestCluster } from './cluster.ts'

interface NodeRow {
  node: string
  state: string
  requested: { cpuMillis: number; memoryBytes: number } | null
}

interface InstanceRow {
  id: string
  state: string
  node: string
}

/** Each node has one CPU for instances, so two of these fit on it. */
const SMALL = '400m'
const ONE_CPU = ['--reserve-cpu', String(availableParallelism() - 1), '--isolate', 'off']

const POLICIES = `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: all, namespace: test }
spec: { rules: [{}] }
`

const FUNCTION = `
export default {
  async fetch(request) {
    const wait = Number(new URL(request.url).searchParams.get('wait') ?? 0)
    await new Promise((resolve) => setTimeout(resolve, wait))
    return new Response('served')
  },
}
`

let cluster: TestCluster
let client: Client | undefined

before(async () => {
  cluster = await TestCluster.start()
  cluster.write('fn.ts', FUNCTION)
  await Promise.all([
    cluster.startNode('n1', '--zone', 'x', ...ONE_CPU),
    cluster.startNode('n2', '--zone', 'y', ...ONE_CPU),
    cluster.startGateway(),
  ])
})

after(() => cluster?.stop())

function manifest(name: string, cpu: string, minScale: number): string {
  return JSON.stringify({
    apiVersion: 'serving.knative.dev/v1',
    kind: 'Service',
    metadata: { name, namespace: 'test' },
    spec: {
      template: {
        metadata: { annotations: { 'autoscaling.knative.dev/min-scale': String(minScale) } },
        spec: { containers: [{ image: 'file:./fn.ts', resources: { requests: { cpu } } }] },
      },
    },
  })
}

async function apply(...functions: string[]): Promise<void> {
  await cluster.ok('apply', '-f', cluster.write('all.yaml', [POLICIES, ...functions].join('\n---\n')))
}

/** How many instances take requests, by their nodes. */
async function ready(): Promise<Record<string, number>> {
  const rows = await cluster.json<InstanceRow[]>('get', 'instances')
  const counts: Record<string, number> = {}
  for (const { node, state } of rows) if (state === 'ready') counts[node] = (counts[node] ?? 0) + 1
  return counts
}

async function comesTo(expected: Record<string, number>): Promise<void> {
  const sorted = (counts: Record<string, number>) => JSON.stringify(Object.entries(counts).toSorted())
  let last = ''
  await cluster.until(`instances are ${sorted(expected)}`, async () => {
    const now = sorted(await ready())
    if (now !== last) cluster.roles.get('gateway')!.lines.push(`instances: ${now}`)
    last = now
    return now === sorted(expected)
  })
}

async function failureOf(name: string): Promise<string | null> {
  const rows = await cluster.json<{ name: string; failure: string | null }[]>('get', 'functions')
  return rows.find((row) => row.name === name)!.failure
}

function ask(name: string, path = '/'): Promise<Answer> {
  client ??= new Client({ port: Number(new URL(cluster.gateway).port) })
  return client.get(path, name)
}

test('instances are spread over zones, up to what nodes have; the rest waits and says why', async () => {
  await apply(manifest('fn', SMALL, 2))
  await comesTo({ n1: 1, n2: 1 })
  await apply(manifest('fn', SMALL, 5))
  await comesTo({ n1: 2, n2: 2 })
  const reason = await cluster.until('the function says why', () => failureOf('fn'))
  assert.equal(reason, 'no node has room for an instance that asks for 400m CPU: of 2 nodes 2 too full')
  const nodes = await cluster.json<NodeRow[]>('get', 'nodes')
  const full = { cpuMillis: 800, memoryBytes: 0 }
  assert.deepEqual(nodes.map(({ node, requested }) => [node, requested]).toSorted(), [
    ['gateway', null],
    ['n1', full],
    ['n2', full],
  ])
})

test('requests for what fits nowhere are refused with the reason', async () => {
  await apply(manifest('fn', SMALL, 5), manifest('large', '1500m', 0))
  const { status, body } = await ask('large')
  assert.equal(status, 503)
  assert.match(body, /no node has room for an instance that asks for 1500m CPU/)
  assert.equal((await ask('large')).status, 503)
})

test('what waits starts on a node that joins', async () => {
  await cluster.startNode('n3', '--zone', 'z', ...ONE_CPU)
  await comesTo({ n1: 2, n2: 2, n3: 1 })
  assert.equal(await failureOf('fn'), null)
})

test('a node is drained without a request that fails', async () => {
  await apply(manifest('fn', SMALL, 3))
  await comesTo({ n1: 1, n2: 1, n3: 1 })
  const statuses: number[] = []
  let draining = true
  const load = Array.from({ length: 4 }, async () => {
    while (draining) {
      statuses.push((await ask('fn', '/?wait=20')).status)
    }
  })
  const slow = Array.from({ length: 6 }, () => ask('fn', '/?wait=3000').then(({ status }) => status))
  await cluster.until('requests are served', () => statuses.length > 20)
  await cluster.ok('drain', 'n1', '--timeout', '60s')
  draining = false
  await Promise.all(load)
  assert.deepEqual(new Set([...statuses, ...(await Promise.all(slow))]), new Set([200]))
  assert.equal((await ready()).n1, undefined)
})

test('what a node ran that is out of reach is started elsewhere; when it is back there are no doubles', async () => {
  await apply(manifest('fn', SMALL, 4))
  await comesTo({ n2: 2, n3: 2 })
  await cluster.ok('uncordon', 'n1')
  const { process } = cluster.roles.get('n2')!
  process.kill('SIGSTOP')
  try {
    await comesTo({ n1: 2, n3: 2 })
  } finally {
    process.kill('SIGCONT')
  }
  await cluster.until('the node is back', async () => {
    const rows = await cluster.json<NodeRow[]>('get', 'nodes')
    return rows.some(({ node, state }) => node === 'n2' && state === 'ready')
  })
  await cluster.until('there are as many as are wanted', async () => {
    const rows = await cluster.json<InstanceRow[]>('get', 'instances')
    return rows.length === 4 && rows.every(({ state }) => state === 'ready')
  })
})
