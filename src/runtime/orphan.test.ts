import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { type TestContext, test } from 'node:test'
import { ended, folder, isRunning, ON_LINUX } from './testing.ts'

// A mesh process that runs a file function, a program that ignores SIGTERM and has a child, and one whose daemon leaves
// the process group and the session; one more was started ahead. It prints their pids, then waits for its end.
const FILES = {
  'fn.ts': 'export default { fetch: () => new Response("") }',
  'server.cjs': `process.on('SIGTERM', () => {}); require('http').createServer().listen(process.env.PORT, '127.0.0.1')`,
  'parent.sh': 'sleep 1000 & echo child $!; exec "$NODE" server.cjs',
  'forker.sh': '(setsid sh daemon.sh &); exec "$NODE" server.cjs',
  'daemon.sh': 'echo daemon $$; exec sleep 1000',
  'mesh.ts': `
import { createRuntime } from '${join(import.meta.dirname, 'runtime.ts')}'
import { spec, host } from '${join(import.meta.dirname, 'testing.ts')}'
const runtime = createRuntime({ prestarted: 1, ...(process.argv[2] === 'tied' ? {} : { launcher: (launch) => launch }) })
runtime.logs.subscribe({}, ({ text }) => console.log(text))
const listener = {
  ready: (instance) => console.log('ready', instance.pid),
  gone() {},
  failed: (reason) => console.log('failed', reason),
}
for (const one of [spec({ kind: 'file', path: 'fn.ts' }), host('sh', 'parent.sh'), host('sh', 'forker.sh')]) {
  const env = [{ name: 'NODE', value: process.execPath }]
  const set = runtime.createSet({ ...one, env, workingDir: '.' }, { revision: 'r', environment: () => ({}), listener, graceMs: 500 })
  set.setDesired(1)
}
const look = setInterval(() => {
  if (runtime.prestarted.waiting === 0) return
  clearInterval(look)
  console.log('waiting', runtime.prestarted.pids[0])
}, 20)
process.on('SIGTERM', () => runtime.close().then(() => process.exit(0)))
process.on('SIGUSR2', () => { throw new Error('a bug') })
`,
}

for (const launcher of ['tied', 'free'] as const) {
  for (const signal of ['SIGKILL', 'SIGTERM', 'SIGUSR2', 'SIGSEGV'] as const) {
    test(
      `nothing outlives a mesh process that ends by ${signal} (${launcher} to its parent)`,
      ON_LINUX,
      async (t) => {
        const { mesh, pids } = await startMesh(t, launcher)
        const keepers = keepersOf(mesh.pid!)
        assert.equal(keepers.length, 1)
        for (const pid of [...pids, ...keepers]) assert.ok(isRunning(pid))
        mesh.kill(signal)
        await new Promise((resolve) => mesh.once('exit', resolve))
        for (const pid of [...pids, ...keepers]) await ended(pid)
      },
    )
  }
}

test(
  'a keeper that was killed is replaced, and the new one knows every process group',
  ON_LINUX,
  async (t) => {
    const { mesh, pids } = await startMesh(t, 'free')
    const [first] = keepersOf(mesh.pid!)
    process.kill(first!, 'SIGKILL')
    await ended(first!)
    while (!keepersOf(mesh.pid!).some((pid) => pid !== first))
      await new Promise((resolve) => setTimeout(resolve, 20))
    const [second] = keepersOf(mesh.pid!)
    mesh.kill('SIGKILL')
    for (const pid of [...pids, second!]) await ended(pid)
  },
)

async function startMesh(t: TestContext, launcher: string): Promise<{ mesh: ChildProcess; pids: number[] }> {
  const path = folder(t, FILES)
  const mesh = spawn(process.execPath, ['mesh.ts', launcher], {
    cwd: path,
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  t.after(() => mesh.kill('SIGKILL'))
  const pids: number[] = []
  for await (const line of createInterface({ input: mesh.stdout! })) {
    assert.match(line, /^(ready|child|daemon|waiting) \d+$/)
    pids.push(Number(line.split(' ')[1]))
    // Three servers, a child, a daemon, and a process that was started ahead.
    if (pids.length === 6) break
  }
  return { mesh, pids }
}

function keepersOf(parent: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
        const owner = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
        return owner === parent && readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes('mayfly-keeper')
      } catch {
        return false
      }
    })
}
