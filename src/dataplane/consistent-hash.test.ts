import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type HashTable, hashRing, maglevTable } from './consistent-hash.ts'

const KINDS: [string, (members: readonly string[]) => HashTable<string>][] = [
  ['ring', (members) => hashRing(members, (member) => member, 1_024)],
  ['maglev', (members) => maglevTable(members, (member) => member, 65_537)],
]
const names = (size: number) => Array.from({ length: size }, (_, i) => `10.0.0.${i}:8080`)
const hashes = Array.from({ length: 20_000 }, (_, i) => Math.imul(i, 0x9e3779b1) >>> 0)
const all = () => true
const spread = (table: HashTable<string>) => hashes.map((hash) => table.find(hash, all)!)

for (const [kind, make] of KINDS) {
  test(`${kind}: nobody is found among nobody, and the only one always`, () => {
    assert.equal(make([]).find(7, all), null)
    assert.deepEqual(new Set(spread(make(['a']))), new Set(['a']))
  })

  test(`${kind}: keys are spread about evenly`, () => {
    const counts = Map.groupBy(spread(make(names(8))), (name) => name)
    for (const [name, found] of counts) {
      const share = found.length / (hashes.length / 8)
      assert.ok(share > 0.6 && share < 1.4, `${name} has ${share.toFixed(2)} of its share`)
    }
    assert.equal(counts.size, 8)
  })

  test(`${kind}: the order in which members are listed does not matter`, () => {
    fc.assert(
      fc.property(fc.shuffledSubarray(names(6), { minLength: 6, maxLength: 6 }), (listed) => {
        const table = make(listed)
        const other = make(names(6))
        // Maglev fills its table in turn, so that the order decides a few places.
        const differing = hashes
          .slice(0, 2_000)
          .filter((hash) => table.find(hash, all) !== other.find(hash, all))
        assert.ok(differing.length <= (kind === 'ring' ? 0 : 200), `${differing.length} of 2000`)
      }),
      { numRuns: 10 },
    )
  })

  test(`${kind}: when one member goes, few keys move but its own`, () => {
    const before = spread(make(names(8)))
    const after = spread(make(names(8).slice(1)))
    const moved = before.filter((name, i) => name !== after[i]).length
    const own = before.filter((name) => name === names(1)[0]).length
    assert.ok(moved >= own)
    // Beyond the member's own: places in dispute in maglev's table.
    assert.ok(
      moved - own <= hashes.length * (kind === 'ring' ? 0 : 0.05),
      `${moved - own} of ${hashes.length} moved needlessly`,
    )
  })

  test(`${kind}: who is not accepted is passed over, and only for its own keys`, () => {
    const table = make(names(5))
    for (const hash of hashes.slice(0, 2_000)) {
      const first = table.find(hash, all)
      const second = table.find(hash, (name) => name !== first)
      assert.notEqual(second, first)
      assert.equal(
        table.find(hash, (name) => name !== second),
        first,
      )
      assert.equal(
        table.find(hash, () => false),
        null,
      )
    }
  })
}

test('a ring has at least as many points as it has members', () => {
  const table = hashRing(names(300), (member) => member, 1)
  assert.ok(new Set(spread(table)).size > 250)
})
