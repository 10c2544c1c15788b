import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { LayeredMap } from './layered-map.ts'

test('a map in layers is at every step what a Map is, in its order, and steps before it stay as they were', () => {
  const key = fc.integer({ min: 0, max: 120 }).map(String)
  const change = fc.tuple(key, fc.option(fc.nat(), { nil: null }))
  const steps = fc.array(fc.array(change, { maxLength: 30 }), { maxLength: 20 })
  fc.assert(
    fc.property(fc.dictionary(key, fc.nat()), steps, (first, all) => {
      const plain = new Map(Object.entries(first))
      let layered = LayeredMap.of(new Map(plain))
      const history: [LayeredMap<number>, [string, number][]][] = []
      for (const changes of all) {
        layered = layered.with(changes)
        for (const [name, value] of changes) {
          if (value === null) plain.delete(name)
          else plain.set(name, value)
        }
        history.push([layered, [...plain]])
        assert.equal(layered.size, plain.size)
        for (const name of Array.from({ length: 121 }, (_, i) => String(i))) {
          assert.equal(layered.get(name), plain.get(name))
          assert.equal(layered.has(name), plain.has(name))
        }
      }
      for (const [one, entries] of history) {
        assert.deepEqual([...one], entries)
        assert.deepEqual(
          [...one.keys()],
          entries.map(([name]) => name),
        )
        assert.deepEqual(
          [...one.values()],
          entries.map(([, value]) => value),
        )
      }
    }),
    { numRuns: 200 },
  )
})
