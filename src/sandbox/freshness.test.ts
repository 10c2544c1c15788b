import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { exampleGuest, PROGRAM, SCRIBBLER } from './example-guest.ts'
import { loadModule } from './load-module.ts'
import { memoryImage } from './memory-image.ts'
import { EXPORT_FUEL, EXPORT_RESET, meterModule } from './meter-module.ts'
import type { ModuleShape } from './module-shape.ts'
import { proveModule } from './prove-module.ts'

const FUEL = 30_000

/** What a run leaves behind, which is all that can be seen of it. */
interface Outcome {
  readonly result: number | 'trap'
  readonly fuel: number
  readonly memory: Buffer
}

type Run = (program: Uint8Array) => Outcome
type Step = 'memory' | 'data segments' | 'globals' | 'fuel'

const bytes = await exampleGuest(SCRIBBLER)
const shape = provedShape(bytes)
const programs = fc.uint8Array({ maxLength: 160, size: 'max' })

test('the guest writes globals of each type, has data segments, and ends in each way', () => {
  assert.ok(shape.globals.filter(({ mutable }) => mutable).length >= 3)
  assert.ok(shape.data.length >= 2)
  const run = newInstances()
  const ends = { result: 0, trap: 0, fuel: 0 }
  for (const program of fc.sample(programs, { numRuns: 500, seed: 3 })) {
    const { result, fuel } = run(program)
    ends[fuel < 0 ? 'fuel' : result === 'trap' ? 'trap' : 'result']++
  }
  for (const [end, count] of Object.entries(ends)) assert.ok(count > 50, `${end}: ${count}`)
})

test('a run in a reset sandbox leaves the same memory, result and fuel as in a new instance', () => {
  assert.equal(differences(resetSandbox(), 4000), 0)
})

test('a reset of all steps equals a new instance, and leaving any one out is noticed', () => {
  assert.equal(differences(resetWithout(undefined), 500), 0)
  for (const step of ['memory', 'data segments', 'globals', 'fuel'] as const) {
    assert.ok(differences(resetWithout(step), 500) > 0, `without ${step} nothing was noticed`)
  }
})

test('data segments are applied in order, the later over the earlier, however they overlap', () => {
  const segment = fc.record({
    address: fc.nat(3000),
    length: fc.nat(700),
    value: fc.integer({ min: 1, max: 255 }),
  })
  fc.assert(
    fc.property(fc.array(segment, { maxLength: 12 }), (segments) => {
      const expected = new Uint8Array(4096)
      const contents: number[] = []
      const data = segments.map(({ address, length, value }) => {
        expected.fill(value, address, address + length)
        const start = contents.length
        for (let count = 0; count < length; count++) contents.push(value)
        return { address, start, end: contents.length }
      })
      const actual = new Uint8Array(4096)
      for (const piece of memoryImage({ ...shape, bytes: Uint8Array.from(contents), data })) {
        actual.set(piece.bytes, piece.address)
      }
      assert.deepEqual(actual, expected)
    }),
    { seed: 5, numRuns: 200 },
  )
})

/** How many of some random programs tell a run from one in a new instance, each after the ones before it. */
function differences(run: Run, count: number): number {
  const reference = newInstances()
  let different = 0
  for (const program of fc.sample(programs, { numRuns: count, seed: 7 })) {
    const expected = reference(program)
    const actual = run(program)
    const same =
      actual.result === expected.result &&
      actual.fuel === expected.fuel &&
      actual.memory.equals(expected.memory)
    if (!same) different++
  }
  return different
}

/** The reference: a new memory and a new instance for each run. */
function newInstances(): Run {
  const compiled = new WebAssembly.Module(metered(true))
  return (program) => {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 1 })
    const instance = new WebAssembly.Instance(compiled, { mayfly: { memory } })
    return runIn(instance, Buffer.from(memory.buffer), program)
  }
}

function resetSandbox(): Run {
  const loaded = loadModule(bytes, { fuel: FUEL })
  assert.ok(loaded.ok && loaded.module.freshness === 'reset')
  const sandbox = loaded.module.sandbox()
  return (program) => {
    sandbox.fresh()
    writeProgram(sandbox.memory, program)
    const outcome = sandbox.call('run')
    return { result: outcome < 0 ? 'trap' : outcome, fuel: sandbox.fuelLeft(), memory: sandbox.memory }
  }
}

/** One instance, reset by hand but for one step. */
function resetWithout(omitted: Step | undefined): Run {
  const memory = new WebAssembly.Memory({ initial: 1, maximum: 1 })
  const compiled = new WebAssembly.Module(metered(omitted !== 'globals'))
  const instance = new WebAssembly.Instance(compiled, { mayfly: { memory } })
  const view = Buffer.from(memory.buffer)
  const fuel = instance.exports[EXPORT_FUEL] as WebAssembly.Global
  return (program) => {
    const left = fuel.value
    if (omitted !== 'memory') view.fill(0)
    if (omitted !== 'data segments') {
      for (const piece of memoryImage(shape)) view.set(piece.bytes, piece.address)
    }
    const reset = instance.exports[EXPORT_RESET] as () => void
    reset()
    if (omitted === 'fuel') fuel.value = left
    return runIn(instance, view, program)
  }
}

function runIn(instance: WebAssembly.Instance, memory: Buffer, program: Uint8Array): Outcome {
  writeProgram(memory, program)
  const entry = instance.exports.entry0 as () => number
  let result: Outcome['result'] = 'trap'
  try {
    result = entry()
  } catch (error) {
    assert.ok(error instanceof Error)
  }
  return { result, fuel: Number((instance.exports[EXPORT_FUEL] as WebAssembly.Global).value), memory }
}

function writeProgram(memory: Buffer, program: Uint8Array): void {
  memory.writeUInt16LE(program.length, PROGRAM)
  memory.set(program, PROGRAM + 2)
}

function metered(resetsGlobals: boolean): Uint8Array {
  const entries = shape.exports.filter(({ name }) => name === 'run').map(({ index }) => index)
  return meterModule(shape, { fuel: FUEL, pages: 1, resetsGlobals, entries })
}

function provedShape(module: Uint8Array): ModuleShape {
  const proof = proveModule(module)
  if (proof.verdict !== 'proved') assert.fail(proof.why.message)
  return proof.shape
}
