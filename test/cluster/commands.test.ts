// The cluster's commands against real roles: one control plane, two nodes, a gateway.

import assert from 'node:assert/strict'
import { readFileSync, statSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { ClusterNodeRow } from '../../src/cli/node-rows.ts'
import type { FunctionStatus, InstanceStatus } from '../../src/control/mesh-status.ts'
import type { AuditRecord } from '../../src/control/resources/audit-log.ts'
import { TestCluster } from './cluster.ts'

let cluster: TestCluster

const functionFile = (name: string, says: string) => `apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: ${name}, namespace: test, labels: {tier: ${name}}}
spec:
  template:
    metadata: {annotations: {autoscaling.knative.dev/min-scale: "1"}}
    spec:
      containers: [{image: "file:./fn.mjs", env: [{name: SAYS, value: "${says}"}]}]
`
const PROGRAM = `export default {fetch: () => { console.log('asked'); return new Response(process.env.SAYS) }}\n`
const POLICY = `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: all, namespace: test}
spec: {action: ALLOW, rules: [{}]}
`

before(async () => {
  cluster = await TestCluster.start()
  await cluster.startNode('n1', '--zone', 'east')
  await cluster.startNode('n2', '--zone', 'west')
  await cluster.startGateway()
  cluster.write('fn.mjs', PROGRAM)
})

after(async () => cluster?.stop())

function ask(path = '/', host = 'echo.test.localhost'): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const sent = request(cluster.gateway + path, { headers: { host }, agent: false }, async (response) => {
      let body = ''
      for await (const part of response.setEncoding('utf8')) body += part
      resolve({ status: response.statusCode!, body })
    })
    sent.on('error', reject)
    sent.end()
  })
}

const answers = (body: string) =>
  cluster.until(`the function answers ${body}`, async () => (await ask()).body === body)
const nodes = () => cluster.json<ClusterNodeRow[]>('get', 'nodes')
const instances = () => cluster.json<InstanceStatus[]>('get', 'instances')

