// Where tokens are read, and what the function gets of them.

import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import type { Sidecars } from '../src/dataplane/sidecar.ts'
import { CLAIMS, HEADER, ISSUER, JWKS, jws, NOW } from './make-token.ts'
import { realSidecars } from './sidecar-phases.ts'
import { authentication, meshConfig, TokenJudge, type TokenRequest, type WrittenRule } from './token-judge.ts'

let sidecars: Sidecars
before(async () => {
  sidecars = await realSidecars()
})

const good = token({})
const bad = `${good.slice(0, -20)}AAAAAAAAAAAAAAAAAAAA`

function token(claims: object): string {
  return jws(JSON.stringify(HEADER), Buffer.from(JSON.stringify({ ...CLAIMS, ...claims })).toString('latin1'))
}

/** Judges by one rule for ISSUER. */
function judge(rule: WrittenRule, request: TokenRequest) {
  return judgeBy([{ issuer: ISSUER, jwks: JWKS, ...rule }], request)
}

function judgeBy(rules: readonly WrittenRule[], request: TokenRequest) {
  return new TokenJudge(sidecars, [meshConfig(), authentication(rules)]).judge({ now: NOW, ...request })
}

const bearer = ['authorization', `Bearer ${good}`] as const

/** Whether a token is read there: a good one passes, and a bad one in its place does not. */
const READ: readonly (readonly [
  name: string,
  rule: WrittenRule,
  request: (token: string) => TokenRequest,
])[] = [
  ['Authorization', {}, (one) => ({ headers: [['authorization', `Bearer ${one}`]] })],
  ['Authorization in other letters', {}, (one) => ({ headers: [['AUTHORIZATION', `Bearer ${one}`]] })],
  ['access_token', {}, (one) => ({ path: `/?access_token=${one}` })],
  ['access_token among others', {}, (one) => ({ path: `/a?x=1&access_token=${one}&y` })],
  ['access_token with escapes', {}, (one) => ({ path: `/?acc%65ss_token=${one.replaceAll('.', '%2e')}` })],
  [
    'behind another Authorization',
    {},
    (one) => ({
      headers: [
        ['authorization', 'Basic YQ=='],
        ['authorization', `Bearer ${one}`],
      ],
    }),
  ],
  ['a header', { fromHeaders: [{ name: 'X-Token' }] }, (one) => ({ headers: [['x-token', one]] })],
  [
    'a header with a prefix',
    { fromHeaders: [{ name: 'x-token', prefix: 'JWT=' }] },
    (one) => ({ headers: [['x-token', `JWT=${one}`]] }),
  ],
  [
    'one of two headers',
    { fromHeaders: [{ name: 'a' }, { name: 'b' }] },
    (one) => ({ headers: [['b', one]] }),
  ],
  [
    'a header with two prefixes',
    { fromHeaders: [{ name: 'a' }, { name: 'a', prefix: 'P ' }] },
    (one) => ({ headers: [['a', `P ${one}`]] }),
  ],
  ['a parameter', { fromParams: ['t'] }, (one) => ({ path: `/?t=${one}` })],
  ['a parameter with an odd name', { fromParams: ['a b&'] }, (one) => ({ path: `/?a%20b%26=${one}` })],
  [
    'a cookie',
    { fromCookies: ['session'] },
    (one) => ({ headers: [['cookie', `a=b; session=${one}; c=d`]] }),
  ],
  [
    'a cookie in quotes',
    { fromCookies: ['session'] },
    (one) => ({ headers: [['cookie', `session="${one}"`]] }),
  ],
  [
    'the second Cookie field',
    { fromCookies: ['session'] },
    (one) => ({
      headers: [
        ['cookie', 'a=b'],
        ['cookie', `session=${one}`],
      ],
    }),
  ],
]

for (const [name, rule, request] of READ) {
  test(`a token is read: ${name}`, () => {
    assert.equal(judge(rule, request(good)).status, 200)
    assert.equal(judge(rule, request(bad)).status, 401)
  })
}

const NOT_READ: readonly (readonly [name: string, rule: WrittenRule, request: TokenRequest])[] = [
  ['no token', {}, {}],
  ['another scheme', {}, { headers: [['authorization', 'Basic YTpi']] }],
  ['the scheme in lower case, as Envoy has it', {}, { headers: [['authorization', `bearer ${bad}`]] }],
  ['the scheme alone', {}, { headers: [['authorization', 'Bearer']] }],
  ['another parameter', {}, { path: `/?access_tokens=${bad}&access=${bad}&token=${bad}` }],
  ['the path', {}, { path: `/access_token=${bad}` }],
  [
    'the default places where the rule names others',
    { fromParams: ['t'] },
    { path: `/?access_token=${bad}`, headers: [['authorization', `Bearer ${bad}`]] },
  ],
  [
    'another cookie',
    { fromCookies: ['session'] },
    { headers: [['cookie', `Session=${bad}; xsession=${bad}; session2=${bad}`]] },
  ],
  [
    'a preflight request, as in Istio',
    {},
    {
      method: 'OPTIONS',
      headers: [
        ['authorization', `Bearer ${bad}`],
        ['origin', 'https://a.example'],
        ['access-control-request-method', 'PUT'],
      ],
    },
  ],
]

