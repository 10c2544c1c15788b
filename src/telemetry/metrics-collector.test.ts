import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { EngineMetrics } from '../dataplane/engine-metrics.ts'
import { MetricsCollector } from './metrics-collector.ts'

const rows = (labels: string[], cells: number[]) => ({
  labels,
  cells: Float64Array.from(cells),
  sums: new Float64Array(0),
})
const none = rows([], [])
const engine = (requests: number, inFlight: number, sets: [string, number][]): EngineMetrics => ({
  exchanges: [
    rows(
      sets.map(([set]) => set),
      sets.map(([, count]) => count),
    ),
    none,
    none,
    none,
  ],
  counters: { engine: { requests, requestsInFlight: inFlight }, sidecars: { deniedBy: { path: requests } } },
})

test('the sums of running engines and of ended ones; gauges of ended ones are gone', async () => {
  let running: Record<string, EngineMetrics | null> = {
    a: engine(1, 1, [['x', 1]]),
    b: engine(10, 2, [
      ['x', 5],
      ['y', 7],
    ]),
  }
  const collector = new MetricsCollector({
    engines: () => Object.keys(running),
    ask: async () =>
      Object.entries(running).flatMap(([name, answer]) => (answer ? { engine: name, answer } : [])),
  })
  const read = async () => {
    const { exchanges, counters } = await collector.collect()
    const figure = (part: string, name: string, reason = '') => counters.get(part)?.get(name)?.get(reason)
    const sets = Object.fromEntries([...exchanges[0]!].map(([labels, { cells }]) => [labels, cells[0]]))
    const { enginesEnded } = collector
    return [
      sets,
      figure('engine', 'requests'),
      figure('engine', 'requestsInFlight'),
      figure('sidecars', 'deniedBy', 'path'),
      enginesEnded,
    ]
  }
  assert.deepEqual(await read(), [{ x: 6, y: 7 }, 11, 3, 11, 0])
  running = {
    b: engine(11, 0, [
      ['x', 5],
      ['y', 8],
    ]),
    c: engine(1, 1, [['z', 1]]),
  }
  assert.deepEqual(await read(), [{ x: 6, y: 8, z: 1 }, 13, 1, 13, 1])
  assert.deepEqual(await read(), [{ x: 6, y: 8, z: 1 }, 13, 1, 13, 1], 'an ended engine is counted once')
  running = { b: null, c: engine(2, 0, [['z', 2]]) }
  assert.deepEqual(
    await read(),
    [{ x: 6, y: 8, z: 2 }, 14, 0, 14, 1],
    'one that does not answer keeps what it told',
  )
  collector.close()
})

test('whoever asks meanwhile gets the same sums: scrapes do not pile up', async () => {
  let asked = 0
  const { promise, resolve } = Promise.withResolvers<never[]>()
  const collector = new MetricsCollector({ engines: () => [], ask: () => promise.finally(() => asked++) })
  const both = [collector.collect(), collector.collect()]
  resolve([])
  const [one, other] = await Promise.all(both)
  assert.equal(one, other)
  assert.equal(asked, 1)
  collector.close()
})
