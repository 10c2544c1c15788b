import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { type Cel, checkCel } from '../api/cel.ts'
import { CEL_ATTRIBUTES, type CelType } from '../api/cel-attribute.ts'
import { defaultMeshConfig } from '../api/mesh-config.ts'
import type { Telemetry } from '../api/telemetry.ts'
import { type CelScope, type CelValue, evaluateCel } from '../policy/evaluate-cel.ts'
import { observationOf } from '../policy/observation.ts'
import { DIRECTION_INBOUND, DIRECTION_OUTBOUND, RESPONSE_FLAG_UC } from '../sidecar/layout/record.ts'
import { ExchangeScope } from './exchange-scope.ts'
import type { ExchangeFigures } from './log-line.ts'
import { cart, decide, NOW, policyOf, respond, sidecars, telemetry } from './telemetry-testing.ts'

const HEAD =
  'GET /carts/a%20b?x=1&y=%41 HTTP/1.1\r\nHost: Cart.Shop:8080\r\nX-A: one\r\nx-a: two\r\nX-Empty:\r\n' +
  'User-Agent: curl/8\r\nx-text: aaab\r\n\r\n'
const RESPONSE = 'HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\nx-b: three\r\nx-b: four\r\n\r\n'
const FIGURES: ExchangeFigures = {
  bytesReceived: 7,
  bytesSent: 2,
  durationMs: 250.5,
  responseMs: 3,
  requestMs: 1,
  responseFlags: RESPONSE_FLAG_UC,
}

/** What the expressions below are to see of that exchange, by what a user reads in docs/compatibility.md. */
const KNOWN: Readonly<Record<string, CelValue>> = {
  'request.path': '/carts/a%20b?x=1&y=%41',
  'request.url_path': '/carts/a%20b',
  'request.query': 'x=1&y=%41',
  'request.host': 'Cart.Shop:8080',
  'request.scheme': 'http',
  'request.method': 'GET',
  'request.protocol': 'HTTP/1.1',
  'request.size': 7,
  'request.duration': 250_500_000,
  'response.code': 503,
  'response.code_details': 'via_upstream',
  'response.flags': 0x40,
  'response.size': 2,
  'source.address': '203.0.113.9:50123',
  'source.port': 50123,
  'destination.address': '10.0.0.1:8080',
  'destination.port': 8080,
  'connection.mtls': true,
  'connection.uri_san_peer_certificate': 'spiffe://cluster.local/ns/shop/sa/frontend',
  'connection.uri_san_local_certificate': `spiffe://${cart.principal}`,
  'upstream.address': '127.0.0.1:9001',
  'upstream.port': 9001,
}
const FIELDS: Readonly<Record<string, string>> = {
  'request x-a': 'one,two',
  'request x-empty': '',
  'request x-text': 'aaab',
  'request user-agent': 'curl/8',
  'response x-b': 'three,four',
  'response content-length': '2',
}
const WORLD: CelScope = {
  attribute: (name) => KNOWN[name] ?? null,
  field: (head, name) => FIELDS[`${head} ${name}`] ?? null,
  value: () => null,
}

const changes = { accessLogFile: '/dev/null' }
const config = { ...defaultMeshConfig, ...changes }

function tagsOf(tags: Record<string, Cel>): Telemetry {
  const tagOverrides = Object.fromEntries(
    Object.entries(tags).map(([name, value]) => [name, { operation: 'UPSERT' as const, value }]),
  )
  return telemetry('shop', 't', {
    metrics: [{ overrides: [{ tagOverrides }] }] as Telemetry['spec']['metrics'],
  })
}

/** What sidecar and engine make of expressions together. */
function observed(cels: readonly Cel[]): CelValue[] {
  const telemetries = [tagsOf(Object.fromEntries(cels.map((cel, i) => [`t${i}`, cel])))]
  const policy = policyOf(changes, telemetries)
  const peer = 'cluster.local/ns/shop/sa/frontend'
  const decision = decide(policy, HEAD, { direction: DIRECTION_INBOUND, peer })
  assert.ok(decision.kind === 'forward', JSON.stringify(decision))
  const response = respond(policy, decision.context, { head: RESPONSE })
  assert.ok(response.kind === 'head', JSON.stringify(response))
  const plan = observationOf({ config, telemetries }, cart).server
  assert.equal(response.values?.length ?? 0, plan.values)
  const scope = new ExchangeScope(FIGURES, response.values)
  return plan.metrics[0]!.tags.map(([, cel]) => evaluateCel(cel!, scope))
}

