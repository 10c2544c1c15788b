// How compartments begin and end: all is removed, whatever ends whom; none is used twice; what is missing is named.
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { createInterface } from 'node:readline'
import { type TestContext, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { ended, folder } from '../testing.ts'
import { openIsolation } from './isolation.ts'
import { compartment, inside, isolation, started, WHERE_ISOLATED } from './isolation-testing.ts'

// Prints what it has made, and waits.
const HOLDER = `
import { openIsolation } from '${import.meta.dirname}/isolation.ts'
import { createRuntime } from '${import.meta.dirname}/../runtime.ts'
import { host } from '${import.meta.dirname}/../testing.ts'
const opened = await openIsolation({ notice: console.error })
if (!opened.ok) throw new Error(opened.missing.join('; '))
const runtime = createRuntime({ isolation: opened.isolation })
const spare = await opened.isolation.make()
const used = await opened.isolation.make()
const set = runtime.createSet({ ...host('/bin/sh', '-c', SCRIPT), workingDir: '/' }, {
  revision: 'r-1', environment: () => ({}), compartment: () => used.compartment, graceMs: 200,
  listener: { ready() {}, gone() {}, failed: (reason) => console.log(JSON.stringify({ failed: reason })) },
})
runtime.logs.subscribe({}, ({ text }) => {
  if (text.startsWith('pids')) console.log(JSON.stringify({
    pids: text.split(' ').slice(1).map(Number),
    user: used.compartment.user, spare: spare.compartment.user, host: used.compartment.host,
  }))
})
set.setDesired(1)
process.on('SIGTERM', () => runtime.close().then(() => process.exit(0)))
`
// A child in the group, and one that leaves it, drops its environment and ignores what can be ignored.
const SCRIPT = `sleep 1000 & one=$!
(setsid env -i /bin/sh -c 'trap "" HUP TERM INT; echo "pids '$$' '$one' $$"; while :; do sleep 1; done' &)
exec sleep 1000`

interface Held {
  holder: ChildProcess
  pids: number[]
  user: number
  spare: number
  interfaces: string[]
}

async function hold(t: TestContext): Promise<Held> {
  const path = folder(t, {
    'holder.ts': HOLDER.replace('SCRIPT', () => JSON.stringify(SCRIPT.replaceAll('$$', () => '$$$$'))),
  })
  const holder = spawn(process.execPath, ['--no-warnings', `${path}/holder.ts`], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.after(() => holder.kill('SIGKILL'))
  for await (const line of createInterface({ input: holder.stdout! })) {
    const said = JSON.parse(line)
    assert.ok(said.pids, line)
    const [, , fourth] = String(said.host).split('.').map(Number) as number[]
    assert.ok(fourth !== undefined)
    return { holder, ...said, interfaces: interfacesOf(said.host) }
  }
  throw new Error('the holder ended')
}

/** Those of the range to which the address belongs. */
function interfacesOf(host: string): string[] {
  const [, second, third] = host.split('.').map(Number) as [number, number, number]
  const range = ((second - 18) * 256 + third) >>> 3
  return readdirSync('/sys/class/net').filter((name) => name.startsWith(`mf${range}x`))
}

function runningAs(users: readonly number[]): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const status = readFileSync(`/proc/${pid}/status`, 'utf8')
        return users.includes(Number(/^Uid:\t(\d+)/m.exec(status)?.[1])) && !/^State:\tZ/m.test(status)
      } catch {
        return false
      }
    })
}

async function until(holds: () => boolean, what: string): Promise<void> {
  for (let waited = 0; waited < 20_000; waited += 20) {
    if (holds()) return
    await delay(20)
  }
  throw new Error(`${what} did not come about`)
}

for (const signal of ['SIGKILL', 'SIGTERM', 'SIGSEGV'] as const) {
  test(
    `nothing is left of a process that ends by ${signal}: no process, interface or control group`,
    WHERE_ISOLATED,
    async (t) => {
      const { holder, pids, user, spare, interfaces } = await hold(t)
      assert.equal(pids.length, 3)
      assert.ok(interfaces.length >= 2)
      assert.ok(runningAs([user]).length >= 3)
      await until(() => runningAs([spare]).length === 1, 'a process that waits in the spare one')
      const groups = groupsOf(pids[0]!)
      assert.ok(groups.length > 0)
      holder.kill(signal)
      await once(holder, 'exit')
      for (const pid of pids) await ended(pid)
      await until(() => runningAs([user, spare]).length === 0, 'the end of all processes')
      await until(() => interfaces.every((name) => !existsSync(`/sys/class/net/${name}`)), 'no interface')
      await until(() => groups.every((group) => !existsSync(group)), 'no control group')
    },
  )
}

test(
  'with the process that tidies up killed, too, whoever has the range next tidies up',
  WHERE_ISOLATED,
  async (t) => {
    const { holder, pids, user } = await hold(t)
    const groups = groupsOf(pids[0]!)
    const tidiers = childrenOf(holder.pid!).filter((pid) => commandOf(pid).includes('mayfly-tidier'))
    assert.equal(tidiers.length, 1)
    holder.kill('SIGSTOP')
    process.kill(tidiers[0]!, 'SIGKILL')
    holder.kill('SIGKILL')
    await once(holder, 'exit')
    // The one without a trace of the mesh in its environment is left.
    await delay(500)
    assert.ok(runningAs([user]).includes(pids[2]!))
    const next = await openIsolation({ notice: () => {} })
    assert.ok(next.ok)
    t.after(() => next.isolation.close())
    await until(() => groups.every((group) => !existsSync(group)), 'no control group')
    await ended(pids[2]!)
  },
)

