// The dearest expressions that compile, over the dearest heads that are taken, stay within a phase's fuel and memory:
// telemetry never keeps a request from going through.

import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkCel } from '../api/cel.ts'
import type { Telemetry } from '../api/telemetry.ts'
import { MAX_FIELDS } from '../sidecar/layout/record.ts'
import { decide, policyOf, respond, sidecars, telemetry } from './telemetry-testing.ts'

const SIZE = 65_400
sidecars.maxHeadBytes = 65_536

function filterOf(...texts: string[]): Telemetry {
  const tagOverrides: Record<string, object> = {}
  for (const [i, text] of texts.entries()) {
    const read = checkCel(text, ['truth', 'text'])
    assert.ok(read.ok, read.ok ? '' : `${text}: ${read.problem}`)
    tagOverrides[`t${i}`] = { operation: 'UPSERT', value: read.value }
  }
  return telemetry('shop', 't', {
    metrics: [{ overrides: [{ tagOverrides }] }] as unknown as Telemetry['spec']['metrics'],
  })
}

const many = (count: number, text: (i: number) => string) => Array.from({ length: count }, (_, i) => text(i))
const head = (lines: string) => `GET /?${'q'.repeat(100)} HTTP/1.1\r\nHost: a\r\n${lines}\r\n`
const fields = many(MAX_FIELDS - 2, (i) => `X-${i % 3}: ${'a'.repeat(490)}\r\n`).join('')
const one = `x-long: ${'a'.repeat(SIZE - 200)}\r\n`
/** Heads that fit the small memory, whose phases have less fuel. */
const smallFields = many(MAX_FIELDS - 2, (i) => `X-${i % 3}: ${'a'.repeat(80)}\r\n`).join('')
const smallOne = `x-long: ${'a'.repeat(12_000)}\r\n`

/** Each near the most steps of a function. */
const EXPRESSIONS: Record<string, string[]> = {
  'many missing fields': many(40, (i) =>
    many(16, (j) => `'x-none-${i}-${j}' in request.headers`).join(' && '),
  ),
  'many joined fields': many(40, (i) =>
    many(12, (j) => `request.headers['x-${j % 3}'] == '${i}'`).join(' || '),
  ),
  'many searches': many(40, (i) =>
    many(12, (j) => `request.headers['x-long'].contains('${'a'.repeat(200)}${i}${j}')`).join(' || '),
  ),
  'many expressions': many(
    40,
    (i) => `request.headers['x-long'].matches('(a|aa)*b${i}') || request.path.matches('z${i}$')`,
  ),
  'texts that are joined': many(40, (i) => [...many(23, () => 'request.path'), `'${i}'`].join(' + ')),
  'long values': many(48, (i) => `request.headers['x-long'] + '${i}'`),
  'values of both phases': many(40, (i) => `request.headers['x-1'] + response.headers['x-1'] + '${i}'`),
}

for (const [what, texts] of Object.entries(EXPRESSIONS)) {
  test(what, () => {
    const policy = policyOf({ accessLogFile: '/dev/null' }, [filterOf(...texts)])
    for (const lines of [fields, one, smallFields, smallOne]) {
      const decision = decide(policy, head(lines))
      assert.ok(decision.kind === 'forward', JSON.stringify(decision).slice(0, 300))
      const reply = `HTTP/1.1 200 OK\r\nContent-Length: 0\r\n${lines}\r\n`
      const response = respond(policy, decision.context, { head: reply })
      assert.ok(response.kind === 'head', JSON.stringify(response).slice(0, 300))
      assert.equal(response.values?.length, texts.length)
    }
  })
}

test('more than is evaluated does not compile', () => {
  const steps = many(45, (i) => many(45, (j) => `response.code == ${i * 100 + j}`).join(' || '))
  assert.throws(() => policyOf({}, [filterOf(...steps)]), /take \d+ steps, at most 2048 are evaluated/)
  assert.throws(
    () => policyOf({}, [filterOf(...many(60, (i) => `request.path + '${i}'`))]),
    /have 60 values, at most 48 are kept/,
  )
})
