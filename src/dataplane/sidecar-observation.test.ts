import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { CEL_ATTRIBUTES } from '../api/cel-attribute.ts'
import type { Telemetry } from '../api/telemetry.ts'
import { type CelValue, evaluateCel } from '../policy/evaluate-cel.ts'
import { observationOf } from '../policy/observation.ts'
import { DIRECTION_INBOUND, DIRECTION_OUTBOUND } from '../sidecar/layout/record.ts'
import { ExchangeScope } from './exchange-scope.ts'
import { cel, changes, config, FIGURES, HEAD, KNOWN, observed, RESPONSE } from './observation-testing.ts'
import { cart, decide, NOW, policyOf, respond, sidecars, telemetry } from './telemetry-testing.ts'

test('every attribute has its value, in whichever phase it is known', () => {
  for (const name of Object.keys(CEL_ATTRIBUTES)) {
    if (name === 'request.id') continue
    const wanted = name === 'request.referer' ? null : name === 'request.useragent' ? 'curl/8' : KNOWN[name]!
    assert.deepEqual(observed([cel(name)]), [wanted], name)
  }
  assert.match(String(observed([cel('request.id')])[0]), /^[0-9a-f-]{36}$/)
})

test('fields of both heads, joined where they are repeated; an absent one is an error', () => {
  const texts = [
    "request.headers['X-A']",
    'request.headers.missing',
    "response.headers['x-b']",
    "'x-b' in response.headers",
  ]
  assert.deepEqual(observed(texts.map((text) => cel(text))), ['one,two', null, 'three,four', true])
  assert.deepEqual(
    observed(
      ["'x-empty' in request.headers", 'has(request.referer)', "request.headers['x-empty'] == ''"].map(
        (text) => cel(text),
      ),
    ),
    [true, false, true],
  )
})

test("CEL's logic: an error is absorbed where the other side decides", () => {
  const cases: readonly (readonly [string, CelValue])[] = [
    ["request.headers.no == 'x' || response.code == 503", true],
    ["response.code == 503 || request.headers.no == 'x'", true],
    ["request.headers.no == 'x' || response.code == 200", null],
    ["request.headers.no == 'x' && response.code == 200", false],
    ["response.code == 200 && request.headers.no == 'x'", false],
    ["!(request.headers.no == 'x')", null],
    ["request.headers.no == 'x' ? 'a' : 'b'", null],
    ["true ? 'a' : request.headers.no", 'a'],
    ["request.headers['x-a'] + '/' + string(response.code) + string(connection.mtls)", 'one,two/503true'],
    ['response.code in [500, 503]', true],
    ["request.method in ['POST']", false],
    [
      "request.path.startsWith('/carts') && request.path.endsWith('%41') && request.url_path.contains('s/a')",
      true,
    ],
    ["request.headers['x-text'].contains('aab')", true],
    ["request.headers['x-text'].contains('abb')", false],
    ["request.duration > duration('250ms') && request.duration < duration('0.251s')", true],
    ['response.flags != 0 && request.size > response.size', true],
    ["request.headers['x-a'] < 'onf' && 'on' < request.headers['x-a']", true],
    ['-1 < response.code', true],
    ["request.path.startsWith('')", true],
    ["request.path.contains('')", true],
    ["request.url_path.matches('^/carts/[^/]+$')", true],
    ["request.url_path.matches('arts')", true],
    ["request.url_path.matches('^arts')", false],
    ["request.headers['x-text'].matches('^a{3}b$') && response.headers['x-b'].matches('(?i)THREE|x')", true],
    ["request.headers.no.matches('x')", null],
    ["request.useragent.matches(r'\\bcurl\\b.*[0-9]')", true],
  ]
  for (const [text, wanted] of cases) assert.deepEqual(observed([cel(text)]), [wanted], text)
})

