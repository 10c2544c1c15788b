// The tokens that cost a sidecar most: none may run out of fuel or memory, since that would be a 500 where a verdict is due.

import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import type { Sidecars } from '../src/dataplane/sidecar.ts'
import { CLAIMS, HEADER, ISSUER, JWKS, jws, NOW } from './make-token.ts'
import { realSidecars } from './sidecar-phases.ts'
import { authentication, meshConfig, TokenJudge } from './token-judge.ts'

let sidecars: Sidecars
before(async () => {
  sidecars = await realSidecars()
  sidecars.maxHeadBytes = 32_768
})

const members = (count: number) => `{${Array.from({ length: count }, (_, i) => `"${i}":0`).join()}}`
const more = (text: string) => `${JSON.stringify(CLAIMS).slice(0, -1)},${text}}`
/** Behind a header and a signature so many bytes of payload fit in a token of 16,384. */
const MOST_PAYLOAD = 11_900
const filled = (before: string, unit: string, after: string) => {
  const room = MOST_PAYLOAD - more(before + after).length
  return more(before + unit.repeat(Math.floor(room / Buffer.byteLength(unit, 'latin1'))) + after)
}

const PAYLOADS: readonly (readonly [name: string, payload: string, status: number])[] = [
  ['one long text', filled('"a":"', 'a', '"'), 200],
  ['escapes only', filled('"a":"', '\\u00e9', '"'), 200],
  ['surrogate pairs', filled('"a":"', '\\ud83d\\ude00', '"'), 200],
  ['characters of four bytes', filled('"a":"', '\xf0\x9f\x98\x80', '"'), 200],
  ['white space', filled('"a":', ' ', '0'), 200],
  ['digits', filled('"a":', '1', ''), 200],
  ['a time of digits', filled('"nbf":0.', '1', ''), 200],
  ['a time with an exponent', more('"nbf":1e-99999'), 200],
  ['as many members as may be, in three objects', more(`"a":[${[256, 256, 256].map(members).join()}]`), 200],
  ['one member more', more(`"a":[${[256, 257, 256].map(members).join()}]`), 401],
  ['as many values as may be', more(`"a":[${Array(1010).fill('0').join()}]`), 200],
  [
    'as many audiences as may be',
    JSON.stringify({ ...CLAIMS, aud: [...Array(127).fill('other'), 'api'] }),
    200,
  ],
  ['one audience more', JSON.stringify({ ...CLAIMS, aud: [...Array(128).fill('other'), 'api'] }), 401],
  ['commas in a text', filled('"a":"', ',', '"'), 401],
  [
    'names that begin alike',
    more(`"a":{${Array.from({ length: 70 }, (_, i) => `"${'n'.repeat(120)}${i}":0`).join()}}`),
    200,
  ],
]

for (const [name, payload, status] of PAYLOADS) {
  test(`${name}: ${status}`, () => {
    const rules = Array.from({ length: 64 }, (_, i) => ({
      issuer: ISSUER,
      jwks: JWKS,
      audiences: [i === 63 ? 'api' : `a${i}`],
    }))
    const judge = new TokenJudge(sidecars, [meshConfig(), authentication(rules)])
    const token = jws(JSON.stringify(HEADER), payload)
    const verdict = judge.judge({ now: NOW, headers: [['authorization', `Bearer ${token}`]] })
    assert.equal(verdict.status, status, verdict.text)
  })
}

test('conditions on a claim with a thousand values are judged', () => {
  const groups = Array.from({ length: 1000 }, (_, i) => `g${i}`)
  const rules = Array.from({ length: 20 }, (_, i) => ({
    when: [
      { key: 'request.auth.claims[groups]', values: Array.from({ length: 50 }, (_, j) => `x${i}-${j}`) },
    ],
  }))
  const policy = (last: string) =>
    JSON.stringify({
      apiVersion: 'security.istio.io/v1',
      kind: 'AuthorizationPolicy',
      metadata: { name: 'allow', namespace: 'test' },
      spec: { rules: [...rules, { when: [{ key: 'request.auth.claims[groups]', values: [last] }] }] },
    })
  const token = jws(JSON.stringify(HEADER), JSON.stringify({ ...CLAIMS, groups }))
  for (const [last, status] of [
    ['g999', 200],
    ['g1000', 403],
  ] as const) {
    const judge = new TokenJudge(sidecars, [
      meshConfig(),
      authentication([{ issuer: ISSUER, jwks: JWKS }]),
      policy(last),
    ])
    assert.equal(judge.judge({ now: NOW, headers: [['authorization', `Bearer ${token}`]] }).status, status)
  }
})
