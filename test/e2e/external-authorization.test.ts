// CUSTOM policies through the real command, with a check service and a function that are real servers.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, beforeEach, test } from 'node:test'
import { exportJWK, type GenerateKeyPairResult, generateKeyPair, SignJWT } from 'jose'
import { RawClient } from '../raw-client.ts'
import { endpointFunction, startTestMesh, type TestMesh } from '../start-mesh.ts'

const POLICIES = (port: number, jwks: string) => `apiVersion: mayfly.dev/v1
kind: MeshConfig
metadata: {name: mesh}
spec:
  engines: 1
  accessLogFile: /dev/stdout
  accessLogFormat: "%REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%"
  extensionProviders:
  - name: authz
    envoyExtAuthzHttp:
      service: 127.0.0.1
      port: ${port}
      timeout: 300ms
      pathPrefix: /check
      includeRequestHeadersInCheck: [x-user, "x-list-*", x-forwarded-for, x-request-id, x-fixed]
      includeAdditionalHeadersInCheck: {X-Fixed: by the mesh}
      headersToUpstreamOnAllow: [authorization, "x-set-*", "*-wild", "x-f*", "x_*"]
      headersToDownstreamOnDeny: [x-why, content-type, set-cookie]
      headersToDownstreamOnAllow: ["x-down-*", set-cookie]
  - name: open
    envoyExtAuthzHttp: {service: 127.0.0.1, port: ${port}, failOpen: true}
  - name: dead
    envoyExtAuthzHttp: {service: 127.0.0.1, port: 1, statusOnError: "503"}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ask, namespace: test}
spec:
  action: CUSTOM
  provider: {name: authz}
  selector: {matchLabels: {serving.knative.dev/service: front}}
  rules:
  - to: [{operation: {notPaths: [/public]}}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ask-open, namespace: test}
spec:
  action: CUSTOM
  provider: {name: open}
  selector: {matchLabels: {serving.knative.dev/service: lenient}}
  rules: [{}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ask-dead, namespace: test}
spec:
  action: CUSTOM
  provider: {name: dead}
  selector: {matchLabels: {serving.knative.dev/service: unlucky}}
  rules: [{}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: none-of-it, namespace: test}
spec:
  action: DENY
  rules:
  - when: [{key: "request.headers[x-set-role]", values: [robot]}]
  - to: [{operation: {paths: [/never]}}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ask-for-token, namespace: test}
spec:
  action: CUSTOM
  provider: {name: authz}
  selector: {matchLabels: {serving.knative.dev/service: members}}
  rules: [{}]
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: members, namespace: test}
spec:
  selector: {matchLabels: {serving.knative.dev/service: members}}
  jwtRules: [{issuer: me, jwks: '${jwks}'}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: only-members, namespace: test}
spec:
  action: DENY
  selector: {matchLabels: {serving.knative.dev/service: members}}
  rules: [{from: [{source: {notRequestPrincipals: [me/bob]}}]}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: everybody, namespace: test}
spec: {rules: [{}]}
`

interface Seen {
  method: string
  url: string
  fields: Record<string, string>
}

let mesh: TestMesh
let keys: GenerateKeyPairResult
let authz: Server
let app: Server
let checks: Seen[] = []
let requests: Seen[] = []
let answer: (request: IncomingMessage, response: ServerResponse) => void

const seen = (request: IncomingMessage): Seen => ({
  method: request.method!,
  url: request.url!,
  fields: request.headers as Record<string, string>,
})

before(async () => {
  authz = createServer((request, response) => {
    checks.push(seen(request))
    answer(request, response)
  }).listen(0, '127.0.0.1')
  app = createServer((request, response) => {
    requests.push(seen(request))
    request
      .resume()
      .on('end', () =>
        response
          .writeHead(200, { 'x-down-a': 'app', 'set-cookie': 'app=1', 'content-length': '3' })
          .end('app'),
      )
  }).listen(0, '127.0.0.1')
  await Promise.all([once(authz, 'listening'), once(app, 'listening')])
  keys = await generateKeyPair('ES256')
  const address = `127.0.0.1:${(app.address() as AddressInfo).port}`
  mesh = await startTestMesh({
    'functions.yaml': ['front', 'lenient', 'unlucky', 'members']
      .map((name) => endpointFunction(name, address))
      .join('---\n'),
    'policies.yaml': POLICIES(
      (authz.address() as AddressInfo).port,
      JSON.stringify({ keys: [await exportJWK(keys.publicKey)] }),
    ),
  })
})
after(async () => {
  await mesh?.stop()
  for (const server of [authz, app]) {
    server?.closeAllConnections()
    server?.close()
  }
})
beforeEach(() => {
  checks = []
  requests = []
  answer = (_request, response) => response.end()
})

