// Nodes forget functions that nobody uses, and learn of them again when somebody does.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { ALLOW_ALL, EchoCluster } from './echo-cluster.ts'

const FUNCTION = `apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: echo, namespace: test}
spec:
  template:
    metadata: {annotations: {autoscaling.knative.dev/window: 12s}}
    spec:
      containers: [{image: "file:./slow.mjs"}]
`
const LIMIT = `apiVersion: mayfly.dev/v1
kind: RateLimitPolicy
metadata: {name: limit, namespace: test}
spec:
  limits: [{name: all, requests: 1000, unit: minute}]
`
const PROGRAM = `export default {fetch: async (request) => {
  await new Promise((resolve) => setTimeout(resolve, Number(new URL(request.url).pathname.slice(1))))
  return new Response('served')
}}\n`

let cluster: EchoCluster

before(async () => {
  cluster = new EchoCluster()
  await cluster.startControlPlane('--slice-idle', '3s')
  await cluster.startNode('n1')
  await cluster.startGateway()
  cluster.write('slow.mjs', PROGRAM)
  await cluster.ok('apply', '-f', cluster.write('all.yaml', [FUNCTION, ALLOW_ALL, LIMIT].join('---\n')))
})

after(() => cluster.stop())

test('a function that nobody asks for is forgotten by gateway and node, and works again on demand', async () => {
  assert.deepEqual(await cluster.ask(), { status: 200, body: 'served' })
  assert.deepEqual(await known(), { gateway: 1, n1: 1 })
  // The gateway has no use for it soon; the node has, as long as it runs there.
  await cluster.until('the gateway forgets it', async () => (await known()).gateway === 0)
  const [instance, ...others] = await cluster.instances()
  assert.deepEqual([instance?.state, others.length, (await known()).n1], ['ready', 0, 1])
  assert.deepEqual(await cluster.ask(), { status: 200, body: 'served' })
  assert.deepEqual(
    (await cluster.instances()).map(({ id }) => id),
    [instance!.id],
  )
  assert.equal((await known()).gateway, 1)
  await cluster.until('nobody knows it', async () => {
    const { gateway, n1 } = await known()
    return gateway === 0 && n1 === 0
  })
  assert.deepEqual(await cluster.instances(), [])
  assert.deepEqual(await cluster.ask(), { status: 200, body: 'served' })
})

test('a function is known as long as a request takes', async () => {
  const answer = cluster.ask('echo.test.localhost', '/8000')
  let ended = false
  void answer.then(() => {
    ended = true
  })
  await cluster.until('it is asked', async () => (await known()).gateway === 1)
  const seen: number[] = []
  while (!ended) seen.push((await known()).gateway!)
  assert.deepEqual(await answer, { status: 200, body: 'served' })
  assert.ok(seen.length > 1)
  assert.deepEqual(new Set(seen.slice(0, -1)), new Set([1]))
})

async function known(): Promise<Record<string, number>> {
  return Object.fromEntries((await cluster.nodes()).map(({ node, functions }) => [node, functions]))
}
