// The cluster's commands against real roles: one control plane, two nodes, a gateway.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { FunctionStatus, InstanceStatus } from '../../src/control/mesh-status.ts'
import { ALLOW_ALL, EchoCluster, echoFunction } from './echo-cluster.ts'

let cluster: EchoCluster

before(async () => {
  cluster = await EchoCluster.start()
})

after(async () => cluster?.stop())

describe('a cluster is used', () => {
  test('nodes say what they are', async () => {
    const rows = await cluster.nodes()
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
    const file = cluster.write('echo.yaml', `${echoFunction('echo', 'one')}---\n${ALLOW_ALL}`)
    const differs = await cluster.run('diff', '-f', file)
    assert.equal(differs.code, 1, differs.stderr)
    assert.match(differs.stdout, /^--- \/dev\/null\n\+\+\+ written\/Service\/test\/echo\n@@ -0,0 \+1,/)
    const dry = await cluster.ok('apply', '-f', file, '--dry-run')
    assert.match(dry.stdout, /Service test\/echo created \(dry run\)/)
    assert.deepEqual(await cluster.json('get', 'functions'), [])
    assert.match((await cluster.ok('apply', '-f', file)).stdout, /Service test\/echo created\n/)
    assert.match((await cluster.ok('apply', '-f', file)).stdout, /Service test\/echo unchanged\n/)
    await cluster.answers('one')
    assert.deepEqual(await cluster.run('diff', '-f', file), { code: 0, stdout: '', stderr: '' })
    cluster.write('echo.yaml', `${echoFunction('echo', 'two')}---\n${ALLOW_ALL}`)
    const changed = await cluster.run('diff', '-f', file)
    assert.equal(changed.code, 1)
    assert.match(changed.stdout, /^-\s+value: one\n\+\s+value: two$/m)
    const broken = cluster.write(
      'broken.yaml',
      echoFunction('echo', 'x').replace('containers:', 'container:'),
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
    const [instance] = await cluster.instances()
    assert.equal(instance!.state, 'ready')
    assert.match(instance!.node!, /^n[12]$/)
    const node = (await cluster.nodes()).find(({ node: name }) => name === instance!.node)!
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
    cluster.write('other.yaml', echoFunction('other', 'x'))
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
    await cluster.answers('mine')
  })

  test('revisions roll out, are kept, and come back', async () => {
    await cluster.ok('rollout', 'status', 'echo')
    const [first, second] = await cluster.json<{ revision: number; name: string; current: boolean }[]>(
      ...['rollout', 'history', 'echo'],
    )
    assert.deepEqual([first!.name, first!.current], ['echo-00001', false])
    assert.deepEqual([second!.name, second!.current], ['echo-00002', true])
    assert.match((await cluster.ok('rollout', 'undo', 'echo')).stdout, /configured: revision 3/)
    await cluster.answers('one')
    await cluster.ok('rollout', 'status', 'test/echo', '--timeout', '1m')
    assert.match((await cluster.run('rollout', 'undo', 'echo', '--to-revision', '9')).stderr, /no revision 9/)
    assert.equal((await cluster.run('rollout', 'undo', 'echo', '--to-revision', 'x')).code, 2)
    const fn = await cluster.json<FunctionStatus>('get', 'function', 'test/echo')
    assert.equal(fn.revision, 'echo-00003')
  })

  test('logs, past requests and those described are explained, a function is invoked', async () => {
    await cluster.ask()
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
    await Promise.all(Array.from({ length: 20 }, () => cluster.ask()))
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
      const file = cluster.write('two.yaml', ALLOW_ALL.replace('name: all', 'name: two'))
      await cluster.ok('apply', '-f', file)
      await cluster.until('the new policy is told', () => /added +test +two/.test(seen))
      await cluster.ok('delete', '-f', file)
      await cluster.until('its end is told', () => /deleted +test +two/.test(seen))
    } finally {
      child.kill()
    }
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