test(
  'a released compartment ends what is left inside, and is not used again for long',
  WHERE_ISOLATED,
  async (t) => {
    const first = await compartment()
    const left = started(first, '/bin/sh', [
      '-c',
      `setsid sh -c 'trap "" HUP TERM; echo left $$; while :; do sleep 1; done' & wait`,
    ])
    await left.wrote(/left \d+/)
    first.release()
    first.release()
    await left.ran
    await until(() => runningAs([first.user]).length === 0, 'the end of all processes')
    for (let i = 0; i < 5; i++) {
      const next = await compartment()
      t.after(() => next.release())
      assert.notEqual(next.user, first.user)
    }
  },
)

test('ranges of several processes have nothing in common', WHERE_ISOLATED, async (t) => {
  const other = await openIsolation({ notice: () => {} })
  assert.ok(other.ok)
  t.after(() => other.isolation.close())
  const mine = await compartment()
  t.after(() => mine.release())
  const made = await other.isolation.make()
  assert.ok(made.ok)
  assert.notEqual(mine.user, made.compartment.user)
  assert.notEqual(mine.host, made.compartment.host)
})

test('a waiting process that was killed is replaced by a new one', WHERE_ISOLATED, async (t) => {
  const within = await compartment()
  t.after(() => within.release())
  const waiting = runningAs([within.user])
  for (const pid of waiting) process.kill(pid, 'SIGKILL')
  for (const pid of waiting) await ended(pid)
  await delay(50)
  assert.equal((await inside(within, '/bin/echo', ['hello'])).stdout, 'hello\n')
})

test('an isolation that was closed makes nothing more, and says so', WHERE_ISOLATED, async () => {
  const other = await openIsolation({ notice: () => {} })
  assert.ok(other.ok)
  const made = await other.isolation.make()
  assert.ok(made.ok)
  await other.isolation.close()
  await other.isolation.close()
  assert.deepEqual(await other.isolation.make(), { ok: false, problem: 'isolation has ended' })
  const socket = connect(8080, made.compartment.address)
  socket.setTimeout(2_000, () => socket.destroy(new Error('no answer')))
  await once(socket, 'error')
})

test('many at once are made, each of its own', WHERE_ISOLATED, async (t) => {
  const made = await Promise.all(Array.from({ length: 12 }, () => isolation().make()))
  const all = made.map((one) => {
    assert.ok(one.ok, JSON.stringify(one))
    t.after(() => one.compartment.release())
    return one.compartment
  })
  for (const field of ['user', 'host', 'address'] as const)
    assert.equal(new Set(all.map((one) => one[field])).size, 12)
})

test('what is missing without root is named', { skip: process.getuid?.() !== 0 }, async (t) => {
  const path = folder(t, {
    'try.ts': `
import { openIsolation } from '${import.meta.dirname}/isolation.ts'
const opened = await openIsolation({ notice() {} })
console.log(JSON.stringify(opened))
process.exit(0)`,
  })
  const child = spawn(process.execPath, ['--no-warnings', `${path}/try.ts`], {
    stdio: ['ignore', 'pipe', 'inherit'],
    ...(await ordinary(path)),
  })
  let text = ''
  for await (const part of child.stdout.setEncoding('utf8')) text += part
  const { ok, missing } = JSON.parse(text)
  assert.equal(ok, false)
  assert.ok(missing.includes('the rights of root'), text)
})

async function ordinary(path: string): Promise<{ uid: number; gid: number }> {
  const { chmod } = await import('node:fs/promises')
  await chmod(path, 0o755)
  return { uid: 65_534, gid: 65_534 }
}

/** The folders of the control groups in which a process of an instance is. */
function groupsOf(pid: number): string[] {
  return readFileSync(`/proc/${pid}/cgroup`, 'utf8')
    .split('\n')
    .filter((line) => line.includes('/mayfly-'))
    .flatMap((line) => {
      const [, names, path] = line.split(':') as [string, string, string]
      const mount = names === '' ? '/sys/fs/cgroup' : `/sys/fs/cgroup/${names.split(',')[0]}`
      return existsSync(mount + path) ? [mount + path] : []
    })
}

function childrenOf(parent: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
        return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) === parent
      } catch {
        return false
      }
    })
}

function commandOf(pid: number): string {
  return readFileSync(`/proc/${pid}/cmdline`, 'latin1')
}

test(
  'where all compartments are in use the next one is refused, until one is free',
  WHERE_ISOLATED,
  async (t) => {
    const small = await openIsolation({ notice: () => {}, most: 2 })
    assert.ok(small.ok)
    t.after(() => small.isolation.close())
    // The one of the trial is being given back.
    await until(() => small.isolation.counters.inUse === 0, 'the end of the trial')
    const [one, two] = [await small.isolation.make(), await small.isolation.make()]
    assert.ok(one.ok && two.ok)
    assert.deepEqual(await small.isolation.make(), {
      ok: false,
      problem: 'all 2 compartments of this process are in use',
    })
    one.compartment.release()
    await until(() => small.isolation.counters.inUse === 1, 'a free one')
    assert.ok((await small.isolation.make()).ok)
    assert.equal(small.isolation.counters.failed, 1)
  },
)
