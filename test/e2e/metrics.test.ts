// Metrics as Prometheus reads them: Istio's standard ones, of two engines together, whatever becomes of one.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { Agent, request } from 'node:http'
import { after, before, test } from 'node:test'
import { type Family, parsePrometheus, samplesOf, sumOf } from '../prometheus-text.ts'
import { endpointFunction, startTestMesh, type TestMesh } from '../start-mesh.ts'
import { type Instance, startInstance } from './http-world.ts'

const CONFIG = `apiVersion: mayfly.dev/v1
kind: MeshConfig
metadata: {name: mesh}
spec: {engines: 2, defaultAuthorization: allow}
---
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: tags, namespace: test}
spec:
  selector: {matchLabels: {serving.knative.dev/service: tagged}}
  metrics:
  - providers: [{name: prometheus}]
    overrides:
    - match: {metric: REQUEST_COUNT, mode: SERVER}
      tagOverrides:
        path: {value: "request.url_path"}
        slow: {value: "request.duration > duration('1h') ? 'yes' : 'no'"}
        kind: {value: "response.headers['x-kind']"}
        missing: {value: "request.headers['x-none']"}
        source_app: {operation: REMOVE}
        destination_app:
          value: |-
            'shop "'
    - match: {metric: REQUEST_SIZE}
      disabled: true
`

const LABELED = `apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: NAME, namespace: test}
spec:
  template:
    metadata: {labels: {app: shop, version: v2}}
    spec: {containers: [{image: "endpoint:ADDRESS"}]}
`

let mesh: TestMesh
let instance: Instance
before(async () => {
  instance = await startInstance((received) =>
    /\r\n\r\n(?:hello)?$/.test(received) &&
    !/content-length: 5\r\n\r\n$|content-length: 5.*\r\n\r\n$/s.test(received)
      ? `HTTP/1.1 ${/^\S+ \/fail/.test(received) ? 503 : 200} X\r\nx-kind: b"\\\r\ncontent-length: 3\r\n\r\nabc`
      : null,
  )
  mesh = await startTestMesh({
    'mesh.yaml': [
      CONFIG,
      endpointFunction('caller', '127.0.0.1:9'),
      LABELED.replace('NAME', 'plain').replace('ADDRESS', instance.address),
      LABELED.replace('NAME', 'tagged').replace('ADDRESS', instance.address),
    ].join('---\n'),
  })
})
after(async () => {
  await mesh?.stop()
  instance?.close()
})

/** Each on a connection of its own, so that both engines get some. */
async function send(port: number, host: string, path: string, body = ''): Promise<number> {
  const headers = { host, ...(body && { 'content-length': body.length }) }
  const sent = request({
    host: '127.0.0.1',
    port,
    path,
    method: body ? 'POST' : 'GET',
    headers,
    agent: new Agent(),
  })
  sent.end(body)
  const [response] = await once(sent, 'response')
  response.resume()
  await once(response, 'end')
  return response.statusCode
}

