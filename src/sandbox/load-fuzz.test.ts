// Mutated modules: whatever the bytes, loading answers; and what it accepts ends within its fuel.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { exampleGuest, SCRIBBLER } from './example-guest.ts'
import { exampleModule } from './example-module.ts'
import { loadModule } from './load-module.ts'
import { meterModule } from './meter-module.ts'
import { proveModule } from './prove-module.ts'

const END = 0x0b
const GUESTS = [
  await exampleGuest(SCRIBBLER),
  await exampleGuest(
    'export function run(): i32 { const a = new Array<i32>(9); a.push(3); return a.length }',
  ),
  await exampleGuest('export function run(): i32 { return i32(f64(load<i32>(0)) * 1.5) }'),
  exampleModule({
    table: [1, 0x70, 1, 4, 9],
    global: [2, 0x7f, 1, 0x41, 3, END, 0x7b, 1, 0xfd, 12, ...Array(16).fill(7), END],
    element: [3, 0, 0x41, 1, END, 1, 0, 1, 0, 1, 0, 5, 0x70, 1, 0xd2, 0, END],
    dataCount: [2],
    code: [
      [
        ...[1, 3, 0x7f, 0x41, 5, 0x21, 0, 0x03, 0x40, 0x41, 0, 0x41, 0, 0x41, 9, 0xfc, 8, 1, 0],
        ...[0x20, 0, 0x41, 1, 0x6b, 0x22, 0, 0x0d, 0, END, 0x41, 0, 0x41, 0, 0x41, 1, 0xfc, 12, 1, 0],
        ...[0xd0, 0x70, 0x41, 1, 0xfc, 15, 0, 0x1a, 0xfc, 9, 1, 0x41, 1, 0x40, 0, 0x0f, END],
      ],
    ],
    data: [2, 0, 0x41, 8, END, 3, 1, 2, 3, 1, 12, ...Array(12).fill(0x61)],
  }),
]

test('the guests to mutate load', () => {
  const freshness = GUESTS.map((bytes) => {
    const loaded = loadModule(bytes, { allowNewInstance: true })
    return loaded.ok ? loaded.module.freshness : loaded.refusal.message
  })
  assert.deepEqual(freshness, ['reset', 'new-instance', 'new-instance', 'new-instance'])
})

test('20,000 mutated modules: an answer to each, validity of what is accepted, an end of what runs', () => {
  const random = generator(20261124)
  const seen = { accepted: 0, refused: 0, ran: 0 }
  for (let round = 0; round < 20_000; round++) {
    const bytes = mutated(GUESTS[round % GUESTS.length]!, random)
    const proof = proveModule(bytes)
    if (proof.verdict === 'refused') {
      seen.refused++
      assert.ok(proof.why.offset >= 0 && proof.why.offset <= bytes.length, proof.why.message)
      continue
    }
    seen.accepted++
    assert.ok(WebAssembly.validate(bytes))
    const resetsGlobals = proof.verdict === 'proved'
    const entries = proof.shape.exports.filter(({ entry }) => entry).map(({ index }) => index)
    const metered = meterModule(proof.shape, { fuel: 1000, pages: 1, resetsGlobals, entries })
    assert.ok(WebAssembly.validate(metered), `round ${round}`)
    if (seen.accepted % 20 > 0 || entries.length === 0) continue
    seen.ran++
    const loaded = loadModule(bytes, { allowNewInstance: true, fuel: 20_000 })
    assert.ok(loaded.ok, `round ${round}`)
    const sandbox = loaded.module.sandbox()
    for (let run = 0; run < 2; run++) {
      sandbox.fresh()
      sandbox.call(loaded.module.entries[0]!)
      assert.ok(sandbox.fuelLeft() < 20_000)
    }
  }
  assert.ok(seen.accepted > 1000 && seen.refused > 1000 && seen.ran > 50, JSON.stringify(seen))
})

/** One to three changes: a bit, a byte, a byte that means much, a piece cut out, doubled or moved. */
function mutated(original: Uint8Array, random: (below: number) => number): Uint8Array {
  let bytes = [...original]
  for (let count = 1 + random(3); count > 0; count--) {
    const at = 8 + random(bytes.length - 8)
    const length = 1 + random(8)
    switch (random(6)) {
      case 0:
        bytes[at]! ^= 1 << random(8)
        break
      case 1:
        bytes[at] = random(256)
        break
      case 2:
        bytes[at] = [0, 1, 2, 3, 0x0b, 0x40, 0x7f, 0x80, 0xff, 0xfc, 0xfd, 0x70, 0x7d][random(13)]!
        break
      case 3:
        bytes.splice(at, length)
        break
      case 4:
        bytes = [...bytes.slice(0, at), ...bytes.slice(Math.max(8, at - length))]
        break
      case 5:
        bytes.splice(at, length, ...bytes.slice(8 + random(bytes.length - 8)).slice(0, length))
        break
    }
  }
  return Uint8Array.from(bytes)
}

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
