import assert from 'node:assert/strict'
import { test } from 'node:test'
import { metricsText } from './metrics-text.ts'
import { MetricsTotals } from './metrics-totals.ts'

test('counters are called by their part and name, once; gauges have no _total; values are escaped', () => {
  const totals = new MetricsTotals()
  const none = { labels: [], cells: new Float64Array(0), sums: new Float64Array(0) }
  totals.add(
    {
      exchanges: [none, none, none, none],
      counters: {
        engine: { responses5xx: 2, connectionsOpen: 3 },
        tokens: { tokensKnown: 4, keysTimedOut: 5 },
        userPolicies: { failed: { 'state-full': 6 } },
      },
    },
    false,
  )
  const metric = {
    name: 'm',
    help: 'h',
    type: 'gauge',
    values: [{ labels: { a: 'x"\\\ny' }, value: 1 }],
  } as const
  const samples = metricsText(totals, [metric])
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
  assert.deepEqual(samples, [
    'mayfly_engine_responses_5xx_total 2',
    'mayfly_engine_connections_open 3',
    'mayfly_tokens_known 4',
    'mayfly_tokens_keys_timed_out_total 5',
    'mayfly_user_policies_failed_total{reason="state-full"} 6',
    'm{a="x\\"\\\\\\ny"} 1',
  ])
})
