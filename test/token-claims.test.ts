// What a valid token says, as AuthorizationPolicy judges it.

import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import type { Sidecars } from '../src/dataplane/sidecar.ts'
import { CLAIMS, HEADER, ISSUER, JWKS, jws, NOW } from './make-token.ts'
import { realSidecars } from './sidecar-phases.ts'
import { authentication, meshConfig, TokenJudge, type WrittenRule } from './token-judge.ts'

let sidecars: Sidecars
before(async () => {
  sidecars = await realSidecars()
})

function allowed(rule: object, claims: object | null, jwtRule: WrittenRule = {}): boolean {
  const policy = JSON.stringify({
    apiVersion: 'security.istio.io/v1',
    kind: 'AuthorizationPolicy',
    metadata: { name: 'allow', namespace: 'test' },
    spec: { rules: [rule] },
  })
  const documents = [meshConfig(), authentication([{ issuer: ISSUER, jwks: JWKS, ...jwtRule }]), policy]
  const headers =
    claims === null
      ? []
      : [
          [
            'authorization',
            `Bearer ${jws(JSON.stringify(HEADER), JSON.stringify({ ...CLAIMS, ...claims }))}`,
          ] as const,
        ]
  const { status } = new TokenJudge(sidecars, documents).judge({ now: NOW, headers })
  assert.ok(status === 200 || status === 403, String(status))
  return status === 200
}

const from = (requestPrincipals: string[]) => ({ from: [{ source: { requestPrincipals } }] })
const fromNot = (notRequestPrincipals: string[]) => ({ from: [{ source: { notRequestPrincipals } }] })
const when = (key: string, values: string[]) => ({ when: [{ key, values }] })
const whenNot = (key: string, notValues: string[]) => ({ when: [{ key, notValues }] })

const claim = (path: string) => `request.auth.claims${path}`
const NESTED = { realm: { roles: ['a', 'b', 3], 'x.y': 'dots', deep: { er: 'z' } } }

