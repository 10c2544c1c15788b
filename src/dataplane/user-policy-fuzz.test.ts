// Mutated modules and random outputs: whatever a module is or leaves, there is an answer, and it says nothing that was not allowed.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { exampleGuest } from '../sandbox/example-guest.ts'
import { loadUserModule } from './user-policy-module.ts'
import { tester, type Verdict } from './user-policy-testing.ts'

const EXAMPLES = fileURLToPath(new URL('../../examples/policies/user', import.meta.url))
const SPEC = {
  phases: ['request'],
  reads: { attributes: ['method', 'path'], headers: ['x-api-key', 'user-agent'] },
  writes: { headers: ['x-a'], responseHeaders: ['x-b'] },
  configuration: { clients: [{ name: 'n', key: 'k' }], names: 2 },
  state: [{ name: 'names', type: 'set', key: { from: 'constant' }, window: '1h' }],
  freshness: 'newInstance',
  limits: { fuel: 20_000 },
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what must not be there
const OPERATION = /^((set|add|remove) x-a|response (set|add|remove) x-b)( [^\x00-\x08\x0a-\x1f\x7f]*)?$/

function checkVerdict({ denies, status, text, operations, carry }: Verdict): void {
  if (denies) assert.ok(status >= 400 && status <= 599, `${status}`)
  assert.match(text, /^[\n\x20-\x7e]{0,1024}$/)
  assert.ok(carry.length <= 4096)
  for (const operation of operations) {
    assert.match(operation, OPERATION)
  }
}

test('5,000 mutated policies: each is refused or runs within its bounds', () => {
  const random = generator(20261124)
  const modules = ['api-key', 'distinct-agents', 'plan-quota'].map((name) =>
    readFileSync(`${EXAMPLES}/${name}/policy.wasm`),
  )
  const seen = { refused: 0, ran: 0, failed: 0 }
  for (let round = 0; round < 5000; round++) {
    const module = Buffer.from(modules[round % modules.length]!)
    for (let count = 1 + random(3); count > 0; count--) module[8 + random(module.length - 8)] = random(256)
    const terms = {
      phases: ['request' as const],
      computesKeys: false,
      memoryPages: 0,
      fuel: 20_000,
      newInstance: true,
    }
    const loaded = loadUserModule(module, terms)
    if (!loaded.ok) {
      seen.refused++
      assert.ok(loaded.refusal.offset >= 0 && loaded.refusal.offset <= module.length)
      continue
    }
    if (round % 4 > 0) continue
    seen.ran++
    const policy = tester(module, SPEC)
    for (const key of ['k', 'wrong'])
      checkVerdict(policy.judge({ method: 'GET', headers: { 'x-api-key': key } }))
    seen.failed += Object.values(policy.counters.failed).reduce((sum, count) => sum + count, 0)
  }
  assert.ok(seen.refused > 500 && seen.ran > 100 && seen.failed > 50, JSON.stringify(seen))
})

test('random output records: nothing gets out that the manifest does not allow', async () => {
  // It copies what the request says over its output record, and bytes of its own behind it.
  const module = await exampleGuest(
    `
export function request(): i32 {
  const count = load<i32>(0x8000 + 100)
  if (count == 0) return 1
  const value = load<i32>(load<i32>(0x8000 + 96) + 8)
  const length = load<i32>(load<i32>(0x8000 + 96) + 12)
  memory.copy(0x8100, value, min(length, 64))
  memory.copy(0x100, value + 64, max(0, length - 64))
  return 1 + (load<u8>(value) & 1)
}`,
    [
      ...['-O3', '--noAssert', '--runtime', 'stub', '--use', 'abort=', '--importMemory', '--noExportMemory'],
      ...['--initialMemory', '1', '--maximumMemory', '1'],
    ],
  )
  const policy = tester(module, { ...SPEC, freshness: 'proved' })
  const address = fc.oneof(fc.constantFrom(0x100, 0x104, 0x120, 0x140, 0xfffc, 0x10000, -1, 0), fc.integer())
  const count = fc.oneof(
    { weight: 6, arbitrary: fc.constant(0) },
    { weight: 3, arbitrary: fc.nat(2) },
    { weight: 1, arbitrary: fc.integer() },
  )
  const output = fc.tuple(
    fc.oneof(
      { weight: 9, arbitrary: fc.integer({ min: 390, max: 610 }) },
      { weight: 1, arbitrary: fc.integer() },
    ),
    ...Array.from({ length: 5 }, () => [address, count]).flat(),
    fc.array(fc.oneof(fc.nat(3), fc.constantFrom(257, 0x200, 0x612d78, 0x622d78, 3), fc.integer()), {
      maxLength: 40,
    }),
  )
  fc.assert(
    fc.property(output, (words) => {
      const list = words.flat() as number[]
      const bytes = Buffer.alloc(Math.max(64, list.length * 4 + 20))
      for (const [index, word] of list.entries())
        bytes.writeInt32LE(word | 0, index < 11 ? index * 4 : 64 + (index - 11) * 4)
      checkVerdict(policy.judge({ headers: { 'x-api-key': bytes.toString('latin1') } }))
      assert.equal(policy.judge().denies, false)
    }),
    { numRuns: 20_000, seed: 5 },
  )
  assert.ok(
    policy.counters.failed.output > 1000 && policy.counters.denied > 10,
    JSON.stringify(policy.counters),
  )
})

/** Mulberry32. */
function generator(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}
