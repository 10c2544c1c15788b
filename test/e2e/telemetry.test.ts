// Telemetry over real calls: whose child each span is, custom tags, and the filters of access logs.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, request, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, test } from 'node:test'
import { startCollector, type TestCollector } from '../otlp-traces.ts'
import { startTestMesh, type TestMesh } from '../start-mesh.ts'

let mesh: TestMesh
let collector: TestCollector
let servers: Server[] = []

const MANIFESTS = `apiVersion: mayfly.dev/v1
kind: MeshConfig
metadata: {name: mesh}
spec:
  engines: 1
  defaultAuthorization: allow
  accessLogFile: /dev/stdout
  accessLogFormat: "LOG %REQ(:PATH)% %RESPONSE_CODE% %UPSTREAM_CLUSTER%"
  extensionProviders: [{name: otel, opentelemetry: {service: 127.0.0.1, port: COLLECTOR}}]
  defaultProviders: {tracing: [otel]}
  defaultConfig:
    tracing: {sampling: 100, customTags: {everywhere: {literal: {value: yes-everywhere}}}}
---
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: tags, namespace: test}
spec:
  selector: {matchLabels: {app: frontend}}
  tracing:
  - match: {mode: CLIENT}
    customTags:
      who: {header: {name: X-Who, defaultValue: nobody}}
      region: {environment: {name: REGION, defaultValue: none}}
      name: {environment: {name: K_SERVICE}}
      unset: {environment: {name: HOME}}
      istio.mesh_id: {literal: {value: own}}
  accessLogging:
  - filter: {expression: "response.code >= 500 || request.size > 3 && request.method == 'POST'"}
---
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: quiet, namespace: test}
spec:
  selector: {matchLabels: {app: quiet}}
  tracing: [{match: {mode: SERVER}, disableSpanReporting: true}]
  accessLogging: [{filter: {expression: "response.flags != 0"}}]
---
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: backend, namespace: test}
spec:
  selector: {matchLabels: {app: backend}}
  tracing: [{enableIstioTags: false}]
  accessLogging: [{filter: {expression: "response.headers['x-log'] == 'yes'"}}]
`

function service(name: string, port: number): string {
  return `---
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: ${name}, namespace: test}
spec:
  template:
    metadata: {labels: {app: ${name}, version: v1}}
    spec: {containers: [{image: "endpoint:127.0.0.1:${port}"}]}
`
}

async function serve(answer: Parameters<typeof createServer>[1]): Promise<number> {
  const server = createServer(answer)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  servers.push(server)
  return (server.address() as AddressInfo).port
}

async function call(
  url: string,
  host: string,
  path: string,
  headers: object = {},
  body = '',
): Promise<number> {
  const method = body === '' ? 'GET' : 'POST'
  const sent = request(new URL(path, url), { method, headers: { host, ...headers } }).end(body)
  const [response] = await once(sent, 'response')
  response.resume()
  await once(response, 'end')
  return response.statusCode
}

before(async () => {
  collector = await startCollector()
  // It passes the trace on, as applications do, and asks who its own request names.
  const frontend = await serve(async (incoming, response) => {
    await incoming.toArray()
    const { traceparent, 'x-request-id': id, 'x-who': who, 'x-status': status = '200' } = incoming.headers
    const headers = { traceparent, 'x-request-id': id, ...(who && { 'x-who': who }) }
    if (incoming.url === '/call')
      await call(mesh.functions['test/frontend']!.egress, 'backend', '/inner?secret=1', headers)
    response.writeHead(Number(status)).end()
  })
  const backend = await serve((incoming, response) => {
    response.writeHead(200, incoming.url === '/logged' ? { 'x-log': 'yes' } : {}).end('hello')
  })
  mesh = await startTestMesh({
    'mesh.yaml':
      MANIFESTS.replace('COLLECTOR', String(collector.port)) +
      service('frontend', frontend) +
      service('backend', backend) +
      service('quiet', 1),
  })
})
after(async () => {
  await mesh?.stop()
  for (const server of servers) {
    server.close()
    server.closeAllConnections()
  }
  servers = []
  collector?.close()
})

