// What keeps a cluster going: drained and deleted nodes, clients that come and go, the audit log, backups, a killed control plane.

import assert from 'node:assert/strict'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { AuditRecord } from '../../src/control/resources/audit-log.ts'
import { ALLOW_ALL, EchoCluster, echoFunction } from './echo-cluster.ts'

let cluster: EchoCluster

before(async () => {
  cluster = await EchoCluster.start()
  for (const says of ['zero', 'one'])
    await cluster.ok(
      'apply',
      '-f',
      cluster.write('echo.yaml', `${echoFunction('echo', says)}---\n${ALLOW_ALL}`),
    )
  await cluster.answers('one')
})

after(async () => cluster?.stop())

test('a drained node has no instances, and serving goes on', async () => {
  const [instance] = await cluster.instances()
  const node = instance!.node!
  let failed = 0
  let isOver = false
  const asking = (async () => {
    while (!isOver) if ((await cluster.ask()).status !== 200) failed++
  })()
  await cluster.ok('drain', node)
  isOver = true
  await asking
  assert.equal(failed, 0)
  const drained = (await cluster.nodes()).find(({ node: name }) => name === node)!
  assert.deepEqual([drained.instances, drained.schedulable], [0, false])
  assert.notEqual((await cluster.instances())[0]!.node, node)
  await cluster.ok('wait', 'node', node, '--for', 'drained')
  await cluster.ok('uncordon', node)
  assert.equal((await cluster.nodes()).find(({ node: name }) => name === node)!.schedulable, true)
  assert.match((await cluster.run('cordon', 'nobody')).stderr, /there is no node nobody/)
})

test('another client may look only, and is out once its credential is taken back', async () => {
  const file = join(cluster.folder, 'viewer.json')
  await cluster.ok('credential', 'viewer', '--read-only', '--out', file)
  assert.equal(statSync(file).mode & 0o777, 0o600)
  const viewer = (...words: string[]) => cluster.runAs(file, words)
  assert.equal((await viewer('get', 'nodes')).code, 0)
  const echo = join(cluster.folder, 'echo.yaml')
  assert.equal((await viewer('diff', '-f', echo)).code, 0)
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
    'admin created AuthorizationPolicy all',
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
  await cluster.until('nobody may call it', async () => (await cluster.ask()).status === 403)
  assert.match((await cluster.ok('restore', file, '--dry-run')).stdout, /all created \(dry run\)/)
  assert.match((await cluster.ok('restore', file)).stdout, /AuthorizationPolicy test\/all created/)
  await cluster.answers('one')
  assert.match((await cluster.run('restore', '/nowhere')).stderr, /no such file/)
})

test('a deleted node is out, for good, and what it ran runs elsewhere', async () => {
  const [instance] = await cluster.instances()
  const gone = instance!.node!
  assert.match((await cluster.ok('delete', 'node', gone)).stdout, new RegExp(`Node ${gone} deleted`))
  assert.ok(!(await cluster.nodes()).some(({ node }) => node === gone))
  await cluster.until('its instance is elsewhere', async () =>
    (await cluster.instances()).some(
      ({ node, state }) => node !== gone && node !== null && state === 'ready',
    ),
  )
  await cluster.answers('one')
  await cluster.roles.get(gone)!.line(/is not one of the mesh|no part of the mesh/)
  assert.ok(!(await cluster.nodes()).some(({ node }) => node === gone))
  assert.match((await cluster.run('delete', 'node', gone)).stderr, new RegExp(`no node ${gone}`))
  await cluster.roles.get(gone)!.kill()
})

test('a cordon lasts when the control plane is killed, and so do instances', async () => {
  const left = (await cluster.nodes()).find(({ roles }) => roles.includes('functions'))!.node
  await cluster.ok('cordon', left)
  const before = (await cluster.instances()).map(({ id }) => id)
  await cluster.roles.get('control-plane')!.kill('SIGKILL')
  await cluster.answers('one')
  const away = await cluster.run('get', 'nodes')
  assert.equal(away.code, 1)
  assert.match(away.stderr, /the control plane does not answer/)
  await cluster.startControlPlane()
  await cluster.until('the node is back', async () =>
    (await cluster.nodes()).some(({ node, state }) => node === left && state === 'ready'),
  )
  assert.equal((await cluster.nodes()).find(({ node }) => node === left)!.schedulable, false)
  await cluster.until('its instances are known again', async () => {
    const now = (await cluster.instances()).map(({ id }) => id)
    return before.every((id) => now.includes(id))
  })
  await cluster.answers('one')
})
