import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { TCP_PROBE } from './readiness.ts'
import { ended, folder, host, isRunning, ON_LINUX, recorded, runtime, spec } from './testing.ts'

const SERVER = `
import { createServer } from 'node:http'
createServer((request, response) => response.end('from ' + process.env.MAYFLY_INSTANCE)).listen(process.env.PORT, '127.0.0.1')
`
const nodeServer = (path: string) => host(process.execPath, join(path, 'server.mjs'))

test('a file function is started, answers, and ends when it is not wanted any more', async (t) => {
  const path = folder(t, {
    'fn.ts': 'export default { fetch: (r: Request) => new Response(new URL(r.url).pathname) }',
  })
  const { set, seen } = recorded(runtime(t), spec({ kind: 'file', path: join(path, 'fn.ts') }))
  set.setDesired(1)
  const { instance } = await seen.next('ready')
  assert.match(instance.id, /^shop-cart-00001-[a-z0-9]{5}$/)
  assert.equal(instance.state, 'ready')
  assert.ok(instance.readyAfterMs! > 0)
  t.diagnostic(`ready after ${instance.readyAfterMs!.toFixed(1)} ms`)
  const response = await fetch(`http://127.0.0.1:${instance.address.port}/a/b`)
  assert.equal(await response.text(), '/a/b')
  set.setDesired(0)
  const gone = await seen.next('gone')
  assert.equal(gone.instance, instance)
  assert.equal(instance.state, 'gone')
  await ended(instance.pid!)
  assert.equal(seen.kinds(), 'starting ready stopping gone')
  assert.deepEqual(set.instances(), [])
})

test('a module that throws when it is loaded fails with its last words, then waits longer each time', async (t) => {
  const path = folder(t, { 'fn.ts': 'throw new Error("no database here")' })
  const { set, seen } = recorded(runtime(t), spec({ kind: 'file', path: join(path, 'fn.ts') }))
  set.setDesired(3)
  const pauses: number[] = []
  for (let i = 0; i < 5; i++) {
    const { reason, retryAt } = await seen.next('failed')
    pauses.push(retryAt - Date.now())
    assert.match(reason, /exited with status 1 before it was ready.*last output.*no database here/s)
  }
  // Three were started at once and count as one failure; after that one is tried at a time: 100 ms, 200, 400.
  assert.ok(pauses[0]! > 60 && pauses[0]! <= 101, String(pauses))
  assert.ok(pauses[3]! > 160 && pauses[3]! <= 201, String(pauses))
  assert.ok(pauses[4]! > 360 && pauses[4]! <= 401, String(pauses))
  assert.match(set.failure()!.reason, /no database here/)
  await set.drain()
})

test('modules without a function, missing files and missing programs say what to do', async (t) => {
  const path = folder(t, { 'empty.ts': 'export const x = 1', 'plain.txt': 'not a program' })
  const made = runtime(t)
  const reasonOf = async (of: ReturnType<typeof spec>) => {
    const { set, seen } = recorded(made, of)
    set.setDesired(1)
    const { reason } = await seen.next('failed')
    await set.drain()
    return reason
  }
  assert.match(
    await reasonOf(spec({ kind: 'file', path: join(path, 'empty.ts') })),
    /no function to call: export default/,
  )
  assert.match(
    await reasonOf(spec({ kind: 'file', path: join(path, 'none.ts') })),
    /the module .*none\.ts does not exist/,
  )
  assert.match(
    await reasonOf(host('no-such-program')),
    /command not found: no program no-such-program in PATH/,
  )
  assert.match(await reasonOf(host(join(path, 'plain.txt'))), /command not found/)
  assert.match(
    await reasonOf({ ...host('sh'), workingDir: join(path, 'nowhere') }),
    /working directory .* does not exist/,
  )
  assert.match(
    await reasonOf(host('sh', '-c', 'echo out of luck >&2; exit 3')),
    /status 3 before.*out of luck/s,
  )
  assert.match(await reasonOf(host('sh', '-c', 'kill -SEGV $$$$')), /killed by SIGSEGV/)
})

test('a start that is never ready fails at its deadline, and nothing of it is left', async (t) => {
  const path = folder(t, { 'stuck.ts': 'console.log("waiting"); await new Promise(() => {})' })
  const made = runtime(t)
  const file = recorded(made, spec({ kind: 'file', path: join(path, 'stuck.ts') }), { startTimeoutMs: 700 })
  const program = recorded(made, host('sh', '-c', 'trap "" TERM; sleep 1000'), { startTimeoutMs: 300 })
  file.set.setDesired(1)
  program.set.setDesired(1)
  const one = await file.seen.next('failed')
  assert.match(one.reason, /not ready within 0.7 s \(the module has not finished loading\).*waiting/s)
  const two = await program.seen.next('failed')
  assert.match(two.reason, /not ready within 0.3 s \(connect ECONNREFUSED 127.0.0.1:\d+\); it wrote nothing/)
  for (const { seen } of [file, program]) await ended((await seen.next('gone')).instance.pid!)
})

