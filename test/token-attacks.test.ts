// What attackers do to tokens, each refused by the real guest and the engine's own verification.

import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import {
  CLAIMS,
  ec,
  ec384,
  ecDer,
  ed,
  HEADER,
  hmac,
  ISSUER,
  JWKS,
  jws,
  looseHeaderBits,
  NOW,
  otherLastBits,
  otherRsa,
  pem,
  rsa,
  SECONDS,
  segment,
  signed,
  unsigned,
  withClaims,
  withHeader,
} from './make-token.ts'
import { realSidecars } from './sidecar-phases.ts'
import { authentication, meshConfig, TokenJudge } from './token-judge.ts'

let judge: TokenJudge
before(async () => {
  const rules = [{ issuer: ISSUER, audiences: ['api'], jwks: JWKS }]
  const sidecars = await realSidecars()
  // Room for a token that is larger than any may be.
  sidecars.maxHeadBytes = 65_536
  judge = new TokenJudge(sidecars, [meshConfig(), authentication(rules)])
})

const good = jws(JSON.stringify(HEADER), JSON.stringify(CLAIMS))

test('the token that all of these are made of is valid', () => {
  assert.equal(bearer(good).status, 200)
})

const ATTACKS: readonly (readonly [name: string, token: () => string, text: RegExp, status?: number])[] = [
  ['no algorithm', () => unsigned({ alg: 'none' }), /not in the form/],
  ['no algorithm, written otherwise', () => withHeader({ ...HEADER, alg: 'NonE' }), /alg\] is not supported/],
  ['no algorithm, with a signature', () => withHeader({ ...HEADER, alg: 'none' }), /alg\] is not supported/],
  ['the public key as a shared secret', () => hmac('HS256', pem(rsa.publicKey)), /alg\] is not supported/],
  ['the same with the key set itself', () => hmac('HS512', JWKS), /alg\] is not supported/],
  ['an algorithm that nobody knows', () => withHeader({ ...HEADER, alg: 'RS257' }), /alg\] is not supported/],
  ['an algorithm in lower case', () => withHeader({ ...HEADER, alg: 'rs256' }), /alg\] is not supported/],
  ['ES256K', () => withHeader({ ...HEADER, alg: 'ES256K' }), /alg\] is not supported/],
  ['an algorithm that is no text', () => withHeader({ ...HEADER, alg: 256 }), /alg\] field is required/],
  ['without algorithm', () => withHeader({ kid: 'rsa' }), /alg\] field is required/],
  ['the kid of a key of another kind', () => withHeader({ ...HEADER, kid: 'ec' }), /doesn't have key/],
  ['a kid that nobody has', () => withHeader({ ...HEADER, kid: 'nobody' }), /doesn't have key/],
  ['a kid that is no text', () => withHeader({ ...HEADER, kid: 1 }), /kid\] field must be a string/],
  ['a kid with a NUL behind a good one', () => withHeader({ ...HEADER, kid: 'rsa\0' }), /doesn't have key/],
  ['a kid that leads to a file', () => withHeader({ ...HEADER, kid: '../../dev/null' }), /doesn't have key/],
  [
    'a kid of invalid UTF-8',
    () => jws('{"alg":"RS256","kid":"\xff\xfe"}', JSON.stringify(CLAIMS)),
    /header is an invalid JSON/,
  ],
  [
    'a lone surrogate as kid',
    () => jws('{"alg":"RS256","kid":"\\ud800"}', JSON.stringify(CLAIMS)),
    /header is an invalid JSON/,
  ],
  [
    'a key that is for another algorithm',
    () => signed({ alg: 'RS256', kid: 'only-ps' }, otherRsa.privateKey),
    /doesn't have key/,
  ],
  [
    'RS256 announced as PS256',
    () => jws(JSON.stringify({ ...HEADER, alg: 'PS256' }), JSON.stringify(CLAIMS)),
    /verification fails/,
  ],
  [
    'RS256 announced as RS512',
    () => jws(JSON.stringify({ ...HEADER, alg: 'RS512' }), JSON.stringify(CLAIMS)),
    /verification fails/,
  ],
  [
    'a curve that does not fit the algorithm',
    () => signed({ alg: 'ES256', kid: 'ec384' }, ec384.privateKey),
    /doesn't have key/,
  ],
  ['ES256 in DER', () => ecDer(), /verification fails/],
  [
    'ES256 with zeros',
    () => `${unsigned({ alg: 'ES256', kid: 'ec' })}${Buffer.alloc(64).toString('base64url')}`,
    /verification fails/,
  ],
  ['EdDSA by an EC key', () => signed({ alg: 'EdDSA', kid: 'ec' }, ec.privateKey), /doesn't have key/],
  [
    'a key of its own in the header',
    () => signed({ ...HEADER, jwk: otherRsa.publicKey.export({ format: 'jwk' }) }, otherRsa.privateKey),
    /verification fails/,
  ],
  [
    'an address of keys in the header',
    () =>
      signed({ ...HEADER, jku: 'https://evil.example/', x5u: 'https://evil.example/' }, otherRsa.privateKey),
    /verification fails/,
  ],
  ['crit', () => withHeader({ ...HEADER, crit: ['exp'] }), /crit\] is not supported/],
  ['crit without anything', () => withHeader({ ...HEADER, crit: [] }), /crit\] is not supported/],
  ['crit b64', () => withHeader({ ...HEADER, b64: false, crit: ['b64'] }), /crit\] is not supported/],
  [
    'alg twice',
    () => jws('{"alg":"RS256","alg":"RS256"}', JSON.stringify(CLAIMS)),
    /header is an invalid JSON/,
  ],
  [
    'alg twice, once as escapes',
    () => jws('{"alg":"none","\\u0061lg":"RS256"}', JSON.stringify(CLAIMS)),
    /header is an invalid JSON/,
  ],
  [
    'sub twice',
    () => jws(JSON.stringify(HEADER), `${JSON.stringify(CLAIMS).slice(0, -1)},"sub":"admin"}`),
    /payload is an invalid JSON/,
  ],
  ['a name twice deep inside', () => withClaims({}, ',"a":[{"b":1,"b":2}]'), /payload is an invalid JSON/],
  ['a payload that is a list', () => jws(JSON.stringify(HEADER), '[]'), /payload is an invalid JSON/],
  [
    'a payload with something behind it',
    () => jws(JSON.stringify(HEADER), `${JSON.stringify(CLAIMS)}{}`),
    /payload is an invalid JSON/,
  ],
  [
    'a byte-order mark',
    () => jws(JSON.stringify(HEADER), `\xef\xbb\xbf${JSON.stringify(CLAIMS)}`),
    /payload is an invalid JSON/,
  ],
  [
    'a comma too many',
    () => jws(JSON.stringify(HEADER), `${JSON.stringify(CLAIMS).slice(0, -1)},}`),
    /payload is an invalid JSON/,
  ],
  ['NaN', () => withClaims({}, ',"a":NaN'), /payload is an invalid JSON/],
  ['a leading zero', () => withClaims({}, ',"a":01'), /payload is an invalid JSON/],
  ['a control character in a text', () => withClaims({}, ',"a":"\x01"'), /payload is an invalid JSON/],
  ['overlong UTF-8', () => withClaims({}, ',"a":"\xc0\xaf"'), /payload is an invalid JSON/],
  ['UTF-8 of a surrogate', () => withClaims({}, ',"a":"\xed\xa0\x80"'), /payload is an invalid JSON/],
  ['UTF-8 beyond Unicode', () => withClaims({}, ',"a":"\xf4\x90\x80\x80"'), /payload is an invalid JSON/],
  [
    '33 lists in each other',
    () => withClaims({}, `,"a":${'['.repeat(32)}${']'.repeat(32)}`),
    /payload is an invalid JSON/,
  ],
  [
    'lists without end',
    () => jws(JSON.stringify(HEADER), `{"a":${'['.repeat(8000)}`),
    /payload is an invalid JSON/,
  ],
  [
    'more values than are read',
    () => withClaims({}, `,"a":[${'1,'.repeat(1024)}1]`),
    /payload is an invalid JSON/,
  ],
  [
    'more members than are read',
    () => withClaims({}, `,"a":{${Array.from({ length: 257 }, (_, i) => `"${i}":0`).join()}}`),
    /payload is an invalid JSON/,
  ],
  ['a giant', () => withClaims({}, `,"a":"${'a'.repeat(16_000)}"`), /longer than/],
  ['no payload', () => `${good.split('.')[0]}..${good.split('.')[2]}`, /not in the form/],
  ['no signature', () => good.replace(/[^.]*$/, ''), /not in the form/],
  ['two parts', () => good.split('.').slice(0, 2).join('.'), /not in the form/],
  ['five parts, as of an encrypted one', () => `${good}.a.b`, /not in the form/],
  ['a dot at the end', () => `${good}.`, /not in the form/],
  ['a dot in front', () => `.${good}`, /not in the form/],
  ['padding', () => `${good}==`, /signature is an invalid Base64url/],
  ['the other alphabet', () => good.replace(/.$/, '+'), /signature is an invalid Base64url/],
  ['a bit that is no part of the signature', () => otherLastBits(good), /signature is an invalid Base64url/],
  ['a bit that is no part of the header', () => looseHeaderBits(), /header is an invalid Base64url/],
  ['white space behind it', () => `${good} x`, /signature is an invalid Base64url/],
  ['white space inside', () => good.replace('.', '. '), /payload is an invalid Base64url/],
  ['a tab in front', () => `\t${good}`, /header is an invalid Base64url/],
  ['two with a comma', () => `${good},${good}`, /not in the form/],
  ['in quotes', () => `"${good}"`, /header is an invalid Base64url/],
  [
    'another payload',
    () =>
      [good.split('.')[0], segment(JSON.stringify({ ...CLAIMS, sub: 'admin' })), good.split('.')[2]].join(
        '.',
      ),
    /verification fails/,
  ],
  ['another signature', () => `${good.slice(0, -8)}AAAAAAAA`, /verification fails|Base64url/],
  ['a key of somebody else', () => signed(HEADER, otherRsa.privateKey), /verification fails/],
  ['another issuer', () => withClaims({ iss: 'https://evil.example' }), /issuer is not configured/],
  ['an issuer with a slash more', () => withClaims({ iss: `${ISSUER}/` }), /issuer is not configured/],
  ['without issuer', () => withClaims({ iss: undefined }), /issuer is not configured/],
  ['an issuer that is a list', () => withClaims({ iss: [ISSUER] }), /iss\] field must be a string/],
  ['a subject that is a number', () => withClaims({ sub: 1 }), /sub\] field must be a string/],
  ['expired', () => withClaims({ exp: SECONDS - 61 }), /is expired/],
  ['expired by a fraction that does not count', () => withClaims({ exp: SECONDS - 60.5 }), /is expired/],
  ['an expiry of 0', () => withClaims({ exp: 0 }), /is expired/],
  [
    'an expiry that is a text',
    () => withClaims({ exp: String(SECONDS + 600) }),
    /exp\] field must be a number/,
  ],
  ['an expiry below 0', () => withClaims({ exp: -1 }), /exp\] field must be a number/],
  ['not valid yet', () => withClaims({ nbf: SECONDS + 61 }), /not yet valid/],
  ['not valid for ages', () => withClaims({}, ',"nbf":1e400'), /not yet valid/],
  ['issued at a text', () => withClaims({ iat: 'now' }), /iat\] field must be a number/],
  ['another audience', () => withClaims({ aud: 'other' }), /Audiences/, 403],
  ['other audiences', () => withClaims({ aud: ['other', 'apis'] }), /Audiences/, 403],
  ['no audience', () => withClaims({ aud: undefined }), /Audiences/, 403],
  [
    'an audience that is a number',
    () => withClaims({ aud: 1 }),
    /aud\] field must be a string or string array/,
  ],
  [
    'a list of audiences with a number',
    () => withClaims({ aud: ['api', 1] }),
    /aud\] field must be a string or string array/,
  ],
]

