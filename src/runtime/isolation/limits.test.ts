// What an isolated instance may use, and what it may do to others of the machine.
import assert from 'node:assert/strict'
import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { folder } from '../testing.ts'
import { type Compartment, MOST_PROCESSES } from './compartment.ts'
import { compartment, evaluate, inside, started, WHERE_ISOLATED } from './isolation-testing.ts'

const MIB = 2 ** 20
const UNSAID = { cpuMillis: null, memoryBytes: null }

async function held(t: TestContext): Promise<Compartment> {
  const made = await compartment()
  t.after(() => made.release())
  return made
}

test('what uses more memory than its limit is killed, and its end says why', WHERE_ISOLATED, async (t) => {
  const within = await held(t)
  assert.equal(within.limit({ requests: UNSAID, limits: { ...UNSAID, memoryBytes: 64 * MIB } }), null)
  const hog = `const all = []; for (;;) all.push(Buffer.alloc(4 * 1024 * 1024, 1))`
  const ran = await inside(within, process.execPath, ['-e', hog])
  assert.equal(
    ran.how,
    'was killed: it used more memory than its limit, 67108864 bytes (resources.limits.memory)',
  )
  const other = await held(t)
  assert.equal(other.limit({ requests: UNSAID, limits: { ...UNSAID, memoryBytes: 64 * MIB } }), null)
  const shot = started(other, '/bin/sleep', ['1000'])
  shot.child.kill('SIGKILL')
  assert.equal((await shot.ran).how, 'was killed by SIGKILL')
})

test('a CPU limit holds for all threads and processes together', WHERE_ISOLATED, async (t) => {
  const within = await held(t)
  assert.equal(within.limit({ requests: UNSAID, limits: { ...UNSAID, cpuMillis: 200 } }), null)
  const busy = `for _ in 1 2 3; do (while :; do :; done) & done; wait`
  const running = started(within, '/bin/sh', ['-c', busy])
  const used = () => groupCpuMs(running.child.pid!)
  while (used() < 50) await new Promise((resolve) => setTimeout(resolve, 20))
  const [from, begun] = [used(), performance.now()]
  await new Promise((resolve) => setTimeout(resolve, 2_000))
  const share = (used() - from) / (performance.now() - begun)
  process.kill(-running.child.pid!, 'SIGKILL')
  await running.ran
  // Without the limit it would take a whole CPU at least, on a machine that has one to spare.
  assert.ok(share < 0.3, `it took ${share} of a CPU`)
})

test('a fork bomb ends at the bound, and the machine goes on', WHERE_ISOLATED, async (t) => {
  const within = await held(t)
  const bomb = `i=0; while [ $i -lt ${MOST_PROCESSES * 2} ]; do sleep 1000 & i=$((i + 1)); done; echo all`
  const ran = started(within, '/bin/sh', ['-c', bomb])
  const { stderr, stdout } = await ran.ran
  assert.match(stderr, /fork|Resource temporarily unavailable/i)
  assert.doesNotMatch(stdout, /all/)
  const after = await inside(await held(t), '/bin/echo', ['another'])
  assert.equal(after.stdout, 'another\n')
})

