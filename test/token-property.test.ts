// The sidecar's verdicts on tokens beside those of jose, an independent implementation: tokens as issuers make them, and the same
// with a byte changed somewhere.

import assert from 'node:assert/strict'
import { before, test } from 'node:test'
import fc from 'fast-check'
import * as jose from 'jose'
import { realSidecars } from './sidecar-phases.ts'
import { authentication, meshConfig, TokenJudge } from './token-judge.ts'

const ISSUER = 'https://issuer.example'
const NOW = Date.UTC(2026, 10, 24, 12)
const SECONDS = NOW / 1000
const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA']

interface Signer {
  readonly alg: string
  readonly kid: string
  readonly key: jose.CryptoKey
}

const signers: Signer[] = []
const keys: jose.JWK[] = []
let judge: TokenJudge
let keySet: jose.JWTVerifyGetKey

before(async () => {
  for (const alg of ALGORITHMS) {
    const { publicKey, privateKey } = await jose.generateKeyPair(alg)
    keys.push({ ...(await jose.exportJWK(publicKey)), kid: `k-${alg}`, alg })
    signers.push({ alg, kid: `k-${alg}`, key: privateKey })
  }
  const jwks = JSON.stringify({ keys })
  judge = new TokenJudge(await realSidecars(), [
    meshConfig(),
    authentication([{ issuer: ISSUER, audiences: ['api'], jwks }]),
  ])
  keySet = jose.createLocalJWKSet({ keys })
})

const text = fc.string({ unit: 'binary', maxLength: 12 }).filter((value) => value.isWellFormed())
const claims = fc.record(
  {
    iss: fc.oneof({ weight: 8, arbitrary: fc.constant<unknown>(ISSUER) }, text, fc.constant(7)),
    sub: fc.oneof({ weight: 8, arbitrary: text }, fc.constant<unknown>(null)),
    aud: fc.oneof(
      { weight: 6, arbitrary: fc.constant<unknown>('api') },
      fc.array(fc.oneof(fc.constant('api'), text), { maxLength: 4 }),
      fc.constant(1),
    ),
    exp: fc.integer({ min: -150, max: 150 }).map((delta) => SECONDS + delta),
    nbf: fc.integer({ min: -150, max: 150 }).map((delta) => SECONDS + delta),
    more: fc.jsonValue({ maxDepth: 4, stringUnit: 'binary' }),
  },
  { requiredKeys: ['iss', 'aud'] },
)

/** Envoy judges whole seconds and lets the last one pass; jose does not. */
async function referenceTakes(token: string): Promise<boolean> {
  try {
    const { payload } = await jose.jwtVerify(token, keySet, {
      algorithms: ALGORITHMS,
      issuer: ISSUER,
      audience: 'api',
      clockTolerance: 61,
      currentDate: new Date(NOW),
    })
    const { nbf = 0, exp = SECONDS } = payload
    return nbf <= SECONDS + 60 && exp >= SECONDS - 60 && isPlain(payload)
  } catch {
    return false
  }
}

/** What Envoy asks of claims beyond jose. */
function isPlain({ sub, aud }: jose.JWTPayload): boolean {
  const audiences: unknown = aud
  return (
    (sub === undefined || typeof sub === 'string') &&
    (!Array.isArray(audiences) || audiences.every((one) => typeof one === 'string'))
  )
}

async function make(signer: Signer, payload: object): Promise<string> {
  const body = new TextEncoder().encode(JSON.stringify(payload))
  return await new jose.CompactSign(body)
    .setProtectedHeader({ alg: signer.alg, kid: signer.kid })
    .sign(signer.key)
}

function sidecarTakes(token: string): boolean {
  return judge.judge({ now: NOW, headers: [['authorization', `Bearer ${token}`]] }).status === 200
}

test('tokens as issuers make them get the verdict that jose gives', async () => {
  let taken = 0
  await fc.assert(
    fc.asyncProperty(fc.nat({ max: ALGORITHMS.length - 1 }), claims, async (index, payload) => {
      const token = await make(signers[index]!, payload)
      const expected = await referenceTakes(token)
      if (expected) taken++
      assert.equal(sidecarTakes(token), expected, token)
    }),
    { numRuns: 600 },
  )
  assert.ok(taken > 100, `only ${taken} were valid, so little was compared`)
})

test('no token that was changed is taken unless jose takes it too', async () => {
  const payload = {
    iss: ISSUER,
    sub: 'somebody',
    aud: ['other', 'api'],
    exp: SECONDS + 100,
    scope: 'a b',
    n: [1, { x: null }],
  }
  const tokens = await Promise.all(signers.map((signer) => make(signer, payload)))
  for (const token of tokens) assert.equal(sidecarTakes(token), true)
  await fc.assert(
    fc.asyncProperty(
      fc.nat({ max: tokens.length - 1 }),
      fc.nat(),
      fc.constantFrom('flip', 'drop', 'double', 'swap', 'insert'),
      fc.constantFrom(...'AZaz09-_.=+/ '),
      async (index, seed, how, character) => {
        const changed = mutate(tokens[index]!, seed, how, character)
        if (changed.trim() !== changed) return
        if (sidecarTakes(changed)) assert.equal(await referenceTakes(changed), true, changed)
        else if (changed === tokens[index]) assert.fail('the token itself was refused')
      },
    ),
    { numRuns: 3_000 },
  )
})

test('the payload of a valid token reaches the function as JSON.parse reads it', async () => {
  const rules = [
    {
      issuer: ISSUER,
      jwks: JSON.stringify({ keys }),
      outputClaimToHeaders: [{ header: 'x-claim', claim: 'a.b' }],
    },
  ]
  const claimJudge = new TokenJudge(await realSidecars(), [meshConfig(), authentication(rules)])
  await fc.assert(
    fc.asyncProperty(
      fc.string({ unit: 'binary', maxLength: 20 }).filter((one) => one.isWellFormed()),
      async (value) => {
        const token = await make(signers[0]!, { iss: ISSUER, a: { b: value } })
        const { head, status } = claimJudge.judge({
          now: NOW,
          headers: [['authorization', `Bearer ${token}`]],
        })
        assert.equal(status, 200)
        const found = /^x-claim: (.*)\r$/m.exec(Buffer.from(head, 'latin1').toString('utf8'))?.[1]
        // biome-ignore lint/suspicious/noControlCharactersInRegex: they cannot stand in a field
        const fits = value !== '' && !/[\x00-\x1f\x7f]|^ | $/.test(value)
        assert.equal(found, fits ? value : undefined)
      },
    ),
    { numRuns: 300 },
  )
})

function mutate(token: string, seed: number, how: string, character: string): string {
  const at = seed % token.length
  switch (how) {
    case 'flip':
      return token.slice(0, at) + character + token.slice(at + 1)
    case 'drop':
      return token.slice(0, at) + token.slice(at + 1)
    case 'double':
      return token.slice(0, at) + token[at] + token.slice(at)
    case 'swap':
      return token.slice(0, at) + (token[at + 1] ?? '') + token[at] + token.slice(at + 2)
    default:
      return token.slice(0, at) + character + token.slice(at)
  }
}
