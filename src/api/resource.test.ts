import assert from 'node:assert/strict'
import test from 'node:test'
import { readManifests } from './read-manifests.ts'
import { meshConfigOf, ofKind, type Resource } from './resource.ts'

// Manifests that must be accepted, one after another kind, and what is read from them.

test('what kubectl prints is accepted: lists, managed metadata, status, defaults', () => {
  const [service] = read(`apiVersion: v1
kind: List
metadata: {resourceVersion: ""}
items:
- apiVersion: serving.knative.dev/v1
  kind: Service
  metadata:
    annotations: {serving.knative.dev/creator: minikube-user, kubectl.kubernetes.io/last-applied-configuration: "{}\\n"}
    creationTimestamp: "2026-01-01T00:00:00Z"
    generation: 1
    managedFields: [{manager: kubectl}]
    name: hello
    namespace: default
    resourceVersion: "42"
    uid: 7f3
  spec:
    template:
      metadata: {creationTimestamp: null}
      spec:
        containerConcurrency: 0
        containers:
        - image: host
          command: [./hello]
          imagePullPolicy: Always
          name: user-container
          readinessProbe: {successThreshold: 1, tcpSocket: {port: 0}}
          resources: {}
          securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}, runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
        enableServiceLinks: false
        responseStartTimeoutSeconds: 300
        timeoutSeconds: 300
    traffic:
    - {latestRevision: true, percent: 100}
  status: {url: http://hello.default.example.com}
`)
  assert.equal(service?.metadata.name, 'hello')
  assert.deepEqual(service?.source, { file: 'm.yaml', line: 5 })
  assert.deepEqual(Object.keys(service!.metadata).sort(), ['annotations', 'labels', 'name', 'namespace'])
})

test('an authorization policy with everything that Istio knows is kept as it is written', () => {
  const spec = {
    selector: { matchLabels: { app: 'httpbin', 'serving.knative.dev/service': 'a' } },
    action: 'AUDIT',
    rules: [
      {
        from: [
          {
            source: {
              principals: ['principal', 'prefix-*', '*-suffix', '*'],
              notPrincipals: ['cluster.local/ns/a/sa/b'],
              requestPrincipals: ['https://issuer.example/*'],
              notRequestPrincipals: ['*'],
              namespaces: ['ns', 'ns-*'],
              notNamespaces: ['*-ns'],
              ipBlocks: ['1.2.3.4', '5.6.0.0/16', '::1', '2001:db8::/32', '0.0.0.0/0'],
              notIpBlocks: ['9.0.0.1'],
              remoteIpBlocks: ['1.2.3.4/32'],
              notRemoteIpBlocks: ['::/0'],
            },
          },
          { source: { serviceAccounts: ['baz/sa', 'sa', 'a.b'], notServiceAccounts: ['x/y'] } },
        ],
        to: [
          {
            operation: {
              hosts: ['exact.com', '*.suffix.com', 'prefix.*', '*', 'a.com:8080'],
              notHosts: ['b'],
              ports: ['80', '65535'],
              notPorts: ['1'],
              methods: ['GET', 'P*'],
              notMethods: ['*'],
              paths: [
                '/exact',
                '/prefix/*',
                '*/suffix',
                '*',
                '/a/{*}',
                '/{**}/b',
                '/{*}/{**}',
                '/{*}/x/',
                '/{**}/',
              ],
              notPaths: ['/{*}'],
            },
          },
        ],
        when: [
          { key: 'request.headers[X-Header]', values: ['*'], notValues: ['a b'] },
          { key: 'source.ip', values: ['10.0.0.0/8'] },
          { key: 'remote.ip', notValues: ['::1'] },
          { key: 'source.namespace', values: ['a*'] },
          { key: 'source.principal', values: ['*a'] },
          { key: 'request.auth.principal', values: ['a'] },
          { key: 'request.auth.audiences', values: ['a'] },
          { key: 'request.auth.presenter', values: ['a'] },
          { key: 'request.auth.claims[iss]', values: ['a'] },
          { key: 'request.auth.claims[a.b/c][d e]', values: ['a'] },
          { key: 'destination.ip', values: ['1.1.1.1'] },
          { key: 'destination.port', values: ['1'], notValues: ['65535'] },
          { key: 'connection.sni', values: ['*.a'] },
        ],
      },
      {},
    ],
  }
  for (const version of ['v1', 'v1beta1']) {
    const [policy] = read(
      JSON.stringify({
        apiVersion: `security.istio.io/${version}`,
        kind: 'AuthorizationPolicy',
        metadata: { name: 'p' },
        spec,
      }),
    )
    assert.deepEqual(policy?.spec, spec)
  }
})

test('a policy without rules and one with an empty rule are different things', () => {
  const policies = ofKind(
    read(`${policyWith('{}')}---\n${policyWith('action: DENY\n  rules: [{}]', 'q')}`),
    'AuthorizationPolicy',
  )
  assert.deepEqual(
    policies.map(({ spec }) => spec),
    [
      { action: 'ALLOW', rules: [] },
      { action: 'DENY', rules: [{}] },
    ],
  )
})