describe('a cluster is used', () => {
  test('nodes say what they are', async () => {
    const rows = await nodes()
    assert.deepEqual(
      rows.map(({ node, roles, state, schedulable, zone }) => ({ node, roles, state, schedulable, zone })),
      [
        { node: 'gateway', roles: ['gateway'], state: 'ready', schedulable: true, zone: '' },
        { node: 'n1', roles: ['functions'], state: 'ready', schedulable: true, zone: 'east' },
        { node: 'n2', roles: ['functions'], state: 'ready', schedulable: true, zone: 'west' },
      ],
    )
    for (const { cpus, memoryBytes, version, lastSeen } of rows) {
      assert.ok(cpus >= 1 && memoryBytes > 1_000_000 && version !== '')
      assert.ok(Math.abs(Date.parse(lastSeen!) - Date.now()) < 600_000)
    }
    assert.equal(rows[0]!.gateway, cluster.gateway)
    assert.match(rows[1]!.address!, /^127\.0\.0\.1:\d+$/)
  })

  test('what is applied serves, is listed, and is what diff compares with', async () => {
    const file = cluster.write('echo.yaml', `${functionFile('echo', 'one')}---\n${POLICY}`)
    const differs = await cluster.run('diff', '-f', file)
    assert.equal(differs.code, 1, differs.stderr)
    assert.match(differs.stdout, /^--- \/dev\/null\n\+\+\+ written\/Service\/test\/echo\n@@ -0,0 \+1,/)
    const dry = await cluster.ok('apply', '-f', file, '--dry-run')
    assert.match(dry.stdout, /Service test\/echo created \(dry run\)/)
    assert.deepEqual(await cluster.json('get', 'functions'), [])
    assert.match((await cluster.ok('apply', '-f', file)).stdout, /Service test\/echo created\n/)
    assert.match((await cluster.ok('apply', '-f', file)).stdout, /Service test\/echo unchanged\n/)
    await answers('one')
    assert.deepEqual(await cluster.run('diff', '-f', file), { code: 0, stdout: '', stderr: '' })
    cluster.write('echo.yaml', `${functionFile('echo', 'two')}---\n${POLICY}`)
    const changed = await cluster.run('diff', '-f', file)
    assert.equal(changed.code, 1)
    assert.match(changed.stdout, /^-\s+value: one\n\+\s+value: two$/m)
    const broken = cluster.write(
      'broken.yaml',
      functionFile('echo', 'x').replace('containers:', 'container:'),
    )
    const refused = await cluster.run('diff', '-f', broken)
    assert.equal(refused.code, 2)
    assert.match(refused.stderr, /broken\.yaml:\d+.*container/)
    assert.equal((await cluster.run('diff', '-f', '/nowhere')).code, 2)
  })

  test('functions and instances are shown as they are', async () => {
    const fn = await cluster.json<FunctionStatus>('get', 'function', 'echo')
    assert.equal(fn.name, 'echo')
    assert.equal(fn.ready, 1)
    assert.ok(fn.requests >= 1)
    const [instance] = await instances()
    assert.equal(instance!.state, 'ready')
    assert.match(instance!.node!, /^n[12]$/)
    const node = (await nodes()).find(({ node: name }) => name === instance!.node)!
    assert.equal(node.instances, 1)
    const described = await cluster.json<{ status: FunctionStatus; rules: unknown[] }>(
      'describe',
      'test/echo',
    )
    assert.equal(described.status.ready, 1)
    const there = await cluster.json<{ instances: InstanceStatus[] }>('describe', 'node', node.node)
    assert.deepEqual(
      there.instances.map(({ id }) => id),
      [instance!.id],
    )
    assert.match((await cluster.run('get', 'function', 'none')).stderr, /none of functions called none/)
    assert.match((await cluster.run('get', 'nodes', '-n', 'test')).stderr, /no namespace/)
    assert.match((await cluster.run('get', 'nonsense')).stderr, /no kind nonsense: expected one of/)
  })

  test('selectors, namespaces and formats are as in kubectl', async () => {
    const name = async (...words: string[]) => (await cluster.ok('get', ...words, '-o', 'name')).stdout
    cluster.write('other.yaml', functionFile('other', 'x'))
    await cluster.ok('apply', '-f', join(cluster.folder, 'other.yaml'))
    assert.equal(await name('service', '-l', 'tier=echo'), 'Service/test/echo\n')
    assert.equal(await name('ksvc', '-l', 'tier notin (echo)', '-A'), 'Service/test/other\n')
    assert.equal(await name('functions', '-l', 'tier=other'), 'test/other\n')
    assert.equal(await name('service/other', '-n', 'test'), 'Service/test/other\n')
    assert.equal(await name('services', '-n', 'elsewhere'), '')
    const list = await cluster.json<{ kind: string; items: { kind: string }[] }>(
      'get',
      'authorizationpolicies',
    )
    assert.deepEqual([list.kind, list.items.map(({ kind }) => kind)], ['List', ['AuthorizationPolicy']])
    const wrong = await cluster.run('get', 'service', '-l', 'tier in (')
    assert.match(wrong.stderr, /no label requirement/)
    assert.equal(wrong.code, 1)
    assert.equal((await cluster.ok('delete', 'service', 'other')).stdout, 'Service test/other deleted\n')
    assert.match((await cluster.run('delete', 'service', 'other')).stderr, /there is no Service other/)
    assert.equal((await cluster.run('delete', 'service', 'other', '--ignore-not-found')).code, 0)
  })

  test('what was changed by somebody else meanwhile is not overwritten', async () => {
    const { stdout: read } = await cluster.ok('get', 'service', 'test/echo', '-o', 'yaml')
    assert.match(read, /resourceVersion: "\d+"/)
    const apply = (text: string) => cluster.runAs(cluster.admin, ['apply', '-f', '-'], text)
    assert.match((await apply(read)).stdout, /unchanged/)
    const mine = read.replace('value: one', 'value: mine')
    assert.match((await apply(mine)).stdout, /configured/)
    const late = await apply(read.replace('value: one', 'value: late'))
    assert.equal(late.code, 1)
    assert.match(late.stderr, /is at resourceVersion \d+, not \d+: somebody changed it since; get it again/)
    await answers('mine')
  })

  test('revisions roll out, are kept, and come back', async () => {
    await cluster.ok('rollout', 'status', 'echo')
    const [first, second] = await cluster.json<{ revision: number; name: string; current: boolean }[]>(
      ...['rollout', 'history', 'echo'],
    )
    assert.deepEqual([first!.name, first!.current], ['echo-00001', false])
    assert.deepEqual([second!.name, second!.current], ['echo-00002', true])
    assert.match((await cluster.ok('rollout', 'undo', 'echo')).stdout, /configured: revision 3/)
    await answers('one')
    await cluster.ok('rollout', 'status', 'test/echo', '--timeout', '1m')
    assert.match((await cluster.run('rollout', 'undo', 'echo', '--to-revision', '9')).stderr, /no revision 9/)
    assert.equal((await cluster.run('rollout', 'undo', 'echo', '--to-revision', 'x')).code, 2)
    const fn = await cluster.json<FunctionStatus>('get', 'function', 'test/echo')
    assert.equal(fn.revision, 'echo-00003')
  })

  test('logs, past requests and those described are explained, a function is invoked', async () => {
    await ask()
    await cluster.until('its words are in the log', async () =>
      /asked/.test((await cluster.ok('logs', 'echo', '--tail', '5')).stdout),
    )
    const explained = await cluster.json<{ outcome: string; verdicts: { policy: string }[] }>(
      ...['explain', '--to', 'echo'],
    )
    assert.equal(explained.outcome, 'allowed')
    assert.match((await cluster.run('explain', '--to', 'nothing')).stderr, /there is no function nothing/)
    const invoked = await cluster.ok('invoke', 'echo', '-i')
    assert.match(invoked.stdout, /^HTTP\/1\.1 200 [\s\S]*one$/)
    const id = /x-request-id: (\S+)/.exec(invoked.stdout)?.[1]
    if (id !== undefined) assert.match((await cluster.ok('explain', id)).stdout, /answered 200/)
  })

  test('top shows what nodes and functions use', async () => {
    await Promise.all(Array.from({ length: 20 }, () => ask()))
    const functions = await cluster.json<
      { function: string; memory: number; instances: number; requests: number }[]
    >(...['top', 'functions', '--interval', '300ms'])
    const echo = functions.find(({ function: key }) => key === 'test/echo')!
    assert.ok(echo.memory > 1_000_000 && echo.instances >= 1 && echo.requests >= 20, JSON.stringify(echo))
    const rows = await cluster.json<{ node: string; meshMemory: number; functionsMemory: number }[]>(
      ...['top', 'nodes', '--interval', '300ms'],
    )
    assert.deepEqual(rows.map(({ node }) => node).toSorted(), ['gateway', 'n1', 'n2'])
    assert.ok(rows.every(({ meshMemory }) => meshMemory > 1_000_000))
    assert.ok(rows.some(({ functionsMemory }) => functionsMemory > 1_000_000))
    assert.match((await cluster.ok('top', '--once', '--interval', '200ms')).stdout, /^FUNCTION +CPU +MEMORY/)
  })

  test('a watch tells of every change', async () => {
    const child = cluster.spawn(['get', 'authorizationpolicy', '-w'])
    let seen = ''
    child.stdout!.setEncoding('utf8').on('data', (text) => {
      seen += text
    })
    try {
      await cluster.until('the watch has begun', () => /added +test +all/.test(seen))
      const file = cluster.write('two.yaml', POLICY.replace('name: all', 'name: two'))
      await cluster.ok('apply', '-f', file)
      await cluster.until('the new policy is told', () => /added +test +two/.test(seen))
      await cluster.ok('delete', '-f', file)
      await cluster.until('its end is told', () => /deleted +test +two/.test(seen))
    } finally {
      child.kill()
    }
  })

  test('a drained node has no instances, and serving goes on', async () => {
    const [instance] = await instances()
    const node = instance!.node!
    let failed = 0
    let isOver = false
    const asking = (async () => {
      while (!isOver) if ((await ask()).status !== 200) failed++
    })()
    await cluster.ok('drain', node)
    isOver = true
    await asking
    assert.equal(failed, 0)
    const drained = (await nodes()).find(({ node: name }) => name === node)!
    assert.deepEqual([drained.instances, drained.schedulable], [0, false])
    assert.notEqual((await instances())[0]!.node, node)
    await cluster.ok('wait', 'node', node, '--for', 'drained')
    await cluster.ok('uncordon', node)
    assert.equal((await nodes()).find(({ node: name }) => name === node)!.schedulable, true)
    assert.match((await cluster.run('cordon', 'nobody')).stderr, /there is no node nobody/)
  })

  test('another client may look only, and is out once its credential is taken back', async () => {
    const file = join(cluster.folder, 'viewer.json')
    await cluster.ok('credential', 'viewer', '--read-only', '--out', file)
    assert.equal(statSync(file).mode & 0o777, 0o600)
    const viewer = (...words: string[]) => cluster.runAs(file, words)
    assert.equal((await viewer('get', 'nodes')).code, 0)
    const echo = join(cluster.folder, 'echo.yaml')
    assert.equal((await viewer('diff', '-f', echo)).code, 1)
    for (const words of [
      ['apply', '-f', echo],
      ['delete', 'service', 'echo'],
      ['token'],
      ['cordon', 'n1'],
      ['delete', 'node', 'n1'],
      ['credential', 'more'],
      ['delete', 'credential', 'viewer'],
      ['rollout', 'undo', 'echo'],
      ['backup', '/tmp/never.sqlite'],
    ]) {
      const ran = await viewer(...words)
      assert.equal(ran.code, 1, words.join(' '))
      assert.match(ran.stderr, /viewer may look and not change/, words.join(' '))
    }
    const [row] = await cluster.json<{ name: string; readOnly: boolean }[]>('get', 'credentials')
    assert.deepEqual([row!.name, row!.readOnly], ['viewer', true])
    await cluster.ok('delete', 'credential', 'viewer')
    const out = await viewer('get', 'nodes')
    assert.equal(out.code, 1)
    assert.match(out.stderr, /credential of client viewer was taken back/)
    // A new one under the same name does not bring the old one back.
    await cluster.ok('credential', 'viewer', '--out', join(cluster.folder, 'again.json'))
    assert.match((await viewer('get', 'nodes')).stderr, /taken back/)
  })

  test('the audit log says who did what', async () => {
    const records = await cluster.json<AuditRecord[]>('audit')
    const told = records.flatMap(({ who, changes }) =>
      changes.map(({ kind, name, action }) => `${who} ${action} ${kind} ${name}`),
    )
    for (const line of [
      'admin created Service echo',
      'admin configured Service echo',
      'admin deleted Service other',
      'admin created JoinToken node',
      'admin created Credential viewer',
      'admin deleted Credential viewer',
    ])
      assert.ok(told.includes(line), `${line} is missing:\n${told.join('\n')}`)
    assert.ok(told.some((line) => /^admin drained Node n[12]$/.test(line)))
  })

  test('a backup brings manifests back', async () => {
    const file = join(cluster.folder, 'backup.sqlite')
    await cluster.ok('backup', file)
    await cluster.ok('delete', 'authorizationpolicy', 'test/all')
    await cluster.until('nobody may call it', async () => (await ask()).status === 403)
    assert.match((await cluster.ok('restore', file, '--dry-run')).stdout, /all created \(dry run\)/)
    assert.match((await cluster.ok('restore', file)).stdout, /AuthorizationPolicy test\/all created/)
    await answers('one')
    assert.match((await cluster.run('restore', '/nowhere')).stderr, /no such file/)
  })

  test('a deleted node is out, for good, and what it ran runs elsewhere', async () => {
    const [instance] = await instances()
    const gone = instance!.node!
    assert.match((await cluster.ok('delete', 'node', gone)).stdout, new RegExp(`Node ${gone} deleted`))
    assert.ok(!(await nodes()).some(({ node }) => node === gone))
    await cluster.until('its instance is elsewhere', async () =>
      (await instances()).some(({ node, state }) => node !== gone && node !== null && state === 'ready'),
    )
    await answers('one')
    await cluster.roles.get(gone)!.line(/is not one of the mesh|no part of the mesh/)
    assert.ok(!(await nodes()).some(({ node }) => node === gone))
    assert.match((await cluster.run('delete', 'node', gone)).stderr, new RegExp(`no node ${gone}`))
    await cluster.roles.get(gone)!.kill()
  })

  test('a cordon lasts when the control plane is killed, and so do instances', async () => {
    const left = (await nodes()).find(({ roles }) => roles.includes('functions'))!.node
    await cluster.ok('cordon', left)
    const before = (await instances()).map(({ id }) => id)
    await cluster.roles.get('control-plane')!.kill('SIGKILL')
    await answers('one')
    const away = await cluster.run('get', 'nodes')
    assert.equal(away.code, 1)
    assert.match(away.stderr, /the control plane does not answer/)
    await cluster.startControlPlane()
    await cluster.until('the node is back', async () =>
      (await nodes()).some(({ node, state }) => node === left && state === 'ready'),
    )
    assert.equal((await nodes()).find(({ node }) => node === left)!.schedulable, false)
    await cluster.until('its instances are known again', async () => {
      const now = (await instances()).map(({ id }) => id)
      return before.every((id) => now.includes(id))
    })
    await answers('one')
  })
})

test('without a configuration, commands say what to do', async () => {
  const none = await cluster.runAs(null, ['apply', '-f', join(cluster.folder, 'echo.yaml')])
  assert.equal(none.code, 1)
  assert.match(none.stderr, /no such file.*name the configuration.*--config or MAYFLY_CONFIG/)
  assert.match((await cluster.runAs(null, ['get', 'nodes'])).stderr, /no mesh is running/)
  const both = await cluster.run('get', 'nodes', '--mesh', '1', '--config', cluster.admin)
  assert.equal(both.code, 2)
  const other = cluster.write(
    'other.json',
    readFileSync(cluster.admin, 'utf8').replace(/"roots": "[^"]*"/, '"roots": "x"'),
  )
  assert.equal((await cluster.runAs(other, ['get', 'nodes'])).code, 1)
})