async function ask(head: string, name = 'front', body = ''): Promise<string> {
  const client = await RawClient.connect(mesh.port)
  client.send(`${head}\r\nhost: ${name}.test.localhost\r\nconnection: close\r\n\r\n${body}`)
  const reply = await client.receive()
  client.close()
  return reply
}

test('a check gets method, path, authority, authorization and what the provider lists, and no body', async () => {
  const fields =
    'Authorization: Bearer t\r\nX-User: me\r\nx-list-a: 1\r\nx-list-a: 2\r\ncookie: c=1\r\nx-other: o\r\nx-fixed: forged\r\nx-request-id: forged'
  const reply = await ask(`POST /a/../b?q=1 HTTP/1.1\r\ncontent-length: 4\r\n${fields}`, 'front', 'body')
  assert.match(reply, /^HTTP\/1\.1 200 /)
  assert.equal(checks.length, 1)
  const { method, url, fields: sent } = checks[0]!
  assert.deepEqual([method, url], ['POST', '/check/b?q=1'])
  const { 'x-request-id': id, connection, ...rest } = sent
  assert.match(id!, /^[0-9a-f-]{36}$/)
  assert.deepEqual(rest, {
    host: 'front.test.localhost',
    authorization: 'Bearer t',
    'x-user': 'me',
    'x-list-a': '1,2',
    'x-forwarded-for': '127.0.0.1',
    'x-fixed': 'by the mesh',
    'content-length': '0',
  })
  assert.equal(requests[0]!.fields['content-length'], '4')
  assert.equal(requests[0]!.fields['x-request-id'], id)
})

test('a permission sets what is listed for the function, and for the client', async () => {
  answer = (_request, response) => {
    response.setHeader('Authorization', 'Bearer new')
    response.setHeader('x-set-user', 'u')
    response.setHeader('a-wild', 'w')
    response.setHeader('x-not-listed', 'n')
    response.setHeader('x-forwarded-client-cert', 'By=forged')
    response.setHeader('x-forwarded-for', '6.6.6.6')
    response.setHeader('x_forwarded_for', '6.6.6.6')
    response.setHeader('x-fine_print', 'read')
    response.setHeader('x-down-a', 'authz')
    response.setHeader('set-cookie', ['one=1', 'two=2'])
    response.setHeader('x-envoy-auth-headers-to-remove', 'x-drop, host,content-length, x-forwarded-for')
    response.end('ignored')
  }
  const head = 'GET / HTTP/1.1\r\nauthorization: Bearer old\r\nx-set-user: forged\r\nx-drop: d\r\nX-Drop: e'
  const reply = await ask(head)
  assert.match(reply, /\r\n\r\napp$/)
  const { fields } = requests[0]!
  assert.equal(fields.authorization, 'Bearer new')
  assert.equal(fields['x-set-user'], 'u')
  assert.equal(fields['a-wild'], 'w')
  assert.equal(fields['x-not-listed'], undefined)
  assert.equal(fields['x-drop'], undefined)
  assert.equal(fields['x-forwarded-client-cert'], undefined)
  assert.equal(fields['x-forwarded-for'], '127.0.0.1')
  assert.equal(fields.x_forwarded_for, undefined)
  assert.equal(fields['x-fine_print'], 'read')
  assert.equal(fields.host, 'front.test.localhost')
  assert.deepEqual(reply.match(/^x-down-a: .*$/gim), ['x-down-a: authz'])
  assert.deepEqual(reply.match(/^set-cookie: .*$/gim), [
    'set-cookie: app=1',
    'set-cookie: one=1',
    'set-cookie: two=2',
  ])
})

