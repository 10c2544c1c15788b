import assert from 'node:assert/strict'
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, watch, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { after, before, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { descendants, isThere } from './process-family.ts'

const BIN = join(import.meta.dirname, '../../bin')
const LAUNCHER = join(BIN, 'mayfly.mjs')

let state: string
let folder: string
before(() => {
  state = mkdtempSync(join(tmpdir(), 'mayfly-launcher-'))
  folder = join(state, 'manifests')
  mkdirSync(folder)
  writeFileSync(join(folder, 'fn.ts'), 'export default { fetch: () => new Response("ok") }\n')
  writeFileSync(
    join(folder, 'all.yaml'),
    `apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: fn, namespace: test}
spec:
  template:
    metadata: {annotations: {autoscaling.knative.dev/min-scale: "1"}}
    spec: {containers: [{image: "file:./fn.ts"}]}
`,
  )
})
after(() => rmSync(state, { recursive: true, force: true }))

/** A Node of the machine that is too old to run the project itself; without one the launcher starts no second process. */
const oldNode = (process.env.PATH ?? '')
  .split(delimiter)
  .map((path) => join(path, 'node'))
  .find((node) => {
    const { status, stdout } = spawnSync(node, ['--version'], { encoding: 'utf8' })
    const major = Number(/^v(\d+)/.exec(stdout ?? '')?.[1])
    return status === 0 && major >= 20 && major < 26
  })

for (const [name, node] of [
  ['an older Node', oldNode],
  ['this Node', process.execPath],
] as const) {
  const skip = node === undefined ? 'there is no older Node in PATH' : false

  test(`by ${name}: arguments and status pass through`, { skip }, () => {
    const ran = spawnSync(node!, [LAUNCHER, 'get', 'things'], { encoding: 'utf8' })
    assert.equal(ran.status, 2)
    assert.match(ran.stderr, /no kind things/)
  })

  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    test(`by ${name}: ${signal} lets the mesh end well and leaves nothing`, { skip }, async () => {
      const { child, family } = await up(node!)
      child.kill(signal)
      assert.deepEqual(await once(child, 'exit'), [0, null])
      await gone(family)
    })
  }

  test(`by ${name}: SIGKILL of the launcher leaves nothing`, { skip }, async () => {
    const { child, family } = await up(node!)
    child.kill('SIGKILL')
    await once(child, 'exit')
    await gone(family)
  })
}

test('SIGKILL of npx, which runs the command in a shell, leaves nothing', async () => {
  // npx itself would look for its own cache; what it starts is this.
  const { child, family } = await up(process.execPath, [
    '-e',
    `require('child_process').spawn('sh', ['-c', '"$0" "$@"; exit $?', ...process.argv.slice(1)], { stdio: 'inherit', env: { ...process.env, npm_command: 'exec' } })`,
    '--',
    process.execPath,
  ])
  child.kill('SIGKILL')
  await once(child, 'exit')
  await gone(family)
})

test('of several processes one installs while the others wait; a dead one’s lock is taken over', async () => {
  const lock = join(state, 'lock')
  const log = join(state, 'log')
  const dead = spawn(process.execPath, ['--version'], { stdio: 'ignore' })
  await once(dead, 'exit')
  writeFileSync(lock, String(dead.pid))
  const script = `
    import { withLock } from ${JSON.stringify(pathToFileURL(join(BIN, 'lock.mjs')).href)}
    import { appendFileSync } from 'node:fs'
    withLock(${JSON.stringify(lock)}, () => {
      appendFileSync(${JSON.stringify(log)}, 'begin\\n')
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 50)
      appendFileSync(${JSON.stringify(log)}, 'end\\n')
    })`
  const children = Array.from({ length: 3 }, () =>
    spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: 'ignore' }),
  )
  const codes = await Promise.all(children.map(async (child) => (await once(child, 'exit'))[0]))
  assert.deepEqual(codes, [0, 0, 0])
  assert.equal(readFileSync(log, 'utf8'), 'begin\nend\n'.repeat(3))
  assert.equal(existsSync(lock), false)
})

/** Starts a mesh by the launcher, as npx would, and gives the processes that are under it once it is ready. */
async function up(node: string, first: string[] = []): Promise<{ child: ChildProcess; family: number[] }> {
  const ready = join(state, 'ready.json')
  rmSync(ready, { force: true })
  const child = spawn(
    node,
    [...first, LAUNCHER, 'up', folder, '--gateway', '127.0.0.1:0', '--ready-file', ready],
    {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, XDG_RUNTIME_DIR: state },
    },
  )
  let errors = ''
  child.stderr!.setEncoding('utf8').on('data', (text) => {
    errors += text
  })
  await new Promise<void>((resolve, reject) => {
    const watcher = watch(state, () => existsSync(ready) && settle(resolve))
    const settle = (done: () => void) => {
      watcher.close()
      child.off('exit', onExit)
      done()
    }
    const onExit = () => settle(() => reject(new Error(`it ended before it was ready: ${errors}`)))
    child.on('exit', onExit)
  })
  // The mesh itself where an older Node launches it, two engines, the keeper and the instance, which is not waited for.
  const least = node === process.execPath ? 4 : 5
  const deadline = Date.now() + 5_000
  while (descendants(child.pid!).length < least) {
    if (Date.now() > deadline) {
      child.kill('SIGKILL')
      throw new Error(`only ${descendants(child.pid!).length} processes are under it`)
    }
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  return { child, family: descendants(child.pid!) }
}

async function gone(family: number[]): Promise<void> {
  const deadline = Date.now() + 5_000
  while (family.some(isThere) && Date.now() < deadline)
    await new Promise((resolve) => setTimeout(resolve, 20))
  assert.deepEqual(family.filter(isThere), [])
}
