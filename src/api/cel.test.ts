import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkCel } from './cel.ts'
import type { CelType } from './cel-attribute.ts'

const FILTER: readonly CelType[] = ['truth']

function problem(text: string, types: readonly CelType[] = FILTER): string {
  const read = checkCel(text, types)
  return read.ok ? `accepted: ${JSON.stringify(read.value)}` : read.problem
}

test("the filters of Istio's documentation are accepted", () => {
  for (const text of [
    'response.code >= 400',
    'response.code >= 400 && response.code < 600',
    "connection.mtls && request.url_path.contains('v1beta3')",
    "!has(request.useragent) || !(request.useragent.startsWith('Amazon-Route53-Health-Check-Service'))",
    "request.headers['x-debug'] == 'on' || 'x-trace' in request.headers",
    "request.method in ['GET', \"HEAD\"] && !request.path.endsWith('.css')",
    "request.duration > duration('250ms') || response.size > 1000000",
    'response.flags != 0 // whatever went wrong',
    "(response.code == 503 ? request.host : 'x') == 'cart.shop'",
  ]) {
    assert.equal(checkCel(text, FILTER).ok, true, `${text}: ${problem(text)}`)
  }
})

test('what is not evaluated is refused, with where and what is possible', () => {
  const cases: readonly (readonly [string, RegExp])[] = [
    ['', /at character 1: the expression is empty/],
    ['response.code', /gives a whole number: expected true or false/],
    [
      "response.code == '200'",
      /at character 18: == compares values of one type; these are a whole number and text/,
    ],
    ['response.code + 1 > 2', /at character 1: "\+" joins texts/],
    ['response.code * 2 > 2', /at character 1: arithmetic \("\*"\) is not available/],
    ['response.code > 1.5', /at character 17: write whole numbers/],
    ['response.code == 200u', /at character 18: write whole numbers/],
    ["request.pth == 'x'", /at character 1: request.pth is no attribute: did you mean request.path\?/],
    ["metadata.x['y'] == 'z'", /metadata is refused: Mayfly's sidecars keep no metadata/],
    ["xds.cluster_name == 'x'", /xds is refused/],
    ["request.time == 'x'", /request.time is refused: points in time cannot be compared/],
    [
      "string(request.size).matches('1')",
      /at character 22: matches\(...\) takes no text that is only known at the end/,
    ],
    ["'a'.matches(request.path)", /at character 13: matches\(...\) takes a written text/],
    ['size(request.path) > 3', /the function size\(...\) is not available: there are startsWith/],
    ['request.path.contains(request.method)', /at character 23: contains\(...\) takes a written text/],
    ["has(request.headers['x'])", /at character 5: has\(...\) asks for a member/],
    ["request.headers[request.method] == 'x'", /at character 17: write the field's name as text/],
    ["request.headers == 'x'", /write request.headers\['x-name'\]/],
    ["request.headers['a b'] == 'x'", /"a b" is not the name of a header/],
    ['[1, 2].all(x, x > 1)', /the function all\(...\) is not available/],
    ['response.code in [200, request.size]', /at character 24: a list holds written values only/],
    ["response.code in [200, 'x']", /at character 24: the list holds text/],
    ['request.path == null', /null is not available/],
    ["request.path == b'x'", /at character 17: bytes are not available/],
    ['response.code == 9007199254740993', /is too large/],
    ["request.path == 'x", /at character 17: the text has no end/],
    [
      'response.code == 200 response.size',
      /at character 22: expected an operator or the end, got "response"/,
    ],
    [`${'('.repeat(60)}true${')'.repeat(60)}`, /is nested deeper than 48 levels/],
    [`${'!'.repeat(60)}true`, /is nested deeper than 48 levels/],
    [
      `response.code in [${Array.from({ length: 200 }, (_, i) => i).join(',')}]`,
      /has \d+ steps, at most 256/,
    ],
    ["request.duration > duration('soon')", /at character 29: write a duration as text/],
    ["request.path == 'a\\qb'", /at character 19: this is no escape/],
    ['a'.repeat(5_000), /is longer than 4096 characters/],
    ['request.path.constructor == 1', /is no attribute/],
    ["request.path['x'].contains('y')", /is no attribute/],
    ['__proto__ == 1', /is no attribute/],
  ]
  for (const [text, expected] of cases) assert.match(problem(text), expected, text)
})

test('texts are read with the escapes of CEL', () => {
  const read = (text: string) => {
    const cel = checkCel(text, ['text'])
    assert.ok(cel.ok, problem(text))
    return cel.value.op === 'literal' ? cel.value.value : null
  }
  assert.equal(read("'a\\n\\x41\\u00e4\\101\\''"), "a\nAäA'")
  assert.equal(read('r"a\\n"'), 'a\\n')
  assert.equal(read('"""a"b"""'), 'a"b')
  assert.equal(read("string(1) == '1' ? 'x' : 'y'"), null)
})

test('pseudo-header fields and host are the attributes that they stand for', () => {
  for (const text of ["request.headers[':path']", 'request.headers.host', "request.headers['Host']"]) {
    const read = checkCel(text, ['text'])
    assert.ok(read.ok)
    assert.equal(read.value.op, 'attribute', text)
  }
})
