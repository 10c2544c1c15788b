import assert from 'node:assert/strict'
import { test } from 'node:test'
import { exampleModule } from './example-module.ts'
import { loadModule } from './load-module.ts'
import type { SandboxModule } from './sandbox.ts'
import { SandboxPool } from './sandbox-pool.ts'

function load(): SandboxModule {
  const loaded = loadModule(exampleModule())
  assert.ok(loaded.ok)
  return loaded.module
}

test('a sandbox that was given back is taken again, by its own module only', () => {
  const pool = new SandboxPool()
  const [one, other] = [load(), load()]
  const first = pool.take(one)
  pool.give(first)
  const stranger = pool.take(other)
  assert.notEqual(stranger, first)
  assert.equal(stranger.module, other)
  assert.equal(pool.take(one), first)
  assert.notEqual(pool.take(one), first)
})

test('more sandboxes than allowed cannot be out, and none is given back twice', () => {
  const pool = new SandboxPool(2)
  const module = load()
  const sandbox = pool.take(module)
  pool.take(module)
  assert.throws(() => pool.take(module), /2 sandboxes of one module are out/)
  pool.give(sandbox)
  assert.throws(() => pool.give(sandbox), /given back that is not out/)
  assert.equal(pool.take(module), sandbox)
  assert.throws(() => pool.give(load().sandbox()), /given back that is not out/)
})