test('a request through the gateway and a call behind it are one trace: server, client, server', async () => {
  assert.equal(await call(mesh.gateway, 'frontend.test.localhost', '/call', { 'x-who': 'me' }), 200)
  await collector.has(3)
  const [outer, client, inner] = ['server', 'client', 'server'].map((kind, i) =>
    collector.spans.find(
      (span) => span.kind === kind && span.service === (i === 2 ? 'backend.test' : 'frontend.test'),
    ),
  )
  assert.ok(
    outer && client && inner,
    JSON.stringify(collector.spans.map(({ service: of, kind }) => [of, kind])),
  )
  assert.equal(outer.parentId, '')
  assert.equal(client.parentId, outer.spanId)
  assert.equal(inner.parentId, client.spanId)
  assert.deepEqual([client.traceId, inner.traceId], [outer.traceId, outer.traceId])
  assert.ok(outer.startNs <= client.startNs && client.endNs <= outer.endNs)
  assert.equal(client.attributes['http.url'], 'http://backend/inner', 'no query, in which secrets stand')
  assert.equal(client.attributes['upstream_cluster.name'], 'outbound|8080||backend.test.svc.cluster.local')
  assert.equal(inner.attributes['upstream_cluster.name'], 'inbound|8080||')
  assert.equal(inner.attributes.response_size, '5')
  assert.equal(client.attributes['guid:x-request-id'], outer.attributes['guid:x-request-id'])

  assert.deepEqual(
    [
      'who',
      'region',
      'name',
      'unset',
      'everywhere',
      'istio.mesh_id',
      'istio.canonical_service',
      'istio.canonical_revision',
    ].map((name) => client.attributes[name]),
    ['me', 'none', 'frontend', undefined, undefined, 'own', 'frontend', 'v1'],
    "a Telemetry's tags stand in place of the MeshConfig's",
  )
  assert.deepEqual(
    ['who', 'everywhere', 'istio.mesh_id', 'istio.namespace'].map((name) => outer.attributes[name]),
    [undefined, 'yes-everywhere', 'cluster.local', 'test'],
  )
  assert.equal(inner.attributes['istio.namespace'], undefined, 'enableIstioTags: false')
})

test('spans that are not to be reported are none; denied and failed requests have theirs', async () => {
  const before = collector.spans.length
  assert.equal(await call(mesh.gateway, 'quiet.test.localhost', '/'), 503)
  assert.equal(
    await call(mesh.gateway, 'backend.test.localhost', '/', {
      traceparent: `00-${'ab'.repeat(16)}-${'cd'.repeat(8)}-01`,
    }),
    200,
  )
  assert.equal(
    await call(mesh.gateway, 'backend.test.localhost', '/', {
      traceparent: `00-${'ef'.repeat(16)}-${'cd'.repeat(8)}-00`,
    }),
    200,
  )
  assert.equal(await call(mesh.gateway, 'frontend.test.localhost', '/', { 'x-status': '500' }), 500)
  await collector.has(before + 2)
  const [continued, failed] = collector.spans.slice(before)
  assert.deepEqual([continued!.traceId, continued!.parentId], ['ab'.repeat(16), 'cd'.repeat(8)])
  assert.deepEqual([failed!.isError, failed!.attributes['http.response.status_code']], [true, 500])
  assert.equal(collector.spans.length, before + 2)
})

test('filters of access logs: by request, response, and what is known at the end only', async () => {
  const log = (path: string) => mesh.stdout.filter((line) => line.startsWith(`LOG ${path} `))
  assert.equal(await call(mesh.gateway, 'frontend.test.localhost', '/small', {}, 'abc'), 200)
  assert.equal(await call(mesh.gateway, 'frontend.test.localhost', '/large', {}, 'abcd'), 200)
  assert.equal(await call(mesh.gateway, 'frontend.test.localhost', '/failed', { 'x-status': '502' }), 502)
  assert.equal(await call(mesh.gateway, 'quiet.test.localhost', '/flagged'), 503)
  assert.equal(await call(mesh.gateway, 'backend.test.localhost', '/unlogged'), 200)
  assert.equal(await call(mesh.gateway, 'backend.test.localhost', '/logged'), 200)
  assert.equal(await call(mesh.gateway, 'nobody.test.localhost', '/nobody'), 404)
  await mesh.line('stdout', /^LOG \/nobody 404/)
  assert.deepEqual(
    ['/small', '/large', '/failed', '/flagged', '/unlogged', '/logged'].map((path) => log(path).length),
    [0, 1, 1, 1, 0, 1],
  )
})
