import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Amounts, choosePlace, chooseSurplus, fits, type Held, type Place } from './placement-choice.ts'

const MI = 2 ** 20
const NOTHING: Amounts = { cpuMillis: 0, memoryBytes: 0 }

function amounts(cpuMillis: number, mebibytes = 0): Amounts {
  return { cpuMillis, memoryBytes: mebibytes * MI }
}

interface Written {
  zone?: string
  schedulable?: boolean
  /** CPU in thousandths, memory in Mi: what there is, and what is taken. */
  has?: [number, number]
  taken?: [number, number]
}

function place(name: string, { zone = '', schedulable = true, has, taken = [0, 0] }: Written = {}): Place {
  const load = has ? Math.max(taken[0] / has[0], taken[1] / has[1]) : 0
  return { name, zone, schedulable, capacity: has ? amounts(...has) : null, taken: amounts(...taken), load }
}

function held(places: Place[], counts: Record<string, number>, ready = counts): Held<Place>[] {
  return places.flatMap((one) =>
    one.name in counts ? [{ place: one, count: counts[one.name]!, ready: ready[one.name] ?? 0 }] : [],
  )
}

/** [what, asked, places, instances at each, first, chosen or why none] */
const CASES: [string, Amounts, Record<string, Written>, Record<string, number>, number, string][] = [
  ['the first that is looked at', NOTHING, { a: {}, b: {}, c: {} }, {}, 1, 'b'],
  ['one that has none yet', NOTHING, { a: {}, b: {}, c: {} }, { b: 1 }, 1, 'c'],
  ['the fewest', NOTHING, { a: {}, b: {}, c: {} }, { a: 2, b: 2, c: 1 }, 0, 'c'],
  [
    'the zone with the fewest, though a place of another has fewer',
    NOTHING,
    { a: { zone: 'x' }, b: { zone: 'x' }, c: { zone: 'x' }, d: { zone: 'y' } },
    { a: 1, b: 1, d: 1 },
    0,
    'd',
  ],
  ['not one where none may start', NOTHING, { a: { schedulable: false }, b: {} }, { b: 3 }, 0, 'b'],
  ['exactly full', amounts(500), { a: { has: [1000, 100], taken: [500, 0] } }, {}, 0, 'a'],
  [
    'a thousandth too much',
    amounts(501),
    { a: { has: [1000, 100], taken: [500, 0] } },
    {},
    0,
    'no node has room for an instance that asks for 501m CPU: of the only node 1 too full',
  ],
  [
    'memory counts as well',
    amounts(1, 64),
    { a: { has: [1000, 100], taken: [0, 40] }, b: { has: [1000, 100], taken: [900, 36] } },
    {},
    0,
    'b',
  ],
  [
    'who asks for nothing has room on a full node',
    NOTHING,
    { a: { has: [1000, 100], taken: [1000, 100] } },
    {},
    0,
    'a',
  ],
  [
    'the least full by tenths',
    amounts(10),
    { a: { has: [1000, 1000], taken: [300, 0] }, b: { has: [1000, 1000], taken: [190, 0] } },
    {},
    0,
    'b',
  ],
  [
    'less than a tenth makes no difference',
    amounts(10),
    { a: { has: [1000, 1000], taken: [190, 0] }, b: { has: [1000, 1000], taken: [110, 0] } },
    {},
    0,
    'a',
  ],
  ['no node', NOTHING, {}, {}, 3, 'there is no node that runs functions'],
  [
    'no node where any may start',
    NOTHING,
    { a: { schedulable: false }, b: { schedulable: false } },
    {},
    0,
    'no instance may start on any of 2 nodes: cordoned or out of reach',
  ],
  [
    'some closed, some full',
    amounts(600, 10),
    { a: { schedulable: false }, b: { has: [500, 100] }, c: { has: [1000, 5] } },
    {},
    0,
    'no node has room for an instance that asks for 600m CPU and 10Mi memory: of 3 nodes 2 too full, 1 cordoned or out of reach',
  ],
]

for (const [what, asked, written, counts, first, expected] of CASES) {
  test(`placed: ${what}`, () => {
    const places = Object.entries(written).map(([name, one]) => place(name, one))
    const choice = choosePlace(asked, places, held(places, counts), first)
    assert.equal(choice.ok ? choice.place.name : choice.reason, expected)
  })
}

