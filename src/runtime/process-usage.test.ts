import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { instanceUsage, instanceUsages } from './process-usage.ts'
import { folder, ON_LINUX, recorded, runtime, spec } from './testing.ts'

const MODULE = `
import { execFileSync } from 'node:child_process'
const burn = 'const end = Date.now() + 150; while (Date.now() < end);'
export default { fetch: () => { new Function(burn)(); execFileSync(process.execPath, ['-e', burn]); return new Response() } }
`

test(
  'an instance is charged for its own work and that of its children, and the run also for those that are gone',
  ON_LINUX,
  async (t) => {
    const path = folder(t, { 'fn.ts': MODULE })
    const made = runtime(t)
    const { set, seen } = recorded(made, spec({ kind: 'file', path: join(path, 'fn.ts') }))
    set.setDesired(2)
    const one = (await seen.next('ready')).instance
    const two = (await seen.next('ready')).instance
    const before = (await instanceUsage(one))!
    assert.ok(before.rssBytes > 20e6 && before.rssBytes < 500e6)
    await fetch(`http://127.0.0.1:${one.address.port}/`)
    const after = (await instanceUsages([one, two])).get(one.id)!
    // 150 ms each, in steps of 10 ms, and less where the machine is busy.
    assert.ok(after.cpuMs - before.cpuMs >= 100, `${after.cpuMs - before.cpuMs} ms`)
    const run = await made.usage()
    assert.ok(run.rssBytes > after.rssBytes)
    await set.drain()
    assert.equal(await instanceUsage(one), null)
    const end = await made.usage()
    assert.ok(end.cpuMs >= after.cpuMs, `${end.cpuMs} ms in all, ${after.cpuMs} ms for one`)
    assert.equal(end.rssBytes, 0)
  },
)
