// Tokens through a whole mesh: a real issuer's key server, a real client, a real function.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, test } from 'node:test'
import * as jose from 'jose'
import { request } from 'undici'
import { endpointFunction, startTestMesh, type TestMesh } from '../start-mesh.ts'
import { authentication, meshConfig } from '../token-judge.ts'

const ISSUER = 'https://issuer.example'

let mesh: TestMesh
let function_: Server
let keyServer: Server
/** What the key server has, and how often it was asked. */
let keys: jose.JWK[] = []
let asked = 0
let keysUp = true

interface Issuing {
  readonly kid: string
  readonly key: jose.CryptoKey
  readonly jwk: jose.JWK
}

async function issuing(kid: string, alg = 'ES256'): Promise<Issuing> {
  const { publicKey, privateKey } = await jose.generateKeyPair(alg)
  return { kid, key: privateKey, jwk: { ...(await jose.exportJWK(publicKey)), kid, alg } }
}

async function token({ kid, key, jwk }: Issuing, claims: jose.JWTPayload = {}): Promise<string> {
  return await new jose.SignJWT({ groups: ['staff'], ...claims })
    .setProtectedHeader({ alg: jwk.alg!, kid })
    .setIssuer(ISSUER)
    .setSubject('somebody')
    .setAudience('api')
    .setIssuedAt()
    .setExpirationTime('5m')
    .sign(key)
}

async function listening(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

async function call(headers: Record<string, string>, path = '/') {
  const response = await request(mesh.gateway + path, { headers: { host: 'app.test.localhost', ...headers } })
  const text = await response.body.text()
  return { status: response.statusCode, headers: response.headers, text }
}

const first = await issuing('first')
const second = await issuing('second', 'RS256')

before(async () => {
  function_ = createServer((seen, response) =>
    response.end(JSON.stringify({ url: seen.url, headers: seen.headers })),
  )
  keyServer = createServer((_request, response) => {
    asked++
    if (!keysUp) return void response.writeHead(500).end()
    response.end(JSON.stringify({ keys }))
  })
  keys = [first.jwk]
  const [port, keyPort] = [await listening(function_), await listening(keyServer)]
  const host = `127.0.0.1:${keyPort}`
  const rule = {
    issuer: ISSUER,
    audiences: ['api'],
    jwksUri: `http://${host}/jwks`,
    outputClaimToHeaders: [{ header: 'x-user', claim: 'sub' }],
  }
  const policy = {
    apiVersion: 'security.istio.io/v1',
    kind: 'AuthorizationPolicy',
    metadata: { name: 'staff', namespace: 'test' },
    spec: {
      rules: [
        {
          from: [{ source: { requestPrincipals: [`${ISSUER}/*`] } }],
          when: [{ key: 'request.auth.claims[groups]', values: ['staff'] }],
        },
        { to: [{ operation: { paths: ['/public'] } }] },
      ],
    },
  }
  mesh = await startTestMesh({
    'function.yaml': endpointFunction('app', `127.0.0.1:${port}`),
    'mesh.yaml': meshConfig({ jwksHosts: [host], defaultAuthorization: 'deny' }),
    'tokens.yaml': authentication([rule]),
    'policy.yaml': JSON.stringify(policy),
  })
})

after(async () => {
  await mesh?.stop()
  for (const server of [function_, keyServer]) {
    server.closeAllConnections()
    server.close()
  }
})

test('a valid token lets its bearer in, tells the function who it is, and stays in the mesh', async () => {
  const { status, text } = await call({ authorization: `Bearer ${await token(first)}`, 'x-user': 'forged' })
  assert.equal(status, 200, text)
  const { headers } = JSON.parse(text)
  assert.equal(headers['x-user'], 'somebody')
  assert.equal(headers.authorization, undefined)
})

test('without a token the request is anonymous: what needs none goes on, all else is 403', async () => {
  assert.equal((await call({}, '/public')).status, 200)
  assert.equal((await call({})).status, 403)
  assert.equal(
    (await call({ authorization: `Bearer ${await token(first, { groups: ['guests'] })}` })).status,
    403,
  )
})

test('a bad token is 401 with WWW-Authenticate, also where none is needed; a wrong audience is 403', async () => {
  const bad = `${(await token(first)).slice(0, -86)}${'A'.repeat(86)}`
  const refused = await call({ authorization: `Bearer ${bad}` }, '/public?x=1')
  assert.equal(refused.status, 401)
  assert.equal(
    refused.headers['www-authenticate'],
    'Bearer realm="http://app.test.localhost/public", error="invalid_token"',
  )
  assert.equal(refused.text, 'Jwt verification fails\n')
  const other = await new jose.SignJWT({})
    .setProtectedHeader({ alg: 'ES256', kid: 'first' })
    .setIssuer(ISSUER)
    .setAudience('b')
    .sign(first.key)
  assert.equal((await call({ authorization: `Bearer ${other}` })).status, 403)
})

test('the connection of a refused request may carry the next one', async () => {
  const statuses: number[] = []
  for (const header of ['Bearer x.y.z', `Bearer ${await token(first)}`, 'Bearer x.y.z'])
    statuses.push((await call({ authorization: header })).status)
  assert.deepEqual(statuses, [401, 200, 401])
})

test('the issuer changes its key without an outage: an unknown one is fetched while its first token waits', async () => {
  const old = await token(first)
  keys = [first.jwk, second.jwk]
  await fiveSecondsAfterLastFetch()
  const before = asked
  const fresh = await token(second)
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, i) => call({ authorization: `Bearer ${i % 2 ? old : fresh}` })),
  )
  assert.deepEqual(
    answers.filter(({ status }) => status !== 200),
    [],
  )
  assert.ok(asked > before, 'the keys were fetched anew')
  assert.ok(asked <= before + 2, `the keys were fetched ${asked - before} times`)
  keysUp = false
  assert.equal(
    (await call({ authorization: `Bearer ${await token(second)}` })).status,
    200,
    'the last good keys stay',
  )
})

test('tokens of keys that nobody has do not make the mesh fetch for each of them', async () => {
  const before = asked
  const unknown = await issuing('unknown')
  const answers = await Promise.all(
    Array.from({ length: 30 }, async () => call({ authorization: `Bearer ${await token(unknown)}` })),
  )
  assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([401]))
  assert.ok(asked - before <= 1, `the keys were fetched ${asked - before} times`)
})

/** Sooner a set is not fetched again because of a key that is not in it; nobody tells when that time is over. */
async function fiveSecondsAfterLastFetch(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 5_500))
}
