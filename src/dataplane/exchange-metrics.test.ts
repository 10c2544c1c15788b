import assert from 'node:assert/strict'
import { test } from 'node:test'
import { NOTHING_OBSERVED } from '../policy/observation-plan.ts'
import { UNKNOWN_WORKLOAD } from '../policy/workload.ts'
import { ExchangeMetrics } from './exchange-metrics.ts'
import { ExchangeScope } from './exchange-scope.ts'
import { labelText } from './metric-labels.ts'
import { BUCKETS } from './metrics-table.ts'

const FIGURES = {
  bytesReceived: 0,
  bytesSent: 0,
  durationMs: 0,
  responseMs: null,
  requestMs: null,
  responseFlags: 0,
}
const SCOPE = new ExchangeScope(FIGURES, null)
const EDGE = {
  reporter: 'destination',
  source: UNKNOWN_WORKLOAD,
  destination: UNKNOWN_WORKLOAD,
  mutual: false,
} as const
const exchange = (changes: object = {}) => ({
  status: 200,
  responseFlags: 0,
  durationMs: 1,
  bytesReceived: 0,
  bytesSent: 0,
  ...changes,
})

test('beyond the most label sets exchanges are counted as overflow, and known ones go on', () => {
  const metrics = new ExchangeMetrics(3)
  const { server } = NOTHING_OBSERVED
  for (const status of [200, 201, 202, 203, 204, 200])
    metrics.count(server, EDGE, exchange({ status }), SCOPE)
  const [requests, durations] = metrics.snapshot()
  assert.deepEqual([...requests!.cells], [2, 1, 1])
  assert.equal(durations!.labels.length, 3)
  assert.deepEqual(metrics.counters, { labelSetsOverflowed: 2 })
})

test('functions that share what says how they observe are counted apart', () => {
  const metrics = new ExchangeMetrics(10)
  const { client } = NOTHING_OBSERVED
  for (const workload of ['cart', 'pay', 'cart']) {
    const source = { ...UNKNOWN_WORKLOAD, workload }
    metrics.count(
      client,
      { reporter: 'source', source, destination: UNKNOWN_WORKLOAD, mutual: true },
      exchange(),
      SCOPE,
    )
  }
  const [requests] = metrics.snapshot()
  assert.deepEqual(
    requests!.labels.map((text) => /source_workload="(\w+)"/.exec(text)![1]),
    ['cart', 'pay'],
  )
  assert.deepEqual([...requests!.cells], [2, 1])
})

test('a tag that everybody may choose does not grow the engine beyond that', () => {
  const metrics = new ExchangeMetrics(10)
  const tag = { op: 'value', type: 'text', index: 0 } as const
  const plan = { disabled: false, tags: [['path', tag]] as const }
  const server = { ...NOTHING_OBSERVED.server, values: 1, metrics: [plan, plan, plan, plan] }
  for (let i = 0; i < 1_000; i++)
    metrics.count(server, EDGE, exchange(), new ExchangeScope(FIGURES, [`/${i}`]))
  const [requests] = metrics.snapshot()
  assert.equal(requests!.labels.length, 10)
  assert.deepEqual(metrics.counters, { labelSetsOverflowed: 990 })
})

test('observations fall into the bucket of the least bound that is not below them', () => {
  const metrics = new ExchangeMetrics()
  const { server } = NOTHING_OBSERVED
  const values = [0, 0.5, 0.50001, 1, 3_600_000, 3_600_001]
  for (const durationMs of values) metrics.count(server, EDGE, exchange({ durationMs }), SCOPE)
  const [, durations] = metrics.snapshot()
  const found = Object.entries([...durations!.cells]).filter(([, count]) => count > 0)
  const last = String(BUCKETS.length)
  assert.deepEqual(found, [
    ['0', 2],
    ['1', 2],
    [String(BUCKETS.length - 1), 1],
    [last, 1],
  ])
  assert.equal(
    durations!.sums[0],
    values.reduce((sum, value) => sum + value, 0),
  )
})

test('tables grow without losing what they hold', () => {
  const metrics = new ExchangeMetrics()
  const { client } = NOTHING_OBSERVED
  for (let round = 0; round < 2; round++) {
    for (let status = 200; status < 400; status++) metrics.count(client, EDGE, exchange({ status }), SCOPE)
  }
  for (const { labels, cells } of metrics.snapshot()) {
    assert.equal(labels.length, 200)
    assert.equal(
      cells.reduce((sum, value) => sum + value, 0),
      400,
    )
  }
})

test('label values are escaped as Prometheus reads them', () => {
  assert.equal(labelText([['a', 'x"\\\ny']]), 'a="x\\"\\\\\\ny"')
})
