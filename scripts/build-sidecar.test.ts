import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { loadModule } from '../src/sandbox/load-module.ts'
import { buildSidecar, sidecarIsCurrent } from './build-sidecar.ts'
import { compileSidecar } from './compile-sidecar.ts'

const build = mkdtempSync(join(tmpdir(), 'mayfly-build-'))
after(() => rmSync(build, { recursive: true }))

test('two builds at once leave one whole sidecar, which is proved and has its entries', async () => {
  assert.ok(!sidecarIsCurrent(build))
  assert.deepEqual(await Promise.all([buildSidecar(build), buildSidecar(build)]), [undefined, undefined])
  assert.deepEqual(readdirSync(build), ['sidecar.wasm'])
  for (const pages of [1, 16]) {
    const loaded = loadModule(readFileSync(join(build, 'sidecar.wasm')), {
      pages,
      entries: ['open', 'decide'],
    })
    if (!loaded.ok) assert.fail(loaded.refusal.message)
    assert.equal(loaded.module.freshness, 'reset')
  }
})

test('a sidecar is current until a source is newer', () => {
  assert.ok(sidecarIsCurrent(build))
  utimesSync(join(build, 'sidecar.wasm'), 0, 0)
  assert.ok(!sidecarIsCurrent(build))
})

test('what does not compile, or is no sidecar, is refused with the reason', async () => {
  const broken = await compileSidecar(build, 'none.ts')
  assert.ok(!broken.ok)
  assert.match(broken.message, /File 'none.ts' not found/)
  writeFileSync(join(build, 'grows.ts'), 'export function open(): i32 { return memory.grow(1) }')
  const unfit = await compileSidecar(build, 'grows.ts')
  assert.ok(!unfit.ok)
  assert.match(unfit.message, /grows.ts compiles, but is no sidecar: byte \d+: memory.grow/)
})

test('an unknown argument is an error', () => {
  const run = spawnSync(process.execPath, [join(import.meta.dirname, 'build-sidecar.ts'), '--fast'], {
    encoding: 'utf8',
  })
  assert.equal(run.status, 2)
  assert.match(run.stderr, /unknown argument --fast/)
})
