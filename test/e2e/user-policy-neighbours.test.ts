// Users' policies beside the built-in ones, and beside functions whose policies mean harm, in a real mesh under load.

import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { startTestMesh, type TestMesh } from '../start-mesh.ts'
import { compilePolicySource, exampleModule, wasmPolicy } from '../user-policy-modules.ts'
import {
  askMesh,
  Client,
  functionManifest,
  meshConfig,
  settled,
  startServer,
  type TestServer,
  until,
} from './cluster.ts'

let mesh: TestMesh
let client: Client
let server: TestServer

const { publicKey, privateKey } = await generateKeyPair('ES256')

function token(claims: Record<string, unknown>): Promise<string> {
  return new SignJWT(claims)
    .setProtectedHeader({ alg: 'ES256', kid: 'k' })
    .setIssuer('https://issuer.test')
    .setExpirationTime('1h')
    .sign(privateKey)
}

const service = (name: string) =>
  JSON.stringify({
    apiVersion: 'serving.knative.dev/v1',
    kind: 'Service',
    metadata: { name, namespace: 'test' },
    spec: {
      template: {
        metadata: { labels: { app: name } },
        spec: { containers: [{ image: `endpoint:${server.address}` }] },
      },
    },
  })

before(async () => {
  server = await startServer((incoming, answer) => answer.end(JSON.stringify(incoming.headers)))
  const jwk = { ...(await exportJWK(publicKey)), kid: 'k', alg: 'ES256' }
  mesh = await startTestMesh({
    'mesh.yaml': meshConfig({ engines: 1, defaultAuthorization: 'allow' }),
    'functions.yaml': [
      service('quota'),
      service('harmed'),
      functionManifest({ image: `endpoint:${server.address}` }),
    ].join('\n---\n'),
    'authentication.yaml': JSON.stringify({
      apiVersion: 'security.istio.io/v1',
      kind: 'RequestAuthentication',
      metadata: { name: 'tokens', namespace: 'test' },
      spec: {
        selector: { matchLabels: { app: 'quota' } },
        jwtRules: [{ issuer: 'https://issuer.test', jwks: JSON.stringify({ keys: [jwk] }) }],
      },
    }),
  })
  client = new Client(mesh)
  const harm = await compilePolicySource(`
import { allow, header, literal, removeHeader, setHeader } from 'mayfly-policy'
export function request(): i32 {
  const how = header('x-how')
  if (how.equals('loop')) while (load<i32>(4) != 1) store<i32>(0, load<i32>(0) + 1)
  if (how.equals('trap')) unreachable()
  if (how.equals('undeclared')) setHeader('authorization', literal('root'))
  if (how.equals('lines')) setHeader('x-out', literal('a\\r\\nx-evil: 1'))
  if (how.equals('everywhere')) memory.fill(0, 0xff, 0x10000)
  return allow()
}`)
  writeFileSync(join(mesh.dir, 'harm.wasm'), harm)
  writeFileSync(join(mesh.dir, 'plan-quota.wasm'), exampleModule('plan-quota'))
  mesh.write(
    'harm.yaml',
    wasmPolicy('harm', {
      selector: { matchLabels: { app: 'harmed' } },
      reads: { headers: ['x-how'] },
      writes: { headers: ['x-out'] },
    }),
  )
  mesh.write(
    'plan-quota.yaml',
    wasmPolicy('plan-quota', {
      selector: { matchLabels: { app: 'quota' } },
      order: { position: 'after' },
      reads: { claims: ['plan'] },
      writes: { responseHeaders: ['x-quota-left', 'retry-after'] },
      configuration: { plans: { free: 2, pro: 100 } },
      state: [{ name: 'used', type: 'counter', key: { from: 'claim', name: 'sub' }, window: '24h' }],
    }),
  )
  await until(
    async () => (await client.get('/', 'quota')).status,
    (status) => status === 401,
  )
})

after(async () => {
  await settled(mesh)
  client.close()
  await mesh.stop()
  await server.close()
})

test('a policy behind the built-in chain gets the claims of the verified token, and counts by them', async () => {
  const ask = async (claims: Record<string, unknown>) => {
    const headers = { host: 'quota.test.localhost', authorization: `Bearer ${await token(claims)}` }
    return client.send({ path: '/', headers })
  }
  const ada = { sub: 'ada', plan: 'free' }
  const answers = [await ask(ada), await ask(ada), await ask(ada), await ask({ sub: 'bob', plan: 'free' })]
  assert.deepEqual(
    answers.map(({ status, headers }) => [status, headers['x-quota-left'], headers['retry-after']]),
    [
      [200, '1', undefined],
      [200, '0', undefined],
      [429, undefined, '60'],
      [200, '1', undefined],
    ],
  )
  assert.equal((await ask({ sub: 'eve', plan: 'pro' })).headers['x-quota-left'], '99')
  const forged = {
    host: 'quota.test.localhost',
    authorization: `Bearer ${(await token(ada)).slice(0, -8)}AAAAAAAA`,
  }
  const refused = await client.send({ path: '/', headers: forged })
  assert.equal(refused.status, 401)
  assert.ok(refused.headers['www-authenticate'])
})

test('a policy that means harm fails its own requests and no other', async () => {
  const harms = ['loop', 'trap', 'undeclared', 'lines', 'everywhere']
  const harm = (how: string) =>
    client.send({ path: '/', headers: { host: 'harmed.test.localhost', 'x-how': how } })
  const work = harms.flatMap((how) => Array.from({ length: 40 }, () => harm(how)))
  const others = Array.from({ length: 200 }, () => client.get('/other'))
  const harmed = (await Promise.all(work)).map(({ status }) => status)
  assert.ok(
    harmed.every((status) => status === 500),
    JSON.stringify(harmed),
  )
  for (const { status, body } of await Promise.all(others)) {
    assert.equal(status, 200)
    assert.ok(!body.includes('evil') && !body.includes('root'))
  }
  const fine = await client.send({
    path: '/',
    headers: { host: 'harmed.test.localhost', 'x-how': 'not at all' },
  })
  assert.equal(fine.status, 200)
  const [engine] = await askMesh<{ counters: { userPolicies: { failed: Record<string, number> } } }[]>(
    mesh,
    'engines',
  )
  const { failed } = engine!.counters.userPolicies
  assert.deepEqual([failed.fuel, failed.output, failed.trap], [40, 120, 40])
})
