import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Scaling, toScaling } from '../api/scaling.ts'
import { Autoscaler } from './autoscaler.ts'

/** A tick of 2 s and a whole second, as all times here. */
const START = 1_000_000_000
const at = (second: number) => START + second * 1000

/** A function's scaling by its annotations, without their prefix. */
function scaling(annotations: Record<string, string> = {}, concurrency = 0): Scaling {
  const named = Object.entries(annotations).map(([name, value]) => [`autoscaling.knative.dev/${name}`, value])
  return toScaling(Object.fromEntries(named), concurrency)
}

/** Something that happens at a second; what is looked at comes after what was measured in it. */
interface Event {
  second: number
  looks: boolean
  happen(autoscaler: Autoscaler): void
}

interface Case {
  name: string
  settings: Record<string, string>
  events: Event[]
}

const STEP = /^(load|requests|burst|ticks?) (\d+)(?:\.\.(\d+))? (?:([\d.]+)|ready (\d+) -> (\d+|same))$/

function readCases(file: URL): Case[] {
  const cases: Case[] = []
  readFileSync(file, 'utf8')
    .split('\n')
    .forEach((written, index) => {
      const text = written.replace(/#.*/, '').trim()
      if (text.startsWith('case ')) cases.push({ name: text.slice(5), settings: {}, events: [] })
      else if (text.startsWith('with ')) {
        for (const setting of text.slice(5).split(/\s+/)) {
          const [name, value] = setting.split('=')
          cases.at(-1)!.settings[name!] = value!
        }
      } else if (text !== '') cases.at(-1)!.events.push(...eventsOf(text, `line ${index + 1}`))
    })
  return cases
}

function eventsOf(text: string, line: string): Event[] {
  const match = STEP.exec(text)
  assert.ok(match, `${line}: ${text}`)
  const [, kind, from, to = from, value, ready, wanted] = match
  const events: Event[] = []
  for (let second = Number(from); second <= Number(to); second += kind === 'ticks' ? 2 : 1) {
    events.push({
      second,
      looks: wanted !== undefined,
      happen: (autoscaler) => {
        if (kind === 'load') autoscaler.record(at(second), Number(value))
        else if (kind === 'requests') autoscaler.record(at(second), 0, Number(value))
        else if (kind === 'burst') autoscaler.burst(at(second), Number(value))
        else {
          const expected = wanted === 'same' ? null : Number(wanted)
          assert.equal(autoscaler.desired(at(second), Number(ready)), expected, `${line}, ${second} s`)
        }
      },
    })
  }
  return events
}

const CASES = readCases(new URL('autoscaler-cases.txt', import.meta.url))

test('there are cases', () => assert.ok(CASES.length > 40))

for (const { name, settings, events } of CASES) {
  test(name, () => {
    const { containerConcurrency = '0', ...annotations } = settings
    const autoscaler = new Autoscaler(scaling(annotations, Number(containerConcurrency)))
    const inOrder = events.toSorted((a, b) => a.second - b.second || Number(a.looks) - Number(b.looks))
    for (const event of inOrder) event.happen(autoscaler)
  })
}

test('readings within a second are averaged', () => {
  const autoscaler = new Autoscaler(scaling())
  for (const load of [0, 280]) autoscaler.record(START, load)
  assert.equal(autoscaler.desired(START, 2), 2)
})

test('new settings judge by the load that is known', () => {
  const autoscaler = new Autoscaler(scaling())
  for (let second = 0; second < 60; second++) autoscaler.record(at(second), 140)
  assert.equal(autoscaler.desired(at(59), 2), 2)
  autoscaler.reconfigure(scaling({ target: '10' }))
  assert.equal(autoscaler.desired(at(59), 20), 20)
})

test('a clock that is set back does not keep what was to last a window', () => {
  const autoscaler = new Autoscaler(scaling({ window: '6s' }))
  autoscaler.record(at(7200), 700)
  assert.equal(autoscaler.desired(at(7200), 2), 10)
  for (let second = 0; second <= 8; second += 2) {
    autoscaler.record(at(second), 0)
    assert.equal(autoscaler.desired(at(second), 10), second <= 6 ? 10 : 5)
  }
})

test('whatever the load is, what is wanted keeps to the bounds and the rates', () => {
  const world = fc.record({
    min: fc.integer({ min: 0, max: 5 }),
    more: fc.integer({ min: 0, max: 20 }),
    steps: fc.array(fc.tuple(fc.nat(5), fc.nat(2000)), { maxLength: 100 }),
  })
  fc.assert(
    fc.property(world, ({ min, more, steps }) => {
      const max = min + more + 1
      const bounds = { 'min-scale': String(min), 'max-scale': String(max), window: '6s' }
      const autoscaler = new Autoscaler(scaling(bounds))
      let second = 0
      let ready = 0
      for (const [pause, load] of steps) {
        second += pause
        autoscaler.record(at(second), load)
        const wanted = autoscaler.desired(at(second), ready)!
        assert.ok(wanted >= min && wanted <= max)
        assert.ok(wanted >= Math.min(max, Math.floor(ready / 2)))
        ready = wanted
      }
      // Without a request it is at its least when a window, panic and all halvings are over.
      for (let i = 0; i < 20; i++) {
        second += 2
        autoscaler.record(at(second), 0)
        ready = autoscaler.desired(at(second), ready)!
      }
      assert.equal(ready, min)
    }),
  )
})
