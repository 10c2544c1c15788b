import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { readEndpoints, readEngineReport } from './engine-report.ts'

const KEY = '0123456789abcdef0123456789abcdef'
const STATE = { id: 'a/b/c', type: 'set', windowMs: 1_000, scope: 'node', maxKeys: 1, maxMembers: 1 }
const WHOLE: ({ type: string } & Record<string, unknown>)[] = [
  { type: 'function-wanted', key: 'a/b', host: null },
  { type: 'function-wanted', key: null, host: 'b.a.localhost' },
  { type: 'identity-wanted', principal: 'd/ns/a/sa/b' },
  { type: 'key-set-wanted', id: 'x' },
  { type: 'demand', reports: [{ key: 'a/b', waiting: 1, inFlight: 2, begun: 3 }] },
  { type: 'returned', key: 'a/b', endpoint: 'b-00001-abc', slots: 0 },
  {
    type: 'quota',
    request: {
      serial: 1,
      roundTripMs: 0.5,
      settlements: [{ limit: 'l', key: KEY, until: 1, used: 2, returned: 0, ageMs: 0 }],
      asks: [{ limit: 'l', key: KEY, waiting: 1, ahead: 0.5 }],
    },
  },
  {
    type: 'user-state',
    updates: [{ ...STATE, key: '', window: 5, amount: -1, members: ['x'], value: '', time: 9, writer: 'e' }],
  },
]

test('what engines send is taken as it is', () => {
  for (const message of WHOLE) assert.deepEqual(readEngineReport(message), message)
})

test('nothing that is not whole is taken, and nothing throws', () => {
  fc.assert(
    fc.property(fc.json(), (text) => {
      const read = readEngineReport(JSON.parse(text))
      assert.ok(read === null || WHOLE.some(({ type }) => type === read.type))
      readEndpoints(JSON.parse(text))
    }),
  )
})

test('a message with one value of another kind is refused', () => {
  const odd = [undefined, Number.NaN, Number.POSITIVE_INFINITY, -1, true, {}, 'x'.repeat(70_000)]
  for (const message of WHOLE) {
    for (const path of pathsIn(message)) {
      // A host or a key may be any name, a number of some kinds any number.
      for (const value of odd) {
        const changed = replaced(message, path, value)
        if (value === -1 && path.at(-1) === 'amount') continue
        assert.equal(readEngineReport(changed), null, `${JSON.stringify(changed)} at ${path.join('.')}`)
      }
    }
  }
})

function pathsIn(value: unknown): PropertyKey[][] {
  if (typeof value !== 'object' || value === null) return [[]]
  return Object.entries(value).flatMap(([name, item]) => pathsIn(item).map((path) => [name, ...path]))
}

function replaced(value: unknown, [first, ...rest]: PropertyKey[], by: unknown): unknown {
  if (first === undefined) return by
  const copy: Record<PropertyKey, unknown> = Array.isArray(value)
    ? ([...value] as never)
    : { ...(value as object) }
  copy[first] = replaced(copy[first], rest, by)
  return copy
}