function cel(text: string, types: readonly CelType[] = ['truth', 'text', 'integer', 'duration']): Cel {
  const read = checkCel(text, types)
  assert.ok(read.ok, read.ok ? '' : `${text}: ${read.problem}`)
  return read.value
}

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

const leaf = (type: CelType): fc.Arbitrary<Cel> => {
  const attributes = Object.keys(KNOWN).filter((name) => CEL_ATTRIBUTES[name]!.type === type)
  const attribute = fc.constantFrom(...attributes).map((name): Cel => ({ op: 'attribute', type, name }))
  const literals: Record<CelType, fc.Arbitrary<string | number | boolean>> = {
    truth: fc.boolean(),
    integer: fc.constantFrom(0, -1, 2, 7, 503, 9001, Number.MAX_SAFE_INTEGER, -Number.MAX_SAFE_INTEGER),
    duration: fc.constantFrom(0, 250_500_000, 10 ** 12),
    text: fc.constantFrom('', 'a', 'one', 'GET', '/carts', 'aab', 'ä€', '503', 'true', 'two'),
  }
  const literal = literals[type].map((value): Cel => ({ op: 'literal', type, value }))
  if (type !== 'text') return fc.oneof(attribute, literal)
  const field = fc
    .constantFrom(...Object.keys(FIELDS), 'request missing', 'response missing')
    .map((both): Cel => {
      const [head, name] = both.split(' ') as ['request' | 'response', string]
      return { op: 'field', type: 'text', head, name }
    })
  return fc.oneof(attribute, literal, field)
}

const { truth, text } = fc.letrec<{ truth: Cel; text: Cel }>((tie) => ({
  truth: fc.oneof(
    { maxDepth: 5, depthIdentifier: 'cel' },
    leaf('truth'),
    fc.tuple(tie('truth')).map((args): Cel => ({ op: 'not', type: 'truth', args })),
    fc.tuple(tie('text')).map((args): Cel => ({ op: 'has', type: 'truth', args })),
    fc
      .tuple(fc.constantFrom('and' as const, 'or' as const), tie('truth'), tie('truth'))
      .map(([op, a, b]): Cel => ({ op, type: 'truth', args: [a, b] })),
    fc
      .tuple(fc.constantFrom('equal' as const, 'less' as const), tie('text'), tie('text'))
      .map(([op, a, b]): Cel => ({ op, type: 'truth', args: [a, b] })),
    fc
      .tuple(fc.constantFrom('equal' as const, 'less' as const), leaf('integer'), leaf('integer'))
      .map(([op, a, b]): Cel => ({ op, type: 'truth', args: [a, b] })),
    fc
      .tuple(
        fc.constantFrom('starts' as const, 'ends' as const, 'contains' as const),
        tie('text'),
        fc.constantFrom('', 'a', 'aab', 'GET', 'ä', 'ne,t'),
      )
      .map(
        ([op, a, value]): Cel => ({ op, type: 'truth', args: [a, { op: 'literal', type: 'text', value }] }),
      ),
    fc
      .tuple(tie('truth'), tie('truth'), tie('truth'))
      .map((args): Cel => ({ op: 'choice', type: 'truth', args })),
  ),
  text: fc.oneof(
    { maxDepth: 4, depthIdentifier: 'cel' },
    leaf('text'),
    fc
      .tuple(fc.oneof(leaf('integer'), leaf('truth')))
      .map((args): Cel => ({ op: 'text', type: 'text', args })),
    fc.tuple(tie('text'), tie('text')).map((args): Cel => ({ op: 'join', type: 'text', args })),
    fc
      .tuple(tie('truth'), tie('text'), tie('text'))
      .map((args): Cel => ({ op: 'choice', type: 'text', args })),
  ),
}))

/** The reference works on the same bytes: written texts are UTF-8. */
function asBytes(one: Cel): Cel {
  if (one.op === 'literal' && typeof one.value === 'string') {
    return { ...one, value: Buffer.from(one.value, 'utf8').toString('latin1') }
  }
  return 'args' in one ? ({ ...one, args: one.args.map(asBytes) } as unknown as Cel) : one
}

test('sidecar and engine together give what a plain evaluator gives', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(truth, text), { minLength: 1, maxLength: 4 }), (cels) => {
      assert.deepEqual(
        observed(cels),
        cels.map((one) => evaluateCel(asBytes(one), WORLD)),
      )
    }),
    { numRuns: 1500 },
  )
})