test('a program gets a port outside the ephemeral range and is ready when it listens there', async (t) => {
  const path = folder(t, { 'server.mjs': SERVER })
  const { set, seen } = recorded(runtime(t), nodeServer(path))
  set.setDesired(3)
  const ports = new Set<number>()
  for (let i = 0; i < 3; i++) {
    const { instance } = await seen.next('ready')
    ports.add(instance.address.port)
    assert.ok(instance.address.port < 32_768)
    const response = await fetch(`http://127.0.0.1:${instance.address.port}/`)
    assert.equal(await response.text(), `from ${instance.id}`)
  }
  assert.equal(ports.size, 3)
})

test('an instance that crashes is gone and another takes its place', async (t) => {
  const path = folder(t, { 'server.mjs': SERVER })
  const { set, seen } = recorded(runtime(t), nodeServer(path))
  set.setDesired(1)
  const first = (await seen.next('ready')).instance
  process.kill(first.pid!, 'SIGKILL')
  assert.match((await seen.next('gone')).why, /was killed by SIGKILL/)
  const second = (await seen.next('ready')).instance
  assert.notEqual(second.id, first.id)
  assert.equal(set.instances().length, 1)
})

test('a program that ignores SIGTERM is killed with its children', async (t) => {
  const path = folder(t, { 'server.mjs': `process.on('SIGTERM', () => console.log('never')); ${SERVER}` })
  const command = `sleep 1000 & echo child $$!; exec ${process.execPath} ${join(path, 'server.mjs')}`
  const made = runtime(t)
  const { set, seen } = recorded(made, host('sh', '-c', command), { graceMs: 150 })
  const child = new Promise<number>((resolve) => {
    made.logs.subscribe({}, ({ text }) => text.startsWith('child') && resolve(Number(text.split(' ')[1])))
  })
  set.setDesired(1)
  await seen.next('ready')
  set.setDesired(0)
  const { instance } = await seen.next('gone')
  await ended(instance.pid!)
  await ended(await child)
})

test('an instance is told to end only when its listener says that it is idle', async (t) => {
  const path = folder(t, { 'server.mjs': SERVER })
  const { set, seen } = recorded(runtime(t), nodeServer(path))
  const idle = Promise.withResolvers<void>()
  seen.onStopping = () => idle.promise
  set.setDesired(1)
  const { instance } = await seen.next('ready')
  set.setDesired(0)
  await seen.next('stopping')
  assert.equal(instance.state, 'stopping')
  const response = await fetch(`http://127.0.0.1:${instance.address.port}/`)
  assert.equal(response.status, 200)
  idle.resolve()
  await seen.next('gone')
})

test('too many instances: those that still start go first, then as the caller prefers', async (t) => {
  const path = folder(t, { 'server.mjs': SERVER })
  const keep: string[] = []
  const { set, seen } = recorded(runtime(t), nodeServer(path), {
    stopFirst: (a, b) => Number(keep.includes(a.id)) - Number(keep.includes(b.id)),
  })
  set.setDesired(3)
  const ready = [await seen.next('ready'), await seen.next('ready'), await seen.next('ready')]
  keep.push(ready[1]!.instance.id)
  set.setDesired(5)
  set.setDesired(1)
  for (let i = 0; i < 4; i++) await seen.next('gone')
  assert.deepEqual(
    set.instances().map(({ id }) => id),
    keep,
  )
})

test('a drained set is empty for good', async (t) => {
  const path = folder(t, { 'server.mjs': SERVER })
  const { set, seen } = recorded(runtime(t), nodeServer(path))
  set.setDesired(2)
  await seen.next('ready')
  await set.drain()
  set.setDesired(2)
  assert.deepEqual(set.instances(), [])
  const kinds = seen.events.map(({ kind }) => kind)
  assert.equal(
    kinds.filter((kind) => kind === 'gone').length,
    kinds.filter((kind) => kind === 'starting').length,
  )
})

