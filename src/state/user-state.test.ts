import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { UserStates, type UserStateTerms, type UserStateUpdate } from './user-state.ts'

const WINDOW = 1000
const terms = (type: UserStateTerms['type'], more: Partial<UserStateTerms> = {}): UserStateTerms => ({
  id: `test/${type}`,
  type,
  windowMs: WINDOW,
  scope: 'node',
  maxKeys: 100,
  maxMembers: 4,
  ...more,
})
const ALL = [terms('counter'), terms('set'), terms('lastWriter')]

describe('one table', () => {
  test('a counter adds, and begins anew with each window', () => {
    const states = new UserStates('a')
    const counter = terms('counter')
    assert.equal(states.read(counter, 'k', 0), undefined)
    states.change(counter, 'k', 0, 2, '')
    states.change(counter, 'k', 999, 3, '')
    assert.equal(states.read(counter, 'k', 999)?.number, 5)
    assert.equal(states.read(counter, 'k', 1000), undefined)
    states.change(counter, 'k', 1000, -1, '')
    assert.equal(states.read(counter, 'k', 1500)?.number, -1)
    assert.equal(states.read(counter, 'other', 1500), undefined)
  })

  test('a counter stops at the greatest number that is exact', () => {
    const states = new UserStates('a')
    for (let i = 0; i < 3; i++) states.change(terms('counter'), 'k', 0, 2 ** 52, '')
    assert.equal(states.read(terms('counter'), 'k', 0)?.number, Number.MAX_SAFE_INTEGER)
  })

  test('one key more than maxKeys does not fit until others are over', () => {
    const states = new UserStates('a')
    const small = terms('counter', { maxKeys: 2 })
    for (const key of ['a', 'b']) states.change(small, key, 0, 1, '')
    assert.equal(states.fits(small, 'c', 0, null), false)
    assert.equal(states.fits(small, 'a', 0, null), true)
    states.change(small, 'c', 0, 1, '')
    assert.equal(states.read(small, 'c', 0), undefined)
    assert.equal(states.counters.full, 2)
    assert.equal(states.fits(small, 'c', 1000, null), true)
  })

  test('one member more than maxMembers does not fit', () => {
    const states = new UserStates('a')
    for (const member of ['a', 'b', 'c', 'd']) states.change(terms('set'), 'k', 0, 0, member)
    assert.equal(states.fits(terms('set'), 'k', 0, 'e'), false)
    assert.equal(states.fits(terms('set'), 'k', 0, 'a'), true)
    assert.equal(states.fits(terms('set'), 'k', 1000, 'e'), true)
  })

  test('states of policies that are gone are forgotten, and so is one whose meaning has changed', () => {
    const states = new UserStates('a')
    for (const one of ALL) states.change(one, 'k', 0, 1, 'v')
    states.keepOnly(new Set(['test/set']))
    assert.equal(states.read(terms('counter'), 'k', 0), undefined)
    assert.equal(states.read(terms('set'), 'k', 0)?.number, 1)
    assert.equal(states.takeUntold(10).length, 1)
    states.change(terms('set', { type: 'counter' }), 'k', 0, 1, '')
    assert.equal(states.read(terms('set', { type: 'counter' }), 'k', 0)?.members.size, 0)
  })

  test('what is not told yet is told once, at most so much at a time', () => {
    const states = new UserStates('a')
    for (let i = 0; i < 5; i++) states.change(terms('counter'), `k${i}`, 0, 1, '')
    states.change(terms('counter'), 'k0', 0, 4, '')
    const first = states.takeUntold(3)
    assert.deepEqual([first.length, first[0]?.amount], [3, 5])
    assert.equal(states.takeUntold(3).length, 2)
    assert.equal(states.takeUntold(3).length, 0)
  })
})

/** A change made at one of three tables; between them updates go astray in time, but each link keeps its order. */
const change = fc.record({
  table: fc.nat(2),
  which: fc.nat(2),
  key: fc.constantFrom('x', 'y', 'z'),
  at: fc.nat(3 * WINDOW - 1),
  amount: fc.integer({ min: -9, max: 9 }),
  bytes: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f'),
  tell: fc.boolean(),
})

test('tables that have been told everything hold the same, whatever the order of the telling', () => {
  fc.assert(
    fc.property(fc.array(change, { maxLength: 60 }), fc.infiniteStream(fc.nat()), (changes, choices) => {
      const tables = ['a', 'b', 'c'].map((writer) => new UserStates(writer))
      /** Updates under way, by link from one table to another. */
      const links = new Map<string, UserStateUpdate[][]>()
      const tell = (from: number) => {
        const updates = tables[from]!.takeUntold(1000)
        if (updates.length === 0) return
        for (const to of [0, 1, 2])
          if (to !== from) links.set(`${from}${to}`, [...(links.get(`${from}${to}`) ?? []), updates])
      }
      const deliver = (choice: number) => {
        const waiting = [...links].filter(([, messages]) => messages.length > 0)
        const link = waiting[choice % Math.max(1, waiting.length)]
        if (link !== undefined) tables[Number(link[0][1])]!.merge(link[1].shift()!)
        return waiting.length > 0
      }
      // The clocks of one key's writers agree in their windows, as an engine's never goes back.
      for (const { table, which, key, at, amount, bytes, tell: tells } of changes.toSorted(
        (a, b) => a.at - b.at,
      )) {
        tables[table]!.change(ALL[which]!, key, at, amount, bytes)
        if (tells) {
          tell(table)
          deliver(choices.next().value!)
        }
      }
      for (const from of [0, 1, 2]) tell(from)
      while (deliver(choices.next().value!));
      const held = tables.map((table) =>
        JSON.stringify(
          ALL.flatMap((one) =>
            ['x', 'y', 'z'].map((key) => {
              const stored = table.read(one, key, 3 * WINDOW - 1)
              return stored && [stored.number, [...stored.members].sort(), stored.value]
            }),
          ),
        ),
      )
      assert.equal(held[1], held[0])
      assert.equal(held[2], held[0])
      const counted = changes.filter(({ which, key, at }) => which === 0 && key === 'x' && at >= 2 * WINDOW)
      const expected = counted.reduce((sum, { amount }) => sum + amount, 0)
      assert.equal(tables[0]!.read(ALL[0]!, 'x', 3 * WINDOW - 1)?.number ?? 0, expected)
    }),
    { numRuns: 300, seed: 11 },
  )
})

test('a table that begins with a snapshot holds what the others hold', () => {
  const first = new UserStates('a')
  for (const one of ALL) first.change(one, 'k', 10, 7, 'v')
  const second = new UserStates('b')
  second.merge(first.snapshot(20))
  for (const one of ALL) assert.deepEqual(second.read(one, 'k', 20), first.read(one, 'k', 20))
  assert.equal(first.snapshot(WINDOW).length, 0)
})