test('Sidecar and Telemetry in all their versions', () => {
  const sidecarSpec = {
    workloadSelector: { labels: { app: 'a' } },
    egress: [
      {
        hosts: ['./*', 'shop/cart.shop.svc.cluster.local', '*/*', '~/*', 'a/*.b.c', './cart'],
        captureMode: 'DEFAULT',
      },
    ],
    ingress: [{ port: { number: 8080, protocol: 'HTTP', name: 'http' }, defaultEndpoint: '127.0.0.1:8080' }],
    outboundTrafficPolicy: { mode: 'REGISTRY_ONLY' },
  }
  for (const version of ['v1', 'v1beta1', 'v1alpha3']) {
    assert.deepEqual(
      read(resource(`networking.istio.io/${version}`, 'Sidecar', sidecarSpec))[0]?.spec,
      sidecarSpec,
    )
  }
  const telemetrySpec = {
    selector: { matchLabels: { app: 'a' } },
    tracing: [
      {
        match: { mode: 'CLIENT' },
        providers: [{ name: 'otlp' }],
        randomSamplingPercentage: 54.54,
        useRequestIdForTraceSampling: true,
        disableSpanReporting: false,
        customTags: {
          env: { environment: { name: 'NAME', defaultValue: 'x' } },
          header: { header: { name: 'x-name', defaultValue: 'a b' } },
          literal: { literal: { value: 'v' } },
        },
      },
      { match: { mode: 'SERVER' }, randomSamplingPercentage: 0 },
    ],
    accessLogging: [{ match: { mode: 'SERVER' }, providers: [{ name: 'envoy' }], disabled: true }],
    metrics: [
      {
        providers: [{ name: 'prometheus' }],
        overrides: [
          {
            match: { metric: 'REQUEST_COUNT', mode: 'CLIENT' },
            disabled: false,
            tagOverrides: { source_app: { operation: 'REMOVE' } },
          },
        ],
      },
    ],
  }
  for (const version of ['v1', 'v1alpha1']) {
    assert.deepEqual(
      read(resource(`telemetry.istio.io/${version}`, 'Telemetry', telemetrySpec))[0]?.spec,
      telemetrySpec,
    )
  }
})

test('a mesh without MeshConfig has the defaults; one with takes what is given', () => {
  const defaults = meshConfigOf([])
  assert.deepEqual(
    [
      defaults.trustDomain,
      defaults.rootNamespace,
      defaults.domain,
      defaults.defaultAuthorization,
      defaults.tracePropagation,
    ],
    ['cluster.local', 'mayfly-system', 'localhost', 'deny', ['w3c']],
  )
  const given = {
    trustDomain: 'td.example',
    rootNamespace: 'istio-system',
    pathNormalization: { normalization: 'DECODE_AND_MERGE_SLASHES' },
    defaultConfig: {
      gatewayTopology: { numTrustedProxies: 2 },
      tracing: { sampling: 12.5, customTags: { a: { literal: { value: 'b' } } } },
    },
    jwksHosts: ['login.example'],
    trustDomainAliases: ['old.example'],
    enableTracing: false,
    accessLogFile: '/dev/stdout',
    accessLogFormat: '{"path": "%REQ(:PATH)%", "nested": {"code": "%RESPONSE_CODE%"}}',
    accessLogEncoding: 'JSON',
    extensionProviders: [
      {
        name: 'logs',
        envoyFileAccessLog: { path: 'access.log', logFormat: { labels: { a: '%PROTOCOL%', b: { c: 'd' } } } },
      },
      { name: 'text', envoyFileAccessLog: { path: '/dev/stderr', logFormat: { text: '%PROTOCOL%\n' } } },
      { name: 'otel', opentelemetry: { service: 'otel.monitoring.svc.cluster.local', port: 4317 } },
      { name: 'prometheus', prometheus: {} },
    ],
    defaultProviders: { tracing: ['otel'], accessLogging: ['logs', 'envoy'], metrics: ['prometheus'] },
    outboundTrafficPolicy: { mode: 'REGISTRY_ONLY' },
    domain: 'mesh.example',
    defaultAuthorization: 'allow',
    tracePropagation: ['b3', 'w3c', 'b3single'],
    limits: { ...defaults.limits, maxHeadBytes: 8192 },
    engines: 4,
  }
  const text = resource('mayfly.dev/v1', 'MeshConfig', { ...given, limits: { maxHeadBytes: 8192 } })
  assert.deepEqual(meshConfigOf(read(text)), given)
})

function read(text: string): Resource[] {
  const result = readManifests([{ path: 'm.yaml', text }])
  assert.deepEqual(result.ok ? [] : result.errors, [])
  return result.ok ? result.resources : []
}

function resource(apiVersion: string, kind: string, spec: object): string {
  return JSON.stringify({ apiVersion, kind, metadata: { name: 'x' }, spec })
}

function policyWith(spec: string, name = 'p'): string {
  return `apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: ${name}}\nspec:\n  ${spec}\n`
}