test(
  'an instance is a user of its own, without rights and without a way to get any',
  WHERE_ISOLATED,
  async (t) => {
    const [one, other] = [await held(t), await held(t)]
    assert.notEqual(one.user, other.user)
    const status = (await inside(one, '/bin/cat', ['/proc/self/status'])).stdout
    assert.match(status, new RegExp(`^Uid:\\t(${one.user}\\t?){4}$`, 'm'))
    assert.match(status, new RegExp(`^Gid:\\t(${one.user}\\t?){4}$`, 'm'))
    assert.match(status, /^Groups:\s*(\d+)?\s*$/m)
    for (const name of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
      assert.match(status, new RegExp(`^${name}:\\t0{16}$`, 'm'))
    assert.match(status, /^NoNewPrivs:\t1$/m)
  },
)

test(
  'it cannot see, signal or trace processes of others, nor read what is not for all',
  WHERE_ISOLATED,
  async (t) => {
    const [within, other] = [await held(t), await held(t)]
    const neighbour = started(other, '/bin/sleep', ['1000'], { environment: { SECRET: 'neighbour' } })
    const secret = folder(t, { secret: 'mine' })
    chmodSync(secret, 0o755)
    chmodSync(join(secret, 'secret'), 0o600)
    const outcomes = await evaluate(
      within,
      `import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
    const of = (act) => { try { return act() ?? 'DONE' } catch ({ code }) { return code } }
    const pids = [1, ${process.pid}, ${neighbour.child.pid}]
    console.log(JSON.stringify({
      signals: pids.map((pid) => of(() => process.kill(pid, 'SIGKILL') && 'KILLED')),
      environs: pids.map((pid) => of(() => readFileSync('/proc/' + pid + '/environ', 'latin1'))),
      memory: pids.map((pid) => of(() => readFileSync('/proc/' + pid + '/mem'))),
      shown: readdirSync('/proc').filter((name) => pids.includes(Number(name))),
      files: ['/etc/shadow', '${secret}/secret'].map((file) => of(() => readFileSync(file, 'utf8'))),
      writes: ['/etc/hosts', '/etc/resolv.conf', '/run/x', '/proc/sys/net/ipv4/ip_forward', '/proc/self/oom_score_adj'].map((file) => of(() => writeFileSync(file, '-1000'))),
      run: readdirSync('/run').sort(),
    }))`,
    )
    assert.deepEqual(outcomes, {
      signals: ['EPERM', 'EPERM', 'EPERM'],
      environs: ['ENOENT', 'ENOENT', 'ENOENT'],
      memory: ['ENOENT', 'ENOENT', 'ENOENT'],
      shown: [],
      files: ['EACCES', 'EACCES'],
      writes: ['EACCES', 'EACCES', 'EACCES', 'EACCES', 'EACCES'],
      run: ['mayfly-compiled', 'mayfly-view'],
    })
    neighbour.child.kill('SIGKILL')
    assert.equal((await neighbour.ran).how, 'was killed by SIGKILL')
  },
)

test(
  'variables and arguments arrive as they are, and mean nothing to what has more rights',
  WHERE_ISOLATED,
  async (t) => {
    const within = await held(t)
    const environment = {
      PATH: '/usr/bin:/bin',
      LD_PRELOAD: '/nowhere/evil.so',
      QUOTED: `it's "$HOME" \`id\` $(id)\nand a second line \\`,
      'dotted.name-x': "a'b",
      ENV: '/nowhere/env',
      EMPTY: '',
    }
    const args = [
      '-p',
      'JSON.stringify([process.env, process.argv.slice(1)])',
      '--',
      "a 'b'",
      '$(id)',
      '',
      '*',
    ]
    const ran = await inside(within, process.execPath, args, { environment })
    // The function's own affair: its program, and env, which sets the odd name, say that it cannot be loaded; nothing before them does.
    assert.equal(ran.stderr.match(/evil\.so/g)?.length, 2)
    assert.deepEqual(JSON.parse(ran.stdout), [environment, ["a 'b'", '$(id)', '', '*']])
  },
)

test(
  'files in a folder that only root may enter are read all the same, and nothing else there is opened',
  WHERE_ISOLATED,
  async (t) => {
    const closed = folder(t, { 'fn.txt': 'first', 'own.txt': 'root alone' })
    chmodSync(join(closed, 'own.txt'), 0o600)
    const read = async () => {
      const within = await held(t)
      return inside(within, '/bin/sh', ['-c', 'cat fn.txt; cat own.txt; echo x >new.txt; pwd'], {
        cwd: closed,
        files: [join(closed, 'fn.txt')],
      })
    }
    const first = await read()
    assert.equal(first.stdout, `first${closed}\n`)
    assert.match(first.stderr, /own\.txt: Permission denied[\s\S]*new\.txt: Permission denied/)
    // What is written there later is seen by whoever starts later.
    writeFileSync(join(closed, 'next.txt'), 'second')
    const { rename } = await import('node:fs/promises')
    await rename(join(closed, 'next.txt'), join(closed, 'fn.txt'))
    assert.equal((await read()).stdout, `second${closed}\n`)
    assert.equal(readFileSync(join(closed, 'fn.txt'), 'utf8'), 'second')
  },
)

test(
  'a file that only root may read is refused, and the reason says what to do',
  WHERE_ISOLATED,
  async (t) => {
    const path = folder(t, { 'fn.ts': '' })
    chmodSync(join(path, 'fn.ts'), 0o600)
    const entered = (await held(t)).enter({
      command: '/bin/true',
      args: [],
      cwd: path,
      environment: {},
      files: [join(path, 'fn.ts')],
      announcesPort: false,
    })
    assert.ok(!entered.ok)
    assert.match(entered.reason, /may be read by its owner alone.*chmod o\+r .*fn\.ts$/)
  },
)

/** CPU time that the processes of a group have used, in milliseconds. */
function groupCpuMs(group: number): number {
  const { readdirSync } = process.getBuiltinModule('node:fs')
  let ticks = 0
  for (const name of readdirSync('/proc').filter((one) => /^\d+$/.test(one))) {
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'latin1')
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
      if (Number(fields[2]) === group) ticks += Number(fields[11]) + Number(fields[12])
    } catch {
      // It has ended.
    }
  }
  return ticks * 10
}
