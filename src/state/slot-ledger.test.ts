import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { SlotLedger } from './slot-ledger.ts'

const instance = (id: string, limit: number | null) => ({ id, host: '127.0.0.1', port: 1, limit })

function slots(ledger: SlotLedger, engine: string): Record<string, number | null> {
  return Object.fromEntries(ledger.slices(engine).map((slice) => [slice.id, slice.slots]))
}

test('without a limit every engine may use every instance', () => {
  const ledger = new SlotLedger()
  ledger.addEngine('a')
  ledger.addInstance(instance('i', null))
  ledger.share(new Map())
  assert.deepEqual(slots(ledger, 'a'), { i: null })
})

test('one slot goes to the engine that needs it, once the other has given it back', () => {
  const ledger = new SlotLedger()
  ledger.addEngine('a')
  ledger.addEngine('b')
  ledger.addInstance(instance('i', 1))
  ledger.share(new Map([['a', 1]]))
  assert.deepEqual([slots(ledger, 'a'), slots(ledger, 'b')], [{ i: 1 }, {}])
  const need = new Map([['b', 1]])
  ledger.share(need)
  assert.deepEqual([slots(ledger, 'a'), slots(ledger, 'b')], [{ i: 0 }, {}])
  ledger.returned('a', 'i', 0)
  ledger.share(need)
  assert.deepEqual([slots(ledger, 'a'), slots(ledger, 'b')], [{}, { i: 1 }])
})

test('a retiring instance is drained when no engine uses it', () => {
  const ledger = new SlotLedger()
  ledger.addEngine('a')
  ledger.addEngine('b')
  ledger.addInstance(instance('i', 2))
  ledger.share(new Map())
  assert.equal(ledger.retire('i'), false)
  assert.equal(ledger.returned('a', 'i', 0), false)
  assert.equal(ledger.returned('b', 'i', 0), true)
})

test('a dead engine gives back what it held', () => {
  const ledger = new SlotLedger()
  ledger.addEngine('a')
  ledger.addEngine('b')
  ledger.addInstance(instance('i', 1))
  ledger.share(new Map([['a', 1]]))
  assert.deepEqual(ledger.removeEngine('a'), [])
  ledger.share(new Map([['b', 1]]))
  assert.deepEqual(slots(ledger, 'b'), { i: 1 })
})

test('what an engine out of reach holds is given to nobody else until it is dead', () => {
  const ledger = new SlotLedger()
  for (const engine of ['a', 'b']) ledger.addEngine(engine)
  ledger.addInstance(instance('i', 2))
  ledger.share(new Map([['a', 2]]))
  ledger.suspendEngine('a')
  ledger.share(new Map([['b', 2]]))
  assert.deepEqual(slots(ledger, 'b'), {})
  ledger.removeEngine('a')
  ledger.share(new Map([['b', 2]]))
  assert.deepEqual(slots(ledger, 'b'), { i: 2 })
})

test('the death of an engine that has no part changes nothing', () => {
  const ledger = new SlotLedger()
  ledger.addEngine('a')
  ledger.addInstance(instance('i', 2))
  ledger.removeEngine('stranger')
  ledger.share(new Map([['a', 2]]))
  assert.deepEqual(slots(ledger, 'a'), { i: 2 })
})

test('engines that take turns both get the only slot', () => {
  const ledger = new SlotLedger()
  ledger.addEngine('a')
  ledger.addEngine('b')
  ledger.addInstance(instance('i', 1))
  const need = new Map([
    ['a', 5],
    ['b', 1],
  ])
  const had = new Set<string>()
  for (let round = 0; round < 6; round++) {
    ledger.nextTurn()
    ledger.share(need)
    for (const engine of ['a', 'b']) ledger.returned(engine, 'i', slots(ledger, engine).i ?? -1)
    ledger.share(need)
    for (const engine of ['a', 'b']) if (slots(ledger, engine).i === 1) had.add(engine)
  }
  assert.deepEqual([...had].sort(), ['a', 'b'])
})