test('a refusal goes to the client with status, body and what is listed, and the function sees nothing', async () => {
  answer = (_request, response) => {
    response.setHeader('x-why', 'no money')
    response.setHeader('x-secret', 's')
    response.setHeader('www-authenticate', 'Bearer')
    response.setHeader('content-type', 'application/json')
    response.setHeader('set-cookie', ['a=1', 'b=2'])
    response.writeHead(402).end('{"error": "zu arm für €"}')
  }
  const reply = Buffer.from(await ask('GET /x HTTP/1.1'), 'latin1').toString('utf8')
  assert.match(reply, /^HTTP\/1\.1 402 /)
  assert.match(reply, /\r\n\r\n\{"error": "zu arm für €"\}$/)
  assert.match(reply, /^content-type: application\/json\r$/m)
  assert.match(reply, /^x-why: no money\r$/m)
  assert.match(reply, /^www-authenticate: Bearer\r$/m)
  assert.deepEqual(reply.match(/^set-cookie: .*$/gm), ['set-cookie: a=1', 'set-cookie: b=2'])
  assert.doesNotMatch(reply, /x-secret/)
  assert.equal(requests.length, 0)
  assert.match(await mesh.line('stdout', /^\/x /), /^\/x 402 UAEX ext_authz_denied$/)
})

test('a redirect without a body stays one', async () => {
  answer = (_request, response) => response.writeHead(302, { location: 'https://login.example/' }).end()
  const reply = await ask('GET / HTTP/1.1')
  assert.match(reply, /^HTTP\/1\.1 302 /)
  assert.match(reply, /^location: https:\/\/login\.example\/\r$/m)
  assert.match(reply, /^content-length: 0\r$/m)
  assert.match(reply, /\r\n\r\n$/)
})

test('other policies judge the request as the check service left it', async () => {
  answer = (_request, response) => response.setHeader('x-set-role', 'robot').end()
  assert.match(
    await ask('GET / HTTP/1.1'),
    /^HTTP\/1\.1 403 [\s\S]*denied by AuthorizationPolicy test\/none-of-it rule 0/,
  )
  assert.match(await ask('GET /never HTTP/1.1'), /^HTTP\/1\.1 403 /)
  assert.equal(checks.length, 2)
})

test('where no rule of a CUSTOM policy matches nobody is asked', async () => {
  assert.match(await ask('GET /public HTTP/1.1'), /^HTTP\/1\.1 200 /)
  assert.equal(checks.length, 0)
})

test('a check that fails denies with 403, or with the status of the provider', async () => {
  answer = (_request, response) => response.writeHead(500).end('oops')
  const reply = await ask('GET /broken HTTP/1.1')
  assert.match(reply, /^HTTP\/1\.1 403 [\s\S]*the external authorizer authz answered with a server error/)
  assert.match(await mesh.line('stdout', /^\/broken /), /^\/broken 403 UAEX ext_authz_error$/)
  answer = () => {}
  assert.match(await ask('GET / HTTP/1.1'), /^HTTP\/1\.1 403 [\s\S]*authz did not answer in time/)
  assert.match(await ask('GET / HTTP/1.1', 'unlucky'), /^HTTP\/1\.1 503 [\s\S]*dead cannot be reached/)
  answer = (_request, response) => response.end('x'.repeat(40_000))
  assert.match(await ask('GET / HTTP/1.1'), /^HTTP\/1\.1 403 [\s\S]*answered more than is accepted/)
  assert.equal(requests.length, 0)
})

test('with failOpen a failed check lets the request through, and a refusal does not', async () => {
  answer = (_request, response) => response.writeHead(503).end()
  assert.match(await ask('GET / HTTP/1.1', 'lenient'), /^HTTP\/1\.1 200 /)
  answer = (_request, response) => response.writeHead(401, { 'x-any': 'all fields' }).end('no')
  assert.match(
    await ask('GET / HTTP/1.1', 'lenient'),
    /^HTTP\/1\.1 401 [\s\S]*x-any: all fields[\s\S]*\r\n\r\nno$/,
  )
})

