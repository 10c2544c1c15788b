import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readManifests } from './read-manifests.ts'
import { ofKind } from './resource.ts'

function read(spec: string, version = 'networking.istio.io/v1') {
  const text = `apiVersion: ${version}\nkind: DestinationRule\nmetadata: {name: r, namespace: shop}\nspec: ${spec}\n`
  return readManifests([{ path: 'm.yaml', text }])
}

test('a rule with every field is read, with its defaults', () => {
  const result = read(`
  host: cart
  exportTo: [".", "front", "*"]
  workloadSelector: {matchLabels: {app: web}}
  trafficPolicy:
    loadBalancer:
      consistentHash: {httpCookie: {name: seat, path: /a, ttl: 90s}, ringHash: {minimumRingSize: 2048}}
    connectionPool:
      tcp: {maxConnections: 3, connectTimeout: 30ms, maxConnectionDuration: 1m, tcpKeepalive: {probes: 3, time: 7200s, interval: 75s}}
      http: {http1MaxPendingRequests: 1, http2MaxRequests: 2, maxRequestsPerConnection: 4, maxRetries: 5, idleTimeout: 30s, h2UpgradePolicy: DO_NOT_UPGRADE, useClientProtocol: true}
    outlierDetection: {splitExternalLocalOriginErrors: true, consecutiveLocalOriginFailures: 3, consecutiveGatewayErrors: 0, consecutive5xxErrors: 7, interval: 5m, baseEjectionTime: 15m, maxEjectionPercent: 50, minHealthPercent: 10}
    tls: {mode: ISTIO_MUTUAL}
    retryBudget: {percent: 12.5}
    portLevelSettings: [{port: {number: 8080}, loadBalancer: {simple: RANDOM}}]
  subsets:
  - {name: v1, labels: {version: v1}, trafficPolicy: {loadBalancer: {simple: LEAST_CONN}}}`)
  assert.ok(result.ok, JSON.stringify(result))
  const { spec } = ofKind(result.resources, 'DestinationRule')[0]!
  assert.deepEqual(spec.trafficPolicy, {
    loadBalancer: {
      consistentHash: {
        httpCookie: { name: 'seat', path: '/a', ttl: 90 },
        ringHash: { minimumRingSize: 2048 },
      },
    },
    connectionPool: {
      tcp: {
        maxConnections: 3,
        connectTimeout: 30,
        maxConnectionDuration: 60_000,
        tcpKeepalive: { probes: 3, time: 7200, interval: 75 },
      },
      http: {
        http1MaxPendingRequests: 1,
        http2MaxRequests: 2,
        maxRequestsPerConnection: 4,
        maxRetries: 5,
        idleTimeout: 30_000,
        h2UpgradePolicy: 'DO_NOT_UPGRADE',
        useClientProtocol: true,
      },
    },
    outlierDetection: {
      splitExternalLocalOriginErrors: true,
      consecutiveLocalOriginFailures: 3,
      consecutiveGatewayErrors: 0,
      consecutive5xxErrors: 7,
      interval: 300_000,
      baseEjectionTime: 900_000,
      maxEjectionPercent: 50,
      minHealthPercent: 10,
    },
    tls: { mode: 'ISTIO_MUTUAL' },
    retryBudget: { percent: 12.5, minRetryConcurrency: 3 },
    portLevelSettings: [{ port: { number: 8080 }, loadBalancer: { simple: 'RANDOM' } }],
  })
})

test("all of Istio's API versions and forms of a host are read", () => {
  for (const version of ['v1', 'v1beta1', 'v1alpha3'])
    assert.ok(read('{host: a}', `networking.istio.io/${version}`).ok)
  for (const host of [
    'a',
    'a.b',
    'a.b.svc',
    'a.b.svc.cluster.local',
    '*',
    '*.local',
    '*.cluster.local',
    '*.svc.cluster.local',
    '*.b.svc.cluster.local',
  ])
    assert.ok(read(`{host: "${host}"}`).ok, host)
})

