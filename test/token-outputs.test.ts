// What a function gets of a valid token, and what it never gets from a client.

import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import type { Sidecars } from '../src/dataplane/sidecar.ts'
import { DIRECTION_INBOUND } from '../src/sidecar/layout/record.ts'
import { CLAIMS, HEADER, ISSUER, JWKS, jws, NOW } from './make-token.ts'
import { realSidecars } from './sidecar-phases.ts'
import { authentication, meshConfig, TokenJudge, type TokenRequest, type WrittenRule } from './token-judge.ts'

let sidecars: Sidecars
before(async () => {
  sidecars = await realSidecars()
})

const good = token({})

function token(claims: object): string {
  return jws(JSON.stringify(HEADER), Buffer.from(JSON.stringify({ ...CLAIMS, ...claims })).toString('latin1'))
}

/** Judges by one rule for ISSUER. */
function judge(rule: WrittenRule, request: TokenRequest) {
  const documents = [meshConfig(), authentication([{ issuer: ISSUER, jwks: JWKS, ...rule }])]
  return new TokenJudge(sidecars, documents).judge({ now: NOW, ...request })
}

const bearer = ['authorization', `Bearer ${good}`] as const

test('the token does not reach the function, unless the rule says so', () => {
  const headers = [['accept', '*/*'], bearer, ['authorization', 'Basic YQ==']] as const
  const without = judge({}, { headers }).head
  assert.doesNotMatch(without, /authorization/i)
  assert.match(without, /^accept: /m)
  assert.match(
    judge({ forwardOriginalToken: true }, { headers }).head,
    new RegExp(`^authorization: Bearer ${good}\r$`, 'm'),
  )
})

test('a parameter with the token is taken out of the query, and the others stay as they are', () => {
  const line = (path: string) => judge({}, { path }).head.split('\r\n')[0]
  assert.equal(line(`/p?a=%41&access_token=${good}&b&=c`), 'GET /p?a=%41&b&=c HTTP/1.1')
  assert.equal(line(`/p?access_token=${good}`), 'GET /p HTTP/1.1')
  assert.equal(line(`/p?a%63cess_token=${good}&x`), 'GET /p?x HTTP/1.1')
})

test('a cookie with the token is taken out of its field, and the others stay', () => {
  const cookies = (...values: string[]) =>
    [
      ...judge(
        { fromCookies: ['s'] },
        { headers: values.map((one) => ['cookie', one] as const) },
      ).head.matchAll(/^cookie: (.*)\r$/gm),
    ].map(([, value]) => value)
  assert.deepEqual(cookies(`a=b; s=${good};c=d`), ['a=b; c=d'])
  assert.deepEqual(cookies(`s=${good}`), [])
  assert.deepEqual(cookies('a=b', `s=${good}; c="d;"`), ['a=b', 'c="d; "'])
})

test('the payload and claims are output, each by its own kind', () => {
  const claims = {
    sub: 'somebody',
    n: 12,
    neg: -3,
    frac: 1.5,
    big: 1e21,
    yes: true,
    no: false,
    nil: null,
    list: ['a'],
    nested: { deep: { x: 'ü' } },
    lines: 'a\r\nx-evil: 1',
    empty: '',
  }
  const outputClaimToHeaders = [...Object.keys(claims), 'nested.deep.x', 'nested.deep.y', 'sub.x'].map(
    (claim) => ({
      header: `x-c-${claim.replaceAll('.', '-')}`,
      claim,
    }),
  )
  const one = token(claims)
  const { head } = judge(
    { outputPayloadToHeader: 'X-Payload', outputClaimToHeaders },
    { headers: [['authorization', `Bearer ${one}`]] },
  )
  const found = Object.fromEntries(
    [
      ...Buffer.from(head, 'latin1')
        .toString('utf8')
        .matchAll(/^x-(payload|c-\S+): (.*)\r$/gm),
    ].map(([, name, value]) => [name, value]),
  )
  assert.deepEqual(found, {
    payload: one.split('.')[1],
    'c-sub': 'somebody',
    'c-n': '12',
    'c-neg': '-3',
    'c-yes': 'true',
    'c-no': 'false',
    'c-nested-deep-x': 'ü',
  })
  assert.doesNotMatch(head, /x-evil/)
})

test('output fields that a client sends never reach the function, with a token, without one, and in a preflight request', () => {
  const rule = {
    outputPayloadToHeader: 'x-payload',
    outputClaimToHeaders: [{ header: 'X-User', claim: 'nothing' }],
  }
  const forged = [
    ['X-User', 'admin'],
    ['x_user', 'admin'],
    ['X-PAYLOAD', 'e30'],
    ['x-payload', 'e30'],
    ['x-users', 'kept'],
  ] as const
  const preflight = [
    ['origin', 'https://a.example'],
    ['access-control-request-method', 'PUT'],
  ] as const
  const requests: TokenRequest[] = [
    { headers: forged },
    { headers: [...forged, bearer] },
    { method: 'OPTIONS', headers: [...forged, ...preflight] },
    { headers: forged, direction: DIRECTION_INBOUND },
  ]
  for (const request of requests) {
    const { head, status } = judge(rule, request)
    assert.equal(status, 200)
    assert.doesNotMatch(head, /admin|e30/)
    assert.match(head, /^x-users: kept\r$/m)
  }
})