test('a refusal beyond what a sidecar’s small memory holds is as any', async () => {
  answer = (_request, response) =>
    response.writeHead(403, { 'x-why': 'w'.repeat(8_000) }).end('b'.repeat(32_000))
  const reply = await ask(`GET /${'p'.repeat(8_000)} HTTP/1.1\r\nx-list-a: ${'v'.repeat(6_000)}`)
  assert.match(reply, /^HTTP\/1\.1 403 [\s\S]*\r\nx-why: w{8000}\r\n[\s\S]*\r\n\r\nb{32000}$/)
})

test('requests that wait for their checks do not hold up one another', async () => {
  const held: ServerResponse[] = []
  const all = new Promise<void>((resolve) => {
    answer = (_request, response) => {
      held.push(response)
      if (held.length === 20) resolve()
    }
  })
  const asked = Array.from({ length: 20 }, (_, i) => ask(`GET /${i} HTTP/1.1`))
  await all
  for (const response of held.reverse()) response.end()
  for (const reply of await Promise.all(asked)) assert.match(reply, /^HTTP\/1\.1 200 /)
})

test('a request whose client goes away while it is checked does not reach the function', async () => {
  let held: ServerResponse | null = null
  const asked = new Promise<void>((resolve) => {
    answer = (_request, response) => {
      held = response
      resolve()
    }
  })
  const client = await RawClient.connect(mesh.port)
  client.send('GET /gone HTTP/1.1\r\nhost: front.test.localhost\r\n\r\n')
  await asked
  client.socket.resetAndDestroy()
  // The engine hears of it before what is sent after it on another connection.
  answer = (_request, response) => response.end()
  assert.match(await ask('GET /after HTTP/1.1'), /^HTTP\/1\.1 200 /)
  held!.end()
  assert.match(await ask('GET /after HTTP/1.1'), /^HTTP\/1\.1 200 /)
  assert.deepEqual(
    requests.map(({ url }) => url),
    ['/after', '/after'],
  )
})

test('pipelined requests are answered in their order, whatever their checks take', async () => {
  let first: ServerResponse | null = null
  answer = (request, response) => {
    if (request.url === '/check/1') first = response
    else {
      response.writeHead(402).end('second')
      first?.writeHead(401).end('first')
    }
  }
  const client = await RawClient.connect(mesh.port)
  client.send(
    'GET /1 HTTP/1.1\r\nhost: front.test.localhost\r\n\r\nGET /public HTTP/1.1\r\nhost: front.test.localhost\r\nconnection: close\r\n\r\n',
  )
  while (checks.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
  first!.writeHead(401).end('first')
  const replies = await client.receive()
  assert.match(replies, /^HTTP\/1\.1 401 [\s\S]*\r\n\r\nfirstHTTP\/1\.1 200 [\s\S]*app$/)
})

test('a token that the check service sets is the one that is judged next', async () => {
  const tokenOf = (subject: string) =>
    new SignJWT({ sub: subject })
      .setIssuer('me')
      .setProtectedHeader({ alg: 'ES256' })
      .setExpirationTime('1h')
      .sign(keys.privateKey)
  const [bob, eve] = await Promise.all([tokenOf('bob'), tokenOf('eve')])
  const setting = (token: string) => (_request: IncomingMessage, response: ServerResponse) =>
    response.setHeader('authorization', `Bearer ${token}`).end()
  answer = setting(bob)
  assert.match(await ask(`GET / HTTP/1.1\r\nauthorization: Bearer ${eve}`, 'members'), /^HTTP\/1\.1 200 /)
  assert.equal(checks[0]!.fields.authorization, `Bearer ${eve}`)
  answer = setting(eve)
  assert.match(await ask(`GET / HTTP/1.1\r\nauthorization: Bearer ${bob}`, 'members'), /^HTTP\/1\.1 403 /)
  answer = setting('nonsense')
  assert.match(await ask('GET / HTTP/1.1', 'members'), /^HTTP\/1\.1 401 /)
  answer = (_request, response) => response.end()
  assert.match(await ask(`GET / HTTP/1.1\r\nauthorization: Bearer ${bob}`, 'members'), /^HTTP\/1\.1 200 /)
})
