import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Scaling, toScaling } from '../api/scaling.ts'
import { Autoscaler } from './autoscaler.ts'

/** A whole second, as all times here. */
const START = 1_000_000_000

/** A function's scaling by its annotations, without their prefix. */
function scaling(annotations: Record<string, string> = {}, concurrency = 0): Scaling {
  const named = Object.entries(annotations).map(([name, value]) => [`autoscaling.knative.dev/${name}`, value])
  return toScaling(Object.fromEntries(named), concurrency)
}

/** An autoscaler that noted `loads`, one for each second up to START. */
function after(loads: number[], annotations: Record<string, string> = {}, concurrency = 0): Autoscaler {
  const autoscaler = new Autoscaler(scaling(annotations, concurrency))
  loads.forEach((load, i) => {
    autoscaler.record(START - (loads.length - 1 - i) * 1000, load, load)
  })
  return autoscaler
}

const steady = (load: number, seconds = 60) => Array.from({ length: seconds }, () => load)
const at = (second: number) => START + second * 1000

/** [what, load of each second, annotations, containerConcurrency, ready, wanted] */
const CASES: [string, number[], Record<string, string>, number, number, number][] = [
  ['without any reading: none', [], {}, 0, 0, 0],
  ['a window without requests: none', steady(0), {}, 0, 1, 0],
  ['the last request is 59 s ago: one', [1, ...steady(0, 59)], {}, 0, 1, 1],
  ['100 requests at once for each, of which 70 % are aimed at', steady(140), {}, 0, 2, 2],
  ['one more than that', steady(141), {}, 0, 2, 3],
  ['a hard limit is the target', steady(14), {}, 10, 2, 2],
  ['of a target above the hard limit, the limit counts', steady(14), { target: '50' }, 10, 2, 2],
  ['a target below it counts', steady(14), { target: '5' }, 10, 4, 4],
  [
    'all of the target, where that is asked for',
    steady(20),
    { 'target-utilization-percentage': '100' },
    10,
    2,
    2,
  ],
  ['the average of the window, not its peak', [...steady(0, 30), ...steady(140, 30)], {}, 0, 1, 2],
  ['requests a second', steady(280), { metric: 'rps' }, 0, 2, 2],
  ['requests a second, by a target', steady(10), { metric: 'rps', target: '10' }, 0, 2, 2],
  ['down by half at the most', steady(1), {}, 0, 9, 4],
  ['down by half at the most, to zero too', steady(0), {}, 0, 9, 4],
  ['up by 1000 times at the most', steady(1_000_000), { target: '1' }, 0, 2, 2000],
  ['not below min-scale', steady(0), { 'min-scale': '3' }, 0, 3, 3],
  ['not above max-scale', steady(10_000), { 'max-scale': '5' }, 0, 2, 5],
  ['activation-scale, where there is a load', steady(1), { 'activation-scale': '4' }, 0, 1, 4],
  ['no activation-scale without a load', steady(0), { 'activation-scale': '4' }, 0, 1, 0],
  ['max-scale above activation-scale', steady(1), { 'activation-scale': '4', 'max-scale': '4' }, 0, 1, 4],
]

for (const [what, loads, annotations, concurrency, ready, wanted] of CASES) {
  test(what, () => {
    assert.equal(after(loads, annotations, concurrency).desired(START, ready), wanted)
  })
}

test('seconds without a reading count as zero, those before the first reading do not count', () => {
  const autoscaler = new Autoscaler(scaling())
  autoscaler.record(START, 140)
  assert.equal(autoscaler.desired(START, 2), 2)
  autoscaler.record(at(3), 0)
  assert.equal(autoscaler.desired(at(3), 2), 1, '35 on average')
  autoscaler.record(at(120), 140)
  assert.equal(autoscaler.desired(at(120), 2), 2, 'what lies behind the window is forgotten')
})

test('readings within a second are averaged', () => {
  const autoscaler = new Autoscaler(scaling())
  for (const load of [0, 280]) autoscaler.record(START, load)
  assert.equal(autoscaler.desired(START, 2), 2)
})

test('panic: twice the capacity in a tenth of the window scales up at once, and down only a window later', () => {
  const burst = after([...steady(0, 54), ...steady(700, 6)])
  assert.equal(burst.desired(START, 2), 10)
  for (let second = 1; second < 60; second++) {
    burst.record(at(second), 0)
    assert.equal(burst.desired(at(second), 10), 10, `${second} s later`)
  }
  burst.record(at(60), 0)
  assert.equal(burst.desired(at(60), 10), 5, 'it has ended; down by half')
})

test('panic ends later where its threshold is crossed again', () => {
  const autoscaler = after(steady(700, 6))
  assert.equal(autoscaler.desired(START, 2), 10)
  for (let second = 1; second <= 30; second++) autoscaler.record(at(second), 1400)
  assert.equal(autoscaler.desired(at(30), 10), 20)
  for (let second = 31; second < 90; second++) autoscaler.record(at(second), 0)
  assert.equal(autoscaler.desired(at(89), 20), 20)
  assert.equal(autoscaler.desired(at(90), 20), 10)
})

test('the panic window and its threshold are settings', () => {
  const load = [...steady(0, 40), ...steady(140, 20)]
  assert.equal(after(load, { 'panic-threshold-percentage': '200' }).desired(START, 1), 2)
  assert.equal(after(load, { 'panic-threshold-percentage': '300' }).desired(START, 1), 1)
  assert.equal(after(load, { 'panic-window-percentage': '100' }).desired(START, 1), 1)
})

test('what a burst had started is kept for a stable window', () => {
  const autoscaler = after([1], { window: '6s' })
  autoscaler.burst(START, 5)
  assert.equal(autoscaler.desired(at(5), 5), 5)
  autoscaler.record(at(6), 0)
  assert.equal(autoscaler.desired(at(6), 5), 2)
})

test('scale-down-delay: the most that was wanted within it', () => {
  const autoscaler = new Autoscaler(scaling({ 'scale-down-delay': '10s', window: '6s' }))
  autoscaler.record(START, 210)
  assert.equal(autoscaler.desired(START, 3), 3)
  for (let second = 1; second < 10; second++) {
    autoscaler.record(at(second), 0)
    assert.equal(autoscaler.desired(at(second), 3), 3)
  }
  assert.equal(autoscaler.desired(at(10), 3), 2, 'as a second after the start')
})

test('the last instance is retained for the period that is asked for, counted anew after a request', () => {
  const autoscaler = after(steady(0, 6), { window: '6s', 'scale-to-zero-pod-retention-period': '10s' })
  assert.equal(autoscaler.desired(START, 1), 1)
  assert.equal(autoscaler.desired(at(9), 1), 1)
  autoscaler.record(at(9), 1)
  assert.equal(autoscaler.desired(at(9), 1), 1)
  assert.equal(autoscaler.desired(at(20), 1), 1)
  assert.equal(autoscaler.desired(at(29), 1), 1)
  assert.equal(autoscaler.desired(at(30), 1), 0)
})

test('new settings judge by the load that is known', () => {
  const autoscaler = after(steady(140))
  assert.equal(autoscaler.desired(START, 2), 2)
  autoscaler.reconfigure(scaling({ target: '10' }))
  assert.equal(autoscaler.desired(START, 20), 20)
})