const CASES: readonly (readonly [name: string, rule: object, claims: object | null, expected: boolean])[] = [
  ['anybody with a token', from(['*']), {}, true],
  ['anybody with a token, without one', from(['*']), null, false],
  ['anybody with a token, one without subject', from(['*']), { sub: undefined }, false],
  ['one principal', from([`${ISSUER}/somebody`]), {}, true],
  ['another principal', from([`${ISSUER}/other`]), {}, false],
  ['all of an issuer', from([`${ISSUER}/*`]), {}, true],
  ['all of another issuer', from(['https://other.example/*']), {}, false],
  ['a subject of any issuer', from(['*/somebody']), {}, true],
  ['a subject with a slash', from([`${ISSUER}/a/b`]), { sub: 'a/b' }, false],
  ['without token', fromNot(['*']), null, true],
  ['without token, with one', fromNot(['*']), {}, false],
  ['the principal as a condition', when('request.auth.principal', [`${ISSUER}/somebody`]), {}, true],
  ['an audience', when('request.auth.audiences', ['api']), {}, true],
  ['one of its audiences', when('request.auth.audiences', ['b']), { aud: ['a', 'b'] }, true],
  ['another audience', when('request.auth.audiences', ['c']), { aud: ['a', 'b'] }, false],
  ['the presenter', when('request.auth.presenter', ['client-1']), { azp: 'client-1' }, true],
  ['another presenter', when('request.auth.presenter', ['client-1']), { azp: 'client-2' }, false],
  ['a text', when(claim('[group]'), ['dev']), { group: 'dev' }, true],
  ['a text, by its beginning', when(claim('[email]'), ['*@a.example']), { email: 'x@a.example' }, true],
  ['a text that is there', when(claim('[group]'), ['*']), { group: 'dev' }, true],
  ['an empty text is not there', when(claim('[group]'), ['*']), { group: '' }, false],
  ['a claim that is missing', when(claim('[group]'), ['dev']), {}, false],
  ['a claim that must not be', whenNot(claim('[group]'), ['dev']), {}, true],
  ['a claim that must not be so', whenNot(claim('[group]'), ['dev']), { group: ['ops', 'dev'] }, false],
  ['one of a list', when(claim('[groups]'), ['ops']), { groups: ['dev', 'ops'] }, true],
  ['none of a list', when(claim('[groups]'), ['dba']), { groups: ['dev', 'ops'] }, false],
  ['an empty list', when(claim('[groups]'), ['*']), { groups: [] }, false],
  [
    'a list with other things in it',
    when(claim('[groups]'), ['ops']),
    { groups: [1, null, ['ops'], { ops: 1 }, 'ops'] },
    true,
  ],
  ['a list in a list', when(claim('[groups]'), ['ops']), { groups: [['ops']] }, false],
  ['a nested claim', when(claim('[realm][roles]'), ['b']), NESTED, true],
  ['a nested claim that is not there', when(claim('[realm][role]'), ['b']), NESTED, false],
  ['a name with a dot', when(claim('[realm][x.y]'), ['dots']), NESTED, true],
  ['a claim in a claim in a claim', when(claim('[realm][deep][er]'), ['z']), NESTED, true],
  ['inside of a text', when(claim('[sub][x]'), ['*']), {}, false],
  ['inside of a list', when(claim('[realm][roles][0]'), ['a']), NESTED, false],
  ['an object', when(claim('[realm]'), ['*']), NESTED, false],
  ['a number', when(claim('[n]'), ['1', '*']), { n: 1 }, false],
  ['a boolean', when(claim('[admin]'), ['true', '*']), { admin: true }, false],
  ['null', when(claim('[admin]'), ['null', '*']), { admin: null }, false],
  ['one of the scopes', when(claim('[scope]'), ['write']), { scope: 'read  write ' }, true],
  ['the scopes as a whole', when(claim('[scope]'), ['read write']), { scope: 'read write' }, false],
  ['one scope', when(claim('[scope]'), ['read']), { scope: 'read' }, true],
  ['no scope', when(claim('[scope]'), ['*']), { scope: '  ' }, false],
  ['the scopes as a list', when(claim('[scope]'), ['write']), { scope: ['read', 'write'] }, true],
  ['a permission', when(claim('[permission]'), ['w']), { permission: 'r w' }, true],
  ['another claim with spaces is one text', when(claim('[groups]'), ['dev']), { groups: 'dev ops' }, false],
  ['the same as a whole', when(claim('[groups]'), ['dev ops']), { groups: 'dev ops' }, true],
  ['a nested scope is one text', when(claim('[a][scope]'), ['read']), { a: { scope: 'read write' } }, false],
]

for (const [name, rule, claims, expected] of CASES) {
  test(`claims: ${name}: ${expected ? 'allowed' : 'denied'}`, () => {
    assert.equal(allowed(rule, claims), expected)
  })
}

test('a rule may name further claims that are lists with spaces between', () => {
  const rule = when(claim('[groups]'), ['ops'])
  assert.equal(allowed(rule, { groups: 'dev ops' }, { spaceDelimitedClaims: ['groups'] }), true)
  assert.equal(
    allowed(when(claim('[scope]'), ['b']), { scope: 'a b' }, { spaceDelimitedClaims: ['groups'] }),
    true,
  )
})

test('a rule without issuer takes the tokens of any, and requests have the principals that these say', async () => {
  const uri = 'https://keys.example/jwks'
  const documents = [
    meshConfig({ jwksHosts: ['keys.example'], defaultAuthorization: 'deny' }),
    authentication([{ jwksUri: uri }]),
    JSON.stringify({
      apiVersion: 'security.istio.io/v1',
      kind: 'AuthorizationPolicy',
      metadata: { name: 'allow', namespace: 'test' },
      spec: { rules: [from(['https://a.example/somebody'])] },
    }),
  ]
  const judge = new TokenJudge(sidecars, documents)
  judge.give(uri, JWKS)
  const status = (claims: object) =>
    judge.judge({
      now: NOW,
      headers: [
        ['authorization', `Bearer ${jws(JSON.stringify(HEADER), JSON.stringify({ ...CLAIMS, ...claims }))}`],
      ],
    }).status
  assert.equal(status({ iss: 'https://a.example' }), 200)
  assert.equal(status({ iss: 'https://b.example' }), 403)
  assert.equal(status({ iss: undefined }), 403)
})
