import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { commandLine, cpuTime, environment, processTree, residentBytes } from './process-tree.ts'

const onLinux = { skip: process.platform === 'linux' ? false : 'needs /proc' }

test('reads a whole tree: members, CPU time, memory, command and environment', onLinux, async (t) => {
  const work =
    'let n = 0; const end = process.cpuUsage().user + 3e5; while (process.cpuUsage().user < end) n++'
  const script = `${work}; console.log('done'); setInterval(() => {}, 1e6)`
  const shell = spawn('sh', ['-c', '"$0" -e "$1"; true', process.execPath, script], {
    env: { ...process.env, BENCH_MARK: 'yes' },
  })
  t.after(() => {
    for (const pid of processTree(shell.pid!)) process.kill(pid, 'SIGKILL')
  })
  await once(shell.stdout, 'data')
  const tree = processTree(shell.pid!)
  assert.equal(tree.length, 2)
  assert.ok(cpuTime(tree) >= 3e8, `${cpuTime(tree)} ns`)
  assert.ok(cpuTime(tree) < 30e9)
  assert.ok(residentBytes(tree) > 2e7)
  assert.deepEqual(commandLine(tree[1]!).slice(1), ['-e', script])
  assert.equal(environment(tree[1]!).BENCH_MARK, 'yes')
})

test('a process that is gone counts as nothing', onLinux, async () => {
  const child = spawn(process.execPath, ['-e', '0'])
  await once(child, 'close')
  assert.equal(cpuTime([child.pid!]), 0)
  assert.equal(residentBytes([child.pid!]), 0)
  assert.deepEqual(commandLine(child.pid!), [])
})