/** [what, places, instances at each, ready ones, chosen] */
const SURPLUS: [
  string,
  Record<string, Written>,
  Record<string, number>,
  Record<string, number>,
  string | null,
][] = [
  ['none has any', { a: {} }, { a: 0 }, {}, null],
  ['where none may start', { a: {}, b: { schedulable: false } }, { a: 5, b: 1 }, { a: 5, b: 1 }, 'b'],
  ['the most', { a: {}, b: {}, c: {} }, { a: 1, b: 3, c: 2 }, { a: 1, b: 3, c: 2 }, 'b'],
  [
    'the zone with the most',
    { a: { zone: 'x' }, b: { zone: 'x' }, c: { zone: 'y' } },
    { a: 1, b: 1, c: 1 },
    { a: 1, b: 1, c: 1 },
    'b',
  ],
  ['one that is not ready yet', { a: {}, b: {} }, { a: 1, b: 1 }, { b: 1 }, 'a'],
  [
    'one that is not ready yet, rather than one that serves where none may start',
    { a: {}, b: { schedulable: false } },
    { a: 1, b: 2 },
    { b: 2 },
    'a',
  ],
  [
    'the fullest',
    { a: { has: [1000, 100], taken: [800, 0] }, b: { has: [1000, 100], taken: [300, 0] } },
    { a: 1, b: 1 },
    { a: 1, b: 1 },
    'a',
  ],
  ['the last', { a: {}, b: {} }, { a: 1, b: 1 }, { a: 1, b: 1 }, 'b'],
]

for (const [what, written, counts, ready, expected] of SURPLUS) {
  test(`given up: ${what}`, () => {
    const places = Object.entries(written).map(([name, one]) => place(name, one))
    assert.equal(chooseSurplus(held(places, counts, ready))?.name ?? null, expected)
  })
}

test('instances are never over what there is, and spread to within one where there is room', () => {
  const node = fc.record({
    zone: fc.constantFrom('x', 'y', 'z'),
    schedulable: fc.boolean(),
    has: fc.tuple(fc.integer({ min: 1, max: 4000 }), fc.integer({ min: 1, max: 4000 })),
  })
  const world = fc.record({
    nodes: fc.array(node, { minLength: 1, maxLength: 8 }),
    asked: fc.tuple(fc.integer({ min: 0, max: 900 }), fc.integer({ min: 0, max: 900 })),
    count: fc.integer({ min: 1, max: 40 }),
    first: fc.nat(20),
  })
  fc.assert(
    fc.property(world, ({ nodes, asked, count, first }) => {
      const ask = amounts(...asked)
      const taken = nodes.map(() => [0, 0] as [number, number])
      const counts: Record<string, number> = Object.fromEntries(nodes.map((_, i) => [`n${i}`, 0]))
      const places = () => nodes.map((one, i) => place(`n${i}`, { ...one, taken: taken[i]! }))
      for (let i = 0; i < count; i++) {
        const now = places()
        const choice = choosePlace(ask, now, held(now, counts), first)
        if (!choice.ok) {
          assert.ok(now.every((one) => !one.schedulable || !fits(ask, one)))
          break
        }
        const index = Number(choice.place.name.slice(1))
        taken[index]![0] += asked[0]
        taken[index]![1] += asked[1]
        counts[choice.place.name]!++
      }
      const now = places()
      for (const { taken: used, capacity } of now) {
        assert.ok(used.cpuMillis <= capacity!.cpuMillis && used.memoryBytes <= capacity!.memoryBytes)
      }
      // Whoever has room yet has at most one less than any other, by zone and by node in a zone.
      const zoneCount = (zone: string) =>
        now.reduce((sum, one) => sum + (one.zone === zone ? counts[one.name]! : 0), 0)
      for (const one of now.filter((each) => each.schedulable && fits(ask, each))) {
        for (const other of now) {
          if (other.zone === one.zone) assert.ok(counts[other.name]! - counts[one.name]! <= 1)
          else assert.ok(zoneCount(other.zone) - zoneCount(one.zone) <= 1)
        }
      }
    }),
  )
})
