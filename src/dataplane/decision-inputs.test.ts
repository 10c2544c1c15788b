import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { IN_END, IN_POLICY_LEN, IN_POLICY_PTR, INPUT, OUTPUT, VARIABLE } from '../sidecar/layout/record.ts'
import { restoreInput } from './decision-input.ts'
import { DecisionInputs, fingerprint } from './decision-inputs.ts'
import type { Decision } from './sidecar-decision.ts'

const SIZE = 65_536
const EMPTY = Buffer.alloc(0)

function id(number: number): string {
  return `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`
}

function forward(requestId: string): Decision {
  return {
    kind: 'forward',
    head: Buffer.from(requestId),
    headLength: 0,
    flags: 0,
    body: 0,
    sendBody: 0,
    bodyLength: 0,
    context: EMPTY,
    verdicts: EMPTY,
    requestId,
    trace: '',
    route: EMPTY,
    hash: 0,
  }
}

/** A sandbox's memory with bytes before the policy, the policy, and bytes behind it. */
function memoryOf(before: Buffer, policy: Buffer, after: Buffer): Buffer {
  const memory = Buffer.alloc(SIZE)
  memory.fill(7, INPUT, OUTPUT)
  const at = (VARIABLE + before.length + 7) & ~7
  before.copy(memory, VARIABLE)
  policy.copy(memory, at)
  after.copy(memory, at + policy.length)
  memory.writeUInt32LE(at, INPUT + IN_POLICY_PTR)
  memory.writeUInt32LE(policy.length, INPUT + IN_POLICY_LEN)
  memory.writeUInt32LE(at + policy.length + after.length, INPUT + IN_END)
  return memory
}

test('an input is given back as it was taken, with the same policy or another one', () => {
  const bytes = (most: number) =>
    fc.uint8Array({ maxLength: most }).map((array: Uint8Array) => Buffer.from(array))
  fc.assert(
    fc.property(bytes(300), bytes(300), bytes(300), bytes(600), (before, policy, after, other) => {
      const inputs = new DecisionInputs(100_000, 4)
      const memory = memoryOf(before, policy, after)
      inputs.take(memory)
      inputs.keep('shop/cart', 'hash', forward(id(1)))
      const input = inputs.find(id(1))[0]!
      const same = Buffer.alloc(SIZE)
      assert.ok(restoreInput(same, input, policy))
      assert.deepEqual(same.subarray(INPUT, OUTPUT), memory.subarray(INPUT, OUTPUT))
      assert.deepEqual(same.subarray(VARIABLE), memory.subarray(VARIABLE))
      const changed = Buffer.alloc(SIZE)
      assert.ok(restoreInput(changed, input, other))
      const at = changed.readUInt32LE(INPUT + IN_POLICY_PTR)
      assert.deepEqual(changed.subarray(at, at + changed.readUInt32LE(INPUT + IN_POLICY_LEN)), other)
      const place = memory.readUInt32LE(INPUT + IN_POLICY_PTR)
      assert.deepEqual(changed.subarray(VARIABLE, place), memory.subarray(VARIABLE, place))
      const behind = place + policy.length
      assert.deepEqual(changed.subarray(behind, behind + after.length), after)
      assert.ok(changed.readUInt32LE(INPUT + IN_END) >= at + other.length)
    }),
  )
})

test('the newest inputs are there, whatever their sizes, and never more than the budget holds', () => {
  fc.assert(
    fc.property(
      fc.array(fc.nat({ max: 1_500 }), { minLength: 1, maxLength: 60 }),
      fc.integer({ min: 1, max: 12 }),
      (sizes, most) => {
        const inputs = new DecisionInputs(16_000, most)
        const kept: { id: string; length: number }[] = []
        for (const [i, size] of sizes.entries()) {
          inputs.take(memoryOf(Buffer.alloc(size, i), Buffer.from('policy'), EMPTY))
          inputs.keep(`shop/${i}`, 'hash', forward(id(i)))
          kept.push({ id: id(i), length: size })
        }
        const all = inputs.all()
        assert.equal(all.length, inputs.size)
        assert.ok(all.length >= 1 && all.length <= most)
        assert.deepEqual(inputs.counters, {
          kept: sizes.length,
          overwritten: sizes.length - all.length,
          tooLarge: 0,
        })
        // A gap-free run up to the newest, each with its own bytes.
        assert.deepEqual(
          all.map(({ requestId }) => requestId),
          kept.slice(-all.length).map((one) => one.id),
        )
        for (const [i, { bytes, function: name }] of all.entries()) {
          const number = sizes.length - all.length + i
          assert.equal(name, `shop/${number}`)
          const start = OUTPUT - INPUT
          assert.ok(bytes.subarray(start, start + sizes[number]!).every((byte) => byte === number % 256))
        }
        assert.ok(all.reduce((sum, { bytes }) => sum + bytes.length, 0) <= 16_000)
      },
    ),
  )
})

test('one too large for the budget is left out and counted, and so is a decision without an id', () => {
  const inputs = new DecisionInputs(4_000, 4)
  inputs.take(memoryOf(Buffer.alloc(2_000), EMPTY, EMPTY))
  inputs.keep('shop/cart', 'hash', forward(id(1)))
  assert.deepEqual([inputs.size, inputs.counters.tooLarge], [0, 1])
  inputs.take(memoryOf(Buffer.alloc(10), EMPTY, EMPTY))
  inputs.keep('shop/cart', 'hash', { kind: 'failed', reason: 'x' })
  inputs.keep('shop/cart', 'hash', forward(id(2)))
  assert.equal(inputs.size, 0, 'what was taken belongs to one decision')
})

test('an input that fits no sandbox is refused', () => {
  const inputs = new DecisionInputs(100_000, 4)
  inputs.take(memoryOf(Buffer.alloc(100), Buffer.alloc(10), EMPTY))
  inputs.keep('shop/cart', 'hash', forward(id(1)))
  assert.equal(restoreInput(Buffer.alloc(SIZE), inputs.find(id(1))[0]!, Buffer.alloc(SIZE)), false)
})

test('a fingerprint tells decisions apart by anything that they do', () => {
  const base = forward(id(1))
  assert.equal(fingerprint(base), fingerprint(forward(id(1))))
  for (const part of ['head', 'verdicts', 'context', 'route']) {
    assert.notEqual(
      fingerprint({ ...base, [part]: Buffer.from('other') } as Decision),
      fingerprint(base),
      part,
    )
  }
})
