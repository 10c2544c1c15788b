import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { countLines, freePort, listening, openChildren, tail } from './children.ts'
import { processTree } from './process-tree.ts'

const onLinux = { skip: process.platform === 'linux' ? false : 'needs /proc' }
// A program that ignores SIGTERM and has a child that does too.
const stubborn = `trap '' TERM; sh -c 'trap "" TERM; echo ready; while :; do sleep 0.1; done' & wait; wait`

test('stop ends a whole tree, even one that ignores the polite signal', onLinux, async () => {
  const children = openChildren()
  const child = children.start('stubborn', 'sh', ['-c', stubborn])
  while (!tail(child).includes('ready')) await new Promise((resolve) => setTimeout(resolve, 20))
  const tree = processTree(child.pid)
  assert.ok(tree.length >= 2)
  await children.stop(child)
  assert.deepEqual(
    tree.filter((pid) => existsSync(`/proc/${pid}/exe`)),
    [],
  )
  await children.stopAll()
  assert.equal(existsSync(children.folder), false)
})

test('an interrupted program takes its children and its folder along', onLinux, async () => {
  const module = JSON.stringify(join(import.meta.dirname, 'children.ts'))
  const script = `
    import { cleanUpOnExit, openChildren } from ${module}
    cleanUpOnExit()
    const children = openChildren()
    const { pid } = children.start('sleeper', 'sleep', ['600'])
    console.log(JSON.stringify([pid, children.folder]))
    setInterval(() => {}, 1e6)`
  const program = spawn(process.execPath, ['--input-type=module', '-e', script])
  const [line] = await once(program.stdout, 'data')
  const [pid, folder] = JSON.parse(String(line)) as [number, string]
  assert.ok(existsSync(`/proc/${pid}`) && existsSync(folder))
  program.kill('SIGTERM')
  const [code] = await once(program, 'exit')
  assert.equal(code, 143)
  assert.equal(existsSync(folder), false)
  while (existsSync(`/proc/${pid}/exe`)) await new Promise((resolve) => setTimeout(resolve, 10))
})

test('a child that ends before it listens is reported with what it said', async (t) => {
  const children = openChildren()
  t.after(() => children.stopAll())
  const child = children.start('broken', 'sh', ['-c', 'echo no such setting; exit 3'])
  await once(child.process, 'exit')
  await assert.rejects(listening(child, await freePort()), /broken ended at once:\nno such setting/)
  assert.throws(() => children.start('absent', '/no/such/program', []), /cannot run \/no\/such\/program/)
  assert.equal(await countLines(child.log), 1)
})