async function scrape(path = '/metrics'): Promise<Map<string, Family>> {
  const response = await fetch(new URL(path, mesh.metrics))
  assert.equal(response.status, 200)
  assert.equal(response.headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8')
  return parsePrometheus(await response.text())
}

async function engines(): Promise<{ pid: number; counters: { requests: number } }[]> {
  const sent = request({ socketPath: mesh.adminSocket, path: '/v1/engines' }).end()
  const [response] = await once(sent, 'response')
  let text = ''
  for await (const part of response) text += part
  return JSON.parse(text)
}

test("Istio's metrics and labels, from both sides of a call and from the gateway, over both engines", async () => {
  const egress = Number(new URL(mesh.functions['test/caller']!.egress).port)
  for (let i = 0; i < 20; i++) assert.equal(await send(mesh.port, 'plain.test.localhost', '/a', 'hello'), 200)
  assert.equal(await send(mesh.port, 'plain.test.localhost', '/fail'), 503)
  for (let i = 0; i < 3; i++) assert.equal(await send(egress, 'plain', '/b'), 200)
  assert.equal(await send(mesh.port, 'nobody.test.localhost', '/'), 404)
  const counters = (await engines()).map((engine) => engine.counters.requests)
  assert.ok(
    counters.every((count) => count > 0),
    `both engines got some: ${counters}`,
  )

  const families = await scrape()
  const total = 'istio_requests_total'
  const plain = { destination_workload: 'plain' }
  const [one] = samplesOf(families, total, { ...plain, reporter: 'destination', source_workload: 'caller' })
  assert.deepEqual(one, {
    name: total,
    labels: {
      reporter: 'destination',
      source_workload: 'caller',
      source_canonical_service: 'caller',
      source_canonical_revision: 'latest',
      source_workload_namespace: 'test',
      source_principal: 'spiffe://cluster.local/ns/test/sa/caller',
      source_app: 'unknown',
      source_version: 'unknown',
      source_cluster: 'Kubernetes',
      destination_workload: 'plain',
      destination_workload_namespace: 'test',
      destination_principal: 'spiffe://cluster.local/ns/test/sa/plain',
      destination_app: 'shop',
      destination_version: 'v2',
      destination_service: 'plain.test.svc.cluster.local',
      destination_canonical_service: 'shop',
      destination_canonical_revision: 'v2',
      destination_service_name: 'plain',
      destination_service_namespace: 'test',
      destination_cluster: 'Kubernetes',
      request_protocol: 'http',
      response_code: '200',
      grpc_response_status: '',
      response_flags: '-',
      connection_security_policy: 'mutual_tls',
    },
    value: 3,
  })
  const source = {
    ...plain,
    reporter: 'source',
    source_workload: 'caller',
    connection_security_policy: 'unknown',
  }
  assert.equal(sumOf(families, total, source), 3)
  for (const reporter of ['source', 'destination']) {
    const gateway = { ...plain, reporter, source_workload: 'mayfly-gateway', source_principal: 'unknown' }
    assert.equal(sumOf(families, total, { ...gateway, response_code: '200' }), 20)
    assert.equal(sumOf(families, total, { ...gateway, response_code: '503' }), 1)
  }
  const nowhere = {
    destination_service: 'unknown',
    response_code: '404',
    response_flags: 'NR',
    reporter: 'source',
  }
  assert.equal(sumOf(families, total, nowhere), 1)

  const outside = {
    ...plain,
    reporter: 'destination',
    source_workload: 'mayfly-gateway',
    response_code: '200',
  }
  assert.equal(sumOf(families, 'istio_request_bytes_sum', outside), 100)
  assert.equal(sumOf(families, 'istio_request_bytes_bucket', { ...outside, le: '5' }), 20)
  assert.equal(sumOf(families, 'istio_request_bytes_bucket', { ...outside, le: '1' }), 0)
  assert.equal(sumOf(families, 'istio_response_bytes_sum', outside), 60)
  assert.equal(sumOf(families, 'istio_request_duration_milliseconds_count', outside), 20)
  assert.ok(sumOf(families, 'istio_request_duration_milliseconds_sum', outside) > 0)
  assert.equal(families.get(total)!.type, 'counter')
  assert.equal(families.get('istio_request_duration_milliseconds')!.type, 'histogram')
})

test('tags of a Telemetry: evaluated, removed, put in place of the standard ones, and metrics turned off', async () => {
  assert.equal(await send(mesh.port, 'tagged.test.localhost', '/tag?x=1', 'hello'), 200)
  const families = await scrape()
  const [one] = samplesOf(families, 'istio_requests_total', {
    destination_workload: 'tagged',
    reporter: 'destination',
  })
  const { path, slow, kind, missing, destination_app } = one!.labels
  assert.deepEqual(
    { path, slow, kind, missing, destination_app },
    {
      path: '/tag',
      slow: 'no',
      kind: 'b"\\',
      missing: 'unknown',
      destination_app: 'shop "',
    },
  )
  assert.equal('source_app' in one!.labels, false)
  const [bytes] = samplesOf(families, 'istio_response_bytes_count', { destination_workload: 'tagged' })
  assert.equal(bytes!.labels.destination_app, 'shop', 'other metrics keep their labels')
  assert.equal(samplesOf(families, 'istio_request_bytes_count', { destination_workload: 'tagged' }).length, 0)
})

test("the mesh's own metrics are there, at both paths, and nothing else is served", async () => {
  const families = await scrape('/stats/prometheus?usedonly')
  assert.equal(sumOf(families, 'mayfly_engines'), 2)
  assert.equal(sumOf(families, 'mayfly_functions'), 3)
  assert.ok(sumOf(families, 'mayfly_engine_requests_total') >= 25)
  assert.ok(sumOf(families, 'mayfly_sidecars_sandboxes_total') >= 50)
  assert.equal(families.get('mayfly_engine_requests_in_flight')!.type, 'gauge')
  assert.equal(sumOf(families, 'mayfly_metrics_label_sets_overflowed_total'), 0)
  assert.equal(sumOf(families, 'mayfly_access_log_dropped_total'), 0)
  assert.equal(sumOf(families, 'mayfly_spans_dropped_total'), 0)
  assert.equal((await fetch(new URL('/', mesh.metrics))).status, 404)
  assert.equal((await fetch(new URL('/metrics', mesh.metrics), { method: 'POST' })).status, 405)
  assert.equal((await fetch(new URL('/metrics', mesh.metrics), { method: 'HEAD' })).status, 200)
})

test('no counter falls when an engine dies: what it told last is kept', async () => {
  const before = await scrape()
  const [victim] = await engines()
  process.kill(victim!.pid, 'SIGKILL')
  await mesh.line('stderr', /ended \(SIGKILL\)/)
  while ((await engines()).length < 2 || !(await engines()).every(({ counters }) => counters));
  const after = await scrape()
  for (const [name, { type, samples }] of before) {
    if (type === 'gauge') continue
    for (const sample of samples) {
      const now = sumOf(after, sample.name, sample.labels)
      assert.ok(now >= sample.value, `${name} ${JSON.stringify(sample.labels)}: ${sample.value}, then ${now}`)
    }
  }
  assert.equal(sumOf(after, 'mayfly_engines_ended_total'), 1)
  const count = (of: Map<string, Family>) =>
    sumOf(of, 'istio_requests_total', { destination_workload: 'plain' })
  assert.equal(await send(mesh.port, 'plain.test.localhost', '/a'), 200)
  assert.equal(count(await scrape()), count(before) + 2)
})