for (const [name, rule, request] of NOT_READ) {
  test(`nothing is read as a token: ${name}`, () => {
    assert.equal(judge(rule, request).status, 200)
  })
}

test('an empty text where a token is expected is refused', () => {
  assert.equal(judge({}, { path: '/?access_token' }).status, 401)
  assert.equal(judge({ fromHeaders: [{ name: 'x-token' }] }, { headers: [['x-token', '']] }).status, 401)
  assert.equal(judge({ fromCookies: ['s'] }, { headers: [['cookie', 's=']] }).status, 401)
})

test('OPTIONS without what makes it a preflight request is judged', () => {
  const headers = [
    ['authorization', `Bearer ${bad}`],
    ['origin', 'https://a.example'],
  ] as const
  assert.equal(judge({}, { method: 'OPTIONS', headers }).status, 401)
})

const SEVERAL: readonly (readonly [name: string, request: TokenRequest])[] = [
  ['in two header fields', { headers: [bearer, bearer] }],
  ['in a header and the query', { path: `/?access_token=${good}`, headers: [bearer] }],
  ['twice in the query', { path: `/?access_token=${good}&access_token=${good}` }],
  ['twice in the query, once with an escaped name', { path: `/?access_token=${good}&access%5ftoken=x` }],
  ['an empty one beside a good one', { path: '/?access_token=', headers: [bearer] }],
]

for (const [name, request] of SEVERAL) {
  test(`refused: two tokens, ${name}`, () => {
    const verdict = judge({}, request)
    assert.deepEqual([verdict.status, verdict.text], [401, 'Jwt is not the only one'])
  })
}

test('refused: two cookies of one name', () => {
  const headers = [['cookie', `session=${good}; session=${good}`]] as const
  assert.equal(judge({ fromCookies: ['session'] }, { headers }).text, 'Jwt is not the only one')
})

test('refused: a prefix that stands behind something else', () => {
  const verdict = judge({}, { headers: [['authorization', `Basic Bearer ${good}`]] })
  assert.deepEqual([verdict.status, verdict.text], [401, 'Jwt does not follow its prefix'])
})

test('of several rules one that takes the token is enough, and its outputs are written', () => {
  const rules = [
    {
      issuer: 'https://other.example',
      jwks: JWKS,
      outputClaimToHeaders: [{ header: 'x-other', claim: 'sub' }],
    },
    {
      issuer: ISSUER,
      jwks: JWKS,
      audiences: ['nobody'],
      outputClaimToHeaders: [{ header: 'x-nobody', claim: 'sub' }],
    },
    {
      issuer: ISSUER,
      jwks: JWKS,
      audiences: ['api'],
      outputClaimToHeaders: [{ header: 'x-right', claim: 'sub' }],
    },
  ]
  const { head, status } = judgeBy(rules, { headers: [bearer] })
  assert.equal(status, 200)
  assert.match(head, /^x-right: somebody\r$/m)
  assert.doesNotMatch(head, /x-other|x-nobody/)
  const other = token({ iss: 'https://other.example' })
  assert.match(
    judgeBy(rules, { headers: [['authorization', `Bearer ${other}`]] }).head,
    /^x-other: somebody\r$/m,
  )
  assert.equal(judgeBy(rules.slice(0, 2), { headers: [bearer] }).status, 403)
  assert.equal(judgeBy(rules.slice(0, 1), { headers: [bearer] }).text, 'Jwt issuer is not configured')
})

test('a rule reads tokens in its own places only', () => {
  const rules = [
    { issuer: ISSUER, jwks: JWKS, fromHeaders: [{ name: 'x-a' }] },
    { issuer: 'https://other.example', jwks: JWKS, fromHeaders: [{ name: 'x-b' }] },
  ]
  assert.equal(judgeBy(rules, { headers: [['x-a', good]] }).status, 200)
  assert.equal(judgeBy(rules, { headers: [['x-b', good]] }).status, 401)
  assert.equal(judgeBy(rules, { headers: [['x-b', token({ iss: 'https://other.example' })]] }).status, 200)
  assert.equal(judgeBy(rules, { headers: [bearer] }).status, 200)
})

test('the realm names what was asked for, without its query and without what could end it', () => {
  const { fields } = judge({}, { path: `/a"b\\c?access_token=${bad}`, headers: [] })
  assert.equal(fields, 'www-authenticate: Bearer realm="http://app.test/a%22b/c", error="invalid_token"\r\n')
})