for (const [name, token, text, status = 401] of ATTACKS) {
  test(`refused: ${name}`, () => {
    const verdict = bearer(token())
    assert.equal(verdict.status, status, verdict.text)
    assert.match(verdict.text, text)
    assert.equal(
      verdict.fields,
      'www-authenticate: Bearer realm="http://app.test/", error="invalid_token"\r\n',
    )
  })
}

const TAKEN: readonly (readonly [name: string, token: () => string])[] = [
  ['ES256', () => signed({ alg: 'ES256', kid: 'ec' }, ec.privateKey)],
  ['ES384', () => signed({ alg: 'ES384', kid: 'ec384' }, ec384.privateKey)],
  ['EdDSA', () => signed({ alg: 'EdDSA', kid: 'ed' }, ed.privateKey)],
  ['PS256 by a key for it alone', () => signed({ alg: 'PS256', kid: 'only-ps' }, otherRsa.privateKey)],
  ['RS512', () => signed({ alg: 'RS512', kid: 'rsa' }, rsa.privateKey)],
  ['without kid', () => signed({ alg: 'RS256' }, rsa.privateKey)],
  [
    'with white space in its JSON',
    () => jws(JSON.stringify(HEADER, null, '\t'), JSON.stringify(CLAIMS, null, ' ')),
  ],
  [
    'names as escapes',
    () => jws('{"\\u0061lg":"RS256"}', JSON.stringify(CLAIMS).replace('"iss"', '"\\u0069ss"')),
  ],
  ['32 lists in each other', () => withClaims({}, `,"a":${'['.repeat(31)}${']'.repeat(31)}`)],
  ['expired within the skew', () => withClaims({ exp: SECONDS - 60 })],
  ['an expiry with an exponent', () => withClaims({ exp: undefined }, `,"exp":${SECONDS / 100}E2`)],
  ['not valid yet within the skew', () => withClaims({ nbf: SECONDS + 60 })],
  ['issued in the future, which Envoy does not judge', () => withClaims({ iat: SECONDS + 6000 })],
  ['without expiry', () => withClaims({ exp: undefined })],
  ['an audience in a list', () => withClaims({ aud: ['other', 'api'] })],
  ['an audience as a URL, as Envoy compares them', () => withClaims({ aud: 'https://api/' })],
]

for (const [name, token] of TAKEN) {
  test(`taken: ${name}`, () => {
    const verdict = bearer(token())
    assert.equal(verdict.status, 200, verdict.text)
  })
}

function bearer(token: string) {
  return judge.judge({ now: NOW, headers: [['authorization', `Bearer ${token}`]] })
}