test('a port that another process takes first is exchanged for a free one', async (t) => {
  // The program finds its first port taken, as if somebody had been quicker, and its second one free.
  const path = folder(t, {
    'server.mjs': `
      import { existsSync, writeFileSync } from 'node:fs'
      import { createServer } from 'node:http'
      const port = existsSync('tried') ? process.env.PORT : process.env.TAKEN
      writeFileSync('tried', '')
      createServer((request, response) => response.end()).listen(port, '127.0.0.1')`,
  })
  const taken = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => taken.once('listening', resolve))
  t.after(() => taken.close())
  const { port } = taken.address() as { port: number }
  const of = { ...nodeServer(path), workingDir: path, env: [{ name: 'TAKEN', value: String(port) }] }
  const { set, seen } = recorded(runtime(t), of)
  set.setDesired(1)
  await seen.next('ready')
  await delay(1_000)
  assert.equal(seen.kinds(), 'starting ready')
})

test('an exec probe runs as the instance would', async (t) => {
  const path = folder(t, { 'server.mjs': SERVER })
  const made = runtime(t)
  const probe = (command: string[]) => ({ ...TCP_PROBE, handler: { kind: 'exec' as const, command } })
  const ok = recorded(made, {
    ...nodeServer(path),
    readiness: probe(['sh', '-c', 'test -n "$PORT" && test -f server.mjs']),
    workingDir: path,
  })
  const bad = recorded(
    made,
    { ...nodeServer(path), readiness: probe(['sh', '-c', 'exit 4']) },
    { startTimeoutMs: 400 },
  )
  ok.set.setDesired(1)
  bad.set.setDesired(1)
  await ok.seen.next('ready')
  assert.match((await bad.seen.next('failed')).reason, /the probe sh exited with status 4/)
  // What is left of a probe that has ended is cleared away soon after; the instance itself must not be.
  await delay(1_000)
  assert.equal(ok.set.instances()[0]!.state, 'ready')
})

test('a daemon that an instance leaves behind dies soon after the instance', ON_LINUX, async (t) => {
  const path = folder(t, { 'server.mjs': SERVER, 'daemon.sh': 'echo daemon $$; exec sleep 1000' })
  const made = runtime(t)
  const command = `(setsid sh daemon.sh &); exec ${process.execPath} server.mjs`
  const daemon = new Promise<number>((resolve) => {
    made.logs.subscribe({}, ({ text }) => text.startsWith('daemon') && resolve(Number(text.split(' ')[1])))
  })
  const { set, seen } = recorded(made, { ...host('sh', '-c', command), workingDir: path })
  set.setDesired(1)
  await seen.next('ready')
  assert.ok(isRunning(await daemon))
  set.setDesired(0)
  await ended(await daemon)
})

test('a flood of output is dropped and counted, and the mesh process stays responsive', async (t) => {
  const path = folder(t, { 'server.mjs': SERVER })
  const made = runtime(t)
  let notices = 0
  made.logs.subscribe({}, ({ stream, text }) => {
    if (stream === 'mesh' && /bytes of stdout were dropped/.test(text)) notices++
  })
  const of = { ...host('sh', '-c', `yes flood & exec ${process.execPath} server.mjs`), workingDir: path }
  const { set, seen } = recorded(made, of)
  set.setDesired(1)
  const { instance } = await seen.next('ready')
  const lag = monitorEventLoopDelay({ resolution: 5 })
  lag.enable()
  for (let i = 0; i < 20; i++) {
    await fetch(`http://127.0.0.1:${instance.address.port}/`)
    await delay(25)
  }
  lag.disable()
  const { droppedBytes } = made.logs.counts()
  t.diagnostic(
    `dropped ${(droppedBytes / 1e6).toFixed(0)} MB; event loop p99 ${(lag.percentile(99) / 1e6).toFixed(1)} ms`,
  )
  assert.ok(droppedBytes > 1e6)
  assert.ok(made.logs.recent({}).length <= 1_000)
  assert.ok(notices > 0)
  set.setDesired(0)
  await seen.next('gone')
})

test('addresses of an external endpoint are instances that are always ready', async (t) => {
  const addresses = [
    { host: '127.0.0.1', port: 9001 },
    { host: '::1', port: 9002 },
  ]
  const { set, seen } = recorded(runtime(t), spec({ kind: 'endpoint', addresses }))
  const ready = [(await seen.next('ready')).instance, (await seen.next('ready')).instance]
  assert.deepEqual(
    ready.map(({ address }) => address),
    addresses,
  )
  set.setDesired(0)
  assert.equal(set.instances().length, 2)
  await set.drain()
  assert.equal(seen.kinds(), 'starting ready starting ready stopping gone stopping gone')
})
