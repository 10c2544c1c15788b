// Requests for a function go to several of its revisions, by the parts that its Service names.

import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { FunctionStatus } from '../../src/control/mesh-status.ts'
import { ALLOW_ALL, EchoCluster, echoFunction } from './echo-cluster.ts'

let cluster: EchoCluster

before(async () => {
  cluster = await EchoCluster.start()
  await cluster.ok('apply', '-f', cluster.write('policy.yaml', ALLOW_ALL))
})
after(() => cluster?.stop())

/** The echo function with a traffic of its own. */
async function apply(says: string, traffic: readonly object[] = []): Promise<void> {
  const spec = traffic.length === 0 ? '' : `  traffic: ${JSON.stringify(traffic)}\n`
  await cluster.ok('apply', '-f', cluster.write('echo.yaml', echoFunction('echo', says) + spec))
}

/** How often each answer came. */
async function answers(requests: number): Promise<Record<string, number>> {
  const seen: Record<string, number> = {}
  for (let i = 0; i < requests; i++) {
    const { status, body } = await cluster.ask()
    assert.equal(status, 200)
    seen[body] = (seen[body] ?? 0) + 1
  }
  return seen
}

test('a part of the requests goes to an earlier revision, by weight, and none is lost', async () => {
  await apply('one')
  await cluster.answers('one')
  await apply('two', [
    { latestRevision: true, percent: 50 },
    { revisionName: 'echo-00001', percent: 50 },
  ])
  await cluster.answers('two')
  const seen = await answers(200)
  assert.deepEqual(Object.keys(seen).sort(), ['one', 'two'])
  // Beyond five standard deviations of a fair draw.
  assert.ok(seen.one! > 65 && seen.two! > 65, JSON.stringify(seen))
  const functions = await cluster.json<FunctionStatus[]>('get', 'functions')
  assert.deepEqual(
    functions.map(({ name, revision, principal }) => [name, revision, principal]),
    [
      ['echo', 'echo-00002', 'cluster.local/ns/test/sa/echo'],
      ['echo-00001', 'echo-00001', 'cluster.local/ns/test/sa/echo'],
    ],
  )
})

test('another division alone makes no revision', async () => {
  await apply('two', [
    { latestRevision: true, percent: 0 },
    { revisionName: 'echo-00001', percent: 100 },
  ])
  await cluster.answers('one')
  assert.deepEqual(await answers(20), { one: 20 })
  const functions = await cluster.json<FunctionStatus[]>('get', 'functions')
  assert.deepEqual(
    functions.map(({ revision }) => revision),
    ['echo-00002', 'echo-00001'],
  )
})

test('a revision that is named goes on serving when newer ones come', async () => {
  await apply('three', [{ revisionName: 'echo-00002', percent: 100 }])
  await cluster.answers('two')
  assert.deepEqual(await answers(20), { two: 20 })
})

test('the control plane knows it after a restart', async () => {
  await cluster.roles.get('control-plane')!.kill('SIGKILL')
  await cluster.startControlPlane()
  assert.deepEqual(await answers(20), { two: 20 })
  const functions = await cluster.json<FunctionStatus[]>('get', 'functions')
  assert.deepEqual(
    functions.map(({ name }) => name),
    ['echo', 'echo-00002'],
  )
})

test('what names no revision that is kept is refused, and changes nothing', async () => {
  await assert.rejects(
    apply('four', [{ revisionName: 'echo-00009', percent: 100 }]),
    /spec\.traffic\[0\]\.revisionName: "echo-00009" is no revision that is known here: the newest is echo-00004/,
  )
  const rival = cluster.write('rival.yaml', echoFunction('echo-00002', 'rival'))
  await assert.rejects(
    cluster.ok('apply', '-f', rival),
    /metadata\.name: is the name of a revision of test\/echo that serves/,
  )
  assert.deepEqual(await answers(5), { two: 5 })
})

test('routes of a VirtualService name revisions by their names', async () => {
  await apply('three', [
    { latestRevision: true, percent: 100 },
    { revisionName: 'echo-00002', percent: 0 },
  ])
  await cluster.answers('three')
  const routes = cluster.write(
    'routes.yaml',
    `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: echo, namespace: test}
spec:
  hosts: [echo]
  http:
    - match: [{uri: {prefix: /old}}]
      route: [{destination: {host: echo-00002}}]
    - route: [{destination: {host: echo}}]
`,
  )
  await cluster.ok('apply', '-f', routes)
  await cluster.until(
    'the route is in force',
    async () => (await cluster.ask(undefined, '/old')).body === 'two',
  )
  assert.deepEqual(await answers(5), { three: 5 })
  await assert.rejects(
    apply('three', [{ revisionName: 'echo-00002', percent: 100 }]),
    /routes the same requests/,
  )
})

test('what is named no more ends', async () => {
  await cluster.ok('delete', 'virtualservice', 'test/echo')
  await apply('three')
  await cluster.until('one function is left', async () => {
    const functions = await cluster.json<FunctionStatus[]>('get', 'functions')
    const instances = await cluster.instances()
    return functions.length === 1 && instances.every(({ id }) => id.includes('echo-00003'))
  })
  assert.deepEqual(await answers(5), { three: 5 })
})