test('whatever happens, engines together never hold more than the limit, and all of it is used when needed', () => {
  const engines = ['a', 'b', 'c']
  const action = fc.oneof(
    fc.record({ kind: fc.constant('need' as const), engine: fc.constantFrom(...engines), count: fc.nat(9) }),
    fc.record({ kind: fc.constant('add' as const) }),
    fc.record({ kind: fc.constant('retire' as const), nth: fc.nat(5) }),
    fc.record({ kind: fc.constant('lose' as const), nth: fc.nat(5) }),
    fc.record({ kind: fc.constant('find' as const), nth: fc.nat(5) }),
    fc.record({ kind: fc.constant('restart' as const), engine: fc.constantFrom(...engines) }),
    fc.record({ kind: fc.constant('end' as const), engine: fc.constantFrom(...engines), nth: fc.nat(5) }),
  )
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 4 }), fc.array(action, { maxLength: 60 }), (limit, actions) => {
      const ledger = new SlotLedger()
      for (const engine of engines) ledger.addEngine(engine)
      const need = new Map<string, number>()
      const ids: string[] = []
      const lost = new Set<string>()
      /** engine -> instance -> requests that it has in flight there. */
      const inFlight = new Map(engines.map((engine) => [engine, new Map<string, number>()]))
      for (const step of actions) {
        if (step.kind === 'need') need.set(step.engine, step.count)
        if (step.kind === 'add') {
          ids.push(`i${ids.length}`)
          ledger.addInstance(instance(ids.at(-1)!, limit))
        }
        if (step.kind === 'retire') ledger.retire(ids[step.nth] ?? '')
        if (step.kind === 'restart') {
          ledger.removeEngine(step.engine)
          ledger.addEngine(step.engine)
          inFlight.get(step.engine)!.clear()
        }
        const id = 'nth' in step ? (ids[step.nth] ?? '') : ''
        if (step.kind === 'lose' && id !== '') {
          ledger.removeInstance(id)
          lost.add(id)
        }
        if (step.kind === 'find' && lost.delete(id)) ledger.addInstance(instance(id, limit))
        if (step.kind === 'end' && inFlight.get(step.engine)!.delete(id) && lost.has(id))
          ledger.returned(step.engine, id, 0)
        ledger.nextTurn()
        ledger.share(need)
        for (const engine of engines) {
          const flying = inFlight.get(engine)!
          for (const slice of ledger.slices(engine)) {
            const now = flying.get(slice.id) ?? 0
            if (now < slice.slots!) flying.set(slice.id, slice.slots!)
            else if (now === slice.slots) ledger.returned(engine, slice.id, slice.slots)
          }
        }
        for (const one of ids) {
          let sum = 0
          for (const engine of engines) sum += inFlight.get(engine)!.get(one) ?? 0
          assert.ok(sum <= limit, `${sum} requests at ${one}, limit ${limit}`)
        }
      }
    }),
  )
})

test('the death of an engine that has no part in the function takes nothing from those that have', () => {
  const ledger = new SlotLedger()
  ledger.addEngine('a')
  ledger.addInstance(instance('i', 1))
  assert.deepEqual(ledger.removeEngine('b'), [])
  ledger.share(new Map([['a', 1]]))
  assert.deepEqual(ledger.engines, ['a'])
  assert.deepEqual(slots(ledger, 'a'), { i: 1 })
})

test('an engine that has no use for them any more gives its slots back, and has a part again when it asks', () => {
  const ledger = new SlotLedger()
  for (const engine of ['a', 'b']) ledger.addEngine(engine)
  ledger.addInstance(instance('i', 1))
  ledger.addInstance(instance('j', null))
  ledger.share(new Map([['a', 1]]))
  ledger.takeChanged()
  assert.equal(ledger.holds('a'), true)
  ledger.withdraw('a')
  ledger.share(new Map([['b', 1]]))
  assert.deepEqual([...ledger.takeChanged().keys()], ['a'])
  assert.deepEqual([slots(ledger, 'a'), slots(ledger, 'b')], [{ i: 0, j: 0 }, { j: null }])
  ledger.returned('a', 'i', 0)
  assert.equal(ledger.holds('a'), true)
  ledger.returned('a', 'j', 0)
  assert.equal(ledger.holds('a'), false)
  ledger.share(new Map([['b', 1]]))
  assert.deepEqual([slots(ledger, 'a'), slots(ledger, 'b')], [{}, { i: 1, j: null }])
  ledger.addEngine('a')
  ledger.share(new Map([['b', 1]]))
  assert.deepEqual(slots(ledger, 'a'), { j: null })
})