describe('an access log with a filter', () => {
  const filtered = (text: string, more: object = {}) =>
    telemetry('shop', 't', {
      accessLogging: [
        { filter: { expression: cel(text, ['truth']) }, ...more },
      ] as Telemetry['spec']['accessLogging'],
    })
  const logs = (one: Telemetry, direction = DIRECTION_INBOUND, head = RESPONSE) => {
    const policy = policyOf(changes, [one])
    const decision = decide(policy, HEAD, { direction, target: 'shop/cart' })
    const context =
      decision.kind === 'forward'
        ? decision.context
        : decision.kind === 'denied'
          ? decision.denial.context
          : null
    const response = respond(policy, context!, { head })
    return response.kind === 'head' && response.log !== null
  }

  test('writes what the filter lets through', () => {
    assert.equal(logs(filtered('response.code >= 400')), true)
    assert.equal(logs(filtered('response.code < 400')), false)
    assert.equal(logs(filtered("request.headers.no == 'x'")), false, 'an error is no yes')
    assert.equal(logs(filtered("request.url_path.startsWith('/health')")), false)
  })

  test('leaves to the engine what only that can tell', () => {
    const one = filtered("response.code >= 400 && request.duration > duration('1s')")
    assert.equal(logs(one), true)
    const plan = observationOf({ config, telemetries: [one] }, cart)
    assert.equal(evaluateCel(plan.server.logFilter!, new ExchangeScope(FIGURES, [true])), false)
    assert.equal(
      evaluateCel(plan.server.logFilter!, new ExchangeScope({ ...FIGURES, durationMs: 1001 }, [true])),
      true,
    )
    assert.equal(
      evaluateCel(plan.server.logFilter!, new ExchangeScope({ ...FIGURES, durationMs: 1001 }, null)),
      null,
    )
  })

  test('is for the mode that is asked for', () => {
    const client = filtered('response.code < 400', { match: { mode: 'CLIENT' } })
    assert.equal(logs(client, DIRECTION_INBOUND), true)
    assert.equal(logs(client, DIRECTION_OUTBOUND), false)
  })
})

test('bytes that are no UTF-8 hide nothing from an expression', () => {
  const one = telemetry('shop', 't', {
    accessLogging: [
      {
        filter: {
          expression: cel(
            "request.headers['x-raw'].matches('bad') && request.headers['x-raw'].contains('bad')",
          ),
        },
      },
    ] as Telemetry['spec']['accessLogging'],
  })
  const policy = policyOf(changes, [one])
  const decision = decide(policy, 'GET / HTTP/1.1\r\nHost: a\r\nx-raw: \xff\xc3bad\xfe\r\n\r\n')
  assert.ok(decision.kind === 'forward')
  const response = respond(policy, decision.context)
  assert.ok(response.kind === 'head' && response.log !== null)
})

test('an expression that is no regular one, or too dear, does not compile', () => {
  const refused = (pattern: string) => {
    const filter = { expression: cel(`request.path.matches(r'${pattern}')`) }
    const one = telemetry('shop', 't', { accessLogging: [{ filter }] as Telemetry['spec']['accessLogging'] })
    assert.throws(() => policyOf(changes, [one]), /is no regular expression of RE2 that can be run/, pattern)
  }
  for (const pattern of ['(', 'a)(b', '(a)\\1', 'x{1001}', '(?:a.{30}b){3}']) refused(pattern)
})

test("the mesh's own replies are filtered too", () => {
  const one = telemetry('shop', 't', {
    accessLogging: [
      {
        filter: {
          expression: cel(
            "response.code == 503 && response.headers['retry-after'] == '3' && response.code_details == 'no_healthy_upstream'",
          ),
        },
      },
    ] as Telemetry['spec']['accessLogging'],
  })
  const policy = policyOf(changes, [one])
  const decision = decide(policy, HEAD)
  assert.ok(decision.kind === 'forward')
  const reply = (status: number) =>
    sidecars.reply(policy, decision.context, status, 'x', 'retry-after: 3\r\n', NOW, 1)
  const [yes, no] = [reply(503), reply(504)]
  assert.ok(yes.kind === 'head' && yes.log !== null)
  assert.ok(no.kind === 'head' && no.log === null)
})