const policy = (text: string) => `{host: a, trafficPolicy: {${text}}}`
const REFUSED: [string, string, RegExp][] = [
  ['{}', 'spec.host', /missing/i],
  ['{host: www.google.com}', 'spec.host', /names no function/],
  ['{host: "*.com"}', 'spec.host', /names no function/],
  ['{host: a, exportTo: ["~"]}', 'spec.exportTo[0]', /DNS label/],
  ['{host: a, subsets: [{name: v1}, {name: v1}]}', 'spec.subsets[1].name', /listed twice/],
  ['{host: a, subsets: [{labels: {a: b}}]}', 'spec.subsets[0].name', /missing/i],
  ['{host: a, unknown: 1}', 'spec.unknown', /is not a field here/],
  [
    policy('loadBalancer: {simple: PASSTHROUGH}'),
    'spec.trafficPolicy.loadBalancer.simple',
    /nothing to pass through/,
  ],
  [
    policy('loadBalancer: {simple: RANDOM, consistentHash: {useSourceIp: true}}'),
    'spec.trafficPolicy.loadBalancer',
    /keep one/,
  ],
  [
    policy('loadBalancer: {consistentHash: {}}'),
    'spec.trafficPolicy.loadBalancer.consistentHash',
    /expected httpHeaderName/,
  ],
  [
    policy('loadBalancer: {consistentHash: {useSourceIp: true, httpHeaderName: x}}'),
    'spec.trafficPolicy.loadBalancer.consistentHash',
    /keep one/,
  ],
  [
    policy('loadBalancer: {consistentHash: {useSourceIp: true, maglev: {tableSize: 100}}}'),
    'spec.trafficPolicy.loadBalancer.consistentHash.maglev.tableSize',
    /not a prime/,
  ],
  [
    policy('loadBalancer: {consistentHash: {httpHeaderName: "a b"}}'),
    'spec.trafficPolicy.loadBalancer.consistentHash.httpHeaderName',
    /header name/,
  ],
  [
    policy('loadBalancer: {consistentHash: {httpCookie: {name: a, path: "/;x"}}}'),
    'spec.trafficPolicy.loadBalancer.consistentHash.httpCookie.path',
    /cookie's path/,
  ],
  [
    policy('loadBalancer: {localityLbSetting: {}}'),
    'spec.trafficPolicy.loadBalancer.localityLbSetting',
    /no locality/,
  ],
  [
    policy('loadBalancer: {warmup: {duration: 1m}}'),
    'spec.trafficPolicy.loadBalancer.warmup',
    /not warmed up/,
  ],
  [
    policy('loadBalancer: {warmupDurationSecs: 1m}'),
    'spec.trafficPolicy.loadBalancer.warmupDurationSecs',
    /not warmed up/,
  ],
  [
    policy('connectionPool: {tcp: {connectTimeout: 0s}}'),
    'spec.trafficPolicy.connectionPool.tcp.connectTimeout',
    /too short/,
  ],
  [
    policy('connectionPool: {tcp: {maxConnections: -1}}'),
    'spec.trafficPolicy.connectionPool.tcp.maxConnections',
    /from 0/,
  ],
  [
    policy('connectionPool: {tcp: {idleTimeout: 1s}}'),
    'spec.trafficPolicy.connectionPool.tcp.idleTimeout',
    /http\.idleTimeout/,
  ],
  [
    policy('connectionPool: {tcp: {tcpKeepalive: {time: 10ms}}}'),
    'spec.trafficPolicy.connectionPool.tcp.tcpKeepalive.time',
    /whole seconds/,
  ],
  [
    policy('connectionPool: {http: {h2UpgradePolicy: UPGRADE}}'),
    'spec.trafficPolicy.connectionPool.http.h2UpgradePolicy',
    /HTTP\/2/,
  ],
  [
    policy('connectionPool: {http: {maxConcurrentStreams: 1}}'),
    'spec.trafficPolicy.connectionPool.http.maxConcurrentStreams',
    /HTTP\/2/,
  ],
  [
    policy('outlierDetection: {consecutiveErrors: 5}'),
    'spec.trafficPolicy.outlierDetection.consecutiveErrors',
    /deprecated/,
  ],
  [
    policy('outlierDetection: {consecutiveLocalOriginFailures: 5}'),
    'spec.trafficPolicy.outlierDetection.consecutiveLocalOriginFailures',
    /splitExternal/,
  ],
  [
    policy('outlierDetection: {maxEjectionPercent: 101}'),
    'spec.trafficPolicy.outlierDetection.maxEjectionPercent',
    /from 0 to 100/,
  ],
  [policy('outlierDetection: {interval: 0s}'), 'spec.trafficPolicy.outlierDetection.interval', /too short/],
  [policy('tls: {mode: SIMPLE}'), 'spec.trafficPolicy.tls.mode', /ISTIO_MUTUAL/],
  [
    policy('tls: {mode: ISTIO_MUTUAL, caCertificates: /a}'),
    'spec.trafficPolicy.tls.caCertificates',
    /mesh's own/,
  ],
  [
    policy('portLevelSettings: [{port: {number: 80}}, {port: {number: 80}}]'),
    'spec.trafficPolicy.portLevelSettings[1].port.number',
    /listed twice/,
  ],
  [policy('retryBudget: {percent: 101}'), 'spec.trafficPolicy.retryBudget.percent', /percentage/],
  [policy('tunnel: {}'), 'spec.trafficPolicy.tunnel', /tunnelled/],
  [policy('proxyProtocol: {version: V1}'), 'spec.trafficPolicy.proxyProtocol', /PROXY/],
]

for (const [spec, field, message] of REFUSED) {
  test(`refused: ${spec}`, () => {
    const result = read(spec)
    assert.ok(!result.ok)
    assert.deepEqual(
      result.errors.map((error) => error.field),
      [field],
      JSON.stringify(result.errors),
    )
    assert.match(result.errors[0]!.message, message)
  })
}
