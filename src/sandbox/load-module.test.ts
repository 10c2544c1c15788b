import assert from 'node:assert/strict'
import { test } from 'node:test'
import { exampleBody, exampleModule, name } from './example-module.ts'
import { loadModule } from './load-module.ts'

const END = 0x0b
const grows = exampleBody(0x41, 0, 0x40, 0)

test('a module whose reset cannot be proved is refused unless new instances are allowed', () => {
  const refused = loadModule(grows)
  assert.ok(!refused.ok)
  assert.equal(refused.refusal.code, 'memory-growth')
  const allowed = loadModule(grows, { allowNewInstance: true })
  assert.ok(allowed.ok)
  assert.equal(allowed.module.freshness, 'new-instance')
  assert.deepEqual(allowed.module.unproved, refused.refusal)
})

test('a module that may not run is refused even where new instances are allowed', () => {
  const imports = exampleModule({ import: [1, ...name('env'), ...name('now'), 0, 0] })
  const refused = loadModule(imports, { allowNewInstance: true })
  assert.ok(!refused.ok)
  assert.equal(refused.refusal.code, 'import')
})

test('one guest is loaded in memories of different sizes', () => {
  const size = exampleBody(0x3f, 0)
  for (const pages of [1, 2, 16]) {
    const loaded = loadModule(size, { pages })
    assert.ok(loaded.ok)
    assert.equal(loaded.module.pages, pages)
    const sandbox = loaded.module.sandbox()
    assert.equal(sandbox.memory.length, pages * 65536)
    sandbox.fresh()
    assert.equal(sandbox.call('run'), pages)
  }
  for (const pages of [0, 17, 1.5, -1]) {
    const loaded = loadModule(size, { pages })
    assert.ok(!loaded.ok)
    assert.equal(loaded.refusal.code, 'memory-size')
  }
})

test('entries are the exported functions from nothing to i32, and those asked for must be there', () => {
  const module = exampleModule({
    type: [2, 0x60, 0, 1, 0x7f, 0x60, 1, 0x7f, 0],
    function: [2, 0, 1],
    export: [3, ...name('decide'), 0, 0, ...name('notify'), 0, 1, ...name('open'), 0, 0],
    code: [
      [0, 0x41, 0, END],
      [0, END],
    ],
  })
  const loaded = loadModule(module, { entries: ['open'] })
  assert.ok(loaded.ok)
  assert.deepEqual(loaded.module.entries, ['decide', 'open'])
  const missing = loadModule(module, { entries: ['open', 'close'] })
  assert.ok(!missing.ok)
  assert.match(missing.refusal.message, /does not export the entry close/)
  const wrong = loadModule(module, { entries: ['notify'] })
  assert.ok(!wrong.ok)
  assert.equal(wrong.refusal.code, 'entry')
  assert.equal(wrong.refusal.offset, Buffer.from(module).indexOf('notify') - 1)
})

test('a module is what it was when it was given', () => {
  const module = Uint8Array.from(exampleModule())
  const loaded = loadModule(module)
  module.fill(0)
  assert.ok(loaded.ok)
  const sandbox = loaded.module.sandbox()
  sandbox.fresh()
  assert.equal(sandbox.call('run'), 0)
})

test('fuel is a whole number above 0', () => {
  for (const fuel of [0, -1, 0.5, Number.NaN, Number.POSITIVE_INFINITY]) {
    assert.throws(() => loadModule(exampleModule(), { fuel }), RangeError)
  }
})
