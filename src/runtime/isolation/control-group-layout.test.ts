import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { folder } from '../testing.ts'
import { makeGroup } from './control-group.ts'
import { findGroupLayout, type GroupLayout } from './control-group-layout.ts'
import { hierarchiesOf } from './mount-control-groups.ts'

const LIMITS = {
  cpuMillis: 1_500,
  cpuRequestMillis: 500,
  memoryBytes: 64 * 2 ** 20,
  processes: 100,
}

/** Folders that stand for a mounted hierarchy each; the kernel's files in a new group are made by hand. */
function hierarchy(t: TestContext, files: Record<string, string>): string {
  return folder(t, { 'cgroup.procs': '', ...files })
}

function unified(t: TestContext, controllers: string) {
  const root = hierarchy(t, { 'cgroup.controllers': controllers, 'cgroup.subtree_control': '' })
  return { root, mounts: `30 24 0:26 / ${root} rw shared:4 - cgroup2 cgroup2 rw,nsdelegate` }
}

function layoutOf(found: ReturnType<typeof findGroupLayout>): GroupLayout {
  assert.ok(found.ok, JSON.stringify(found))
  return found.layout
}

test('version 2: the controllers are handed down, and limits are written as Kubernetes writes them', (t) => {
  const { root, mounts } = unified(t, 'cpuset cpu io memory hugetlb pids rdma')
  const layout = layoutOf(findGroupLayout(mounts, '0::/init.scope'))
  assert.equal(layout.version, 2)
  assert.equal(readFileSync(join(root, 'cgroup.subtree_control'), 'utf8'), '+cpu +memory +pids')
  const group = makeGroup(layout, 'mayfly-0', '7')
  const own = join(root, 'mayfly-0', '7')
  writeFileSync(join(own, 'memory.swap.max'), 'max')
  group.limit(LIMITS)
  const read = (file: string) => readFileSync(join(own, file), 'utf8')
  assert.equal(read('cpu.max'), '150000 100000')
  assert.equal(read('cpu.weight'), '20')
  assert.equal(read('memory.max'), '67108864')
  assert.equal(read('memory.swap.max'), '0')
  assert.equal(read('pids.max'), '100')
  assert.deepEqual(group.entrances, [join(own, 'cgroup.procs')])
  writeFileSync(join(own, 'memory.events'), 'low 0\nhigh 0\nmax 12\noom 1\noom_kill 3\noom_group_kill 1\n')
  assert.equal(group.memoryKills(), 3)
})

test('version 1: one folder for each hierarchy, below the group in which this process is', (t) => {
  const roots = Object.fromEntries(['cpu', 'memory', 'pids'].map((name) => [name, hierarchy(t, {})]))
  mkdirSync(join(roots.memory!, 'box'))
  const mounts = Object.entries(roots)
    .map(([name, root], index) => `${40 + index} 24 0:3${index} / ${root} rw - cgroup cgroup rw,${name}`)
    .join('\n')
  const layout = layoutOf(findGroupLayout(mounts, '4:memory:/box\n2:cpu,cpuacct:/\n1:pids:/nowhere'))
  assert.deepEqual(layout.roots, [roots.cpu, join(roots.memory!, 'box'), roots.pids])
  const group = makeGroup(layout, 'mayfly-3', '0')
  group.limit(LIMITS)
  const read = (name: string, file: string) =>
    readFileSync(join(roots[name]!, name === 'memory' ? 'box' : '', 'mayfly-3/0', file), 'utf8')
  assert.equal(read('cpu', 'cpu.cfs_quota_us'), '150000')
  assert.equal(read('cpu', 'cpu.shares'), '512')
  assert.equal(read('memory', 'memory.limit_in_bytes'), '67108864')
  assert.equal(read('pids', 'pids.max'), '100')
  assert.equal(group.entrances.length, 3)
})

test('hierarchies of version 1 that are needed are known by the groups of a process', () => {
  const own = '9:name=systemd:/\n8:pids:/x\n5:devices:/\n4:memory:/y\n2:cpu,cpuacct:/\n0::/'
  assert.deepEqual(hierarchiesOf(own), ['pids', 'memory', 'cpu,cpuacct'])
  assert.deepEqual(hierarchiesOf('0::/system.slice/mayfly.service'), [])
})

test('what is missing is named', (t) => {
  const { root, mounts } = unified(t, 'cpuset cpu io')
  const found = findGroupLayout(mounts, '0::/')
  assert.deepEqual(found, {
    ok: false,
    problem: `control groups: ${root}/cgroup.controllers lacks memory, pids (in a container they must be delegated to it)`,
  })
  const none = findGroupLayout('22 1 0:21 / /proc rw - proc proc rw', '')
  assert.match(none.ok ? '' : none.problem, /lacks cpu, memory, pids/)
})

test('controllers that are not handed down are told of', (t) => {
  const root = hierarchy(t, { 'cgroup.controllers': 'cpu memory pids' })
  // The kernel refuses to write there while the group has processes of its own; so does a folder in the file's place.
  mkdirSync(join(root, 'cgroup.subtree_control'))
  const found = findGroupLayout(`30 24 0:26 / ${root} rw - cgroup2 cgroup2 rw`, '0::/')
  assert.match(found.ok ? '' : found.problem, /subtree_control does not take \+cpu \+memory \+pids \(EISDIR/)
})
