import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Child, type Children, freePort, listening } from './children.ts'
import { envoyProgram } from './peers.ts'
import { RULES, type Rule } from './workload.ts'

/** Envoy's equivalents of our three policies; absent: a bare proxy. */
export type EnvoyPolicies = { readonly sinkPort: number }

export type EnvoyProxy = { readonly child: Child; readonly port: number; readonly accessLog: string }

/** Starts Envoy with one worker thread, as a bare HTTP proxy or with authorization, tracing and an access log. */
export async function startEnvoy(
  children: Children,
  name: string,
  upstream: number,
  policies?: EnvoyPolicies,
): Promise<EnvoyProxy> {
  const port = await freePort()
  const accessLog = join(children.folder, `${name}-access.json`)
  const file = join(children.folder, `${name}.json`)
  writeFileSync(file, JSON.stringify(bootstrap(port, upstream, policies, accessLog)))
  const child = children.start(name, envoyProgram(), [
    ...['--config-path', file],
    ...['--concurrency', '1'],
    ...['--log-level', 'warn'],
    // The default of 10 s would leave lines unwritten when they are counted.
    ...['--file-flush-interval-msec', '1000'],
    '--disable-hot-restart',
  ])
  await listening(child, port)
  return { child, port, accessLog }
}

function bootstrap(port: number, upstream: number, policies: EnvoyPolicies | undefined, accessLog: string) {
  return {
    static_resources: {
      listeners: [
        {
          name: 'proxy',
          address: loopback(port),
          filter_chains: [
            {
              filters: [
                typed('envoy.filters.network.http_connection_manager', `${http}.HttpConnectionManager`, {
                  stat_prefix: 'proxy',
                  codec_type: 'HTTP1',
                  route_config: {
                    virtual_hosts: [
                      {
                        name: 'service',
                        domains: ['*'],
                        routes: [{ match: { prefix: '/' }, route: { cluster: 'service' } }],
                      },
                    ],
                  },
                  http_filters: [
                    ...(policies === undefined ? [] : [authorization()]),
                    typed('envoy.filters.http.router', 'envoy.extensions.filters.http.router.v3.Router', {}),
                  ],
                  ...(policies === undefined
                    ? {}
                    : { tracing: tracing(), access_log: [jsonAccessLog(accessLog)] }),
                }),
              ],
            },
          ],
        },
      ],
      clusters: [
        cluster('service', upstream),
        ...(policies === undefined ? [] : [{ ...cluster('sink', policies.sinkPort), ...speaksHttp2 }]),
      ],
    },
  }
}

const http = 'envoy.extensions.filters.network.http_connection_manager.v3'

function typed(name: string, type: string, config: object) {
  return { name, typed_config: { '@type': `type.googleapis.com/${type}`, ...config } }
}

function loopback(port: number) {
  return { socket_address: { address: '127.0.0.1', port_value: port } }
}

function cluster(name: string, port: number) {
  const bounds = { max_connections: 10_000, max_pending_requests: 10_000, max_requests: 10_000 }
  return {
    name,
    type: 'STATIC',
    connect_timeout: '5s',
    circuit_breakers: { thresholds: [bounds] },
    load_assignment: {
      cluster_name: name,
      endpoints: [{ lb_endpoints: [{ endpoint: { address: loopback(port) } }] }],
    },
  }
}

const speaksHttp2 = {
  typed_extension_protocol_options: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
      '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
      explicit_http_config: { http2_protocol_options: {} },
    },
  },
}

// Every request is traced, and batching is left at Envoy's defaults, as Istio leaves it.
function tracing() {
  return {
    random_sampling: { value: 100 },
    provider: typed('envoy.tracers.opentelemetry', 'envoy.config.trace.v3.OpenTelemetryConfig', {
      grpc_service: { envoy_grpc: { cluster_name: 'sink' }, timeout: '5s' },
      service_name: 'proxy',
    }),
  }
}

// The fields of Istio's default log format.
function jsonAccessLog(path: string) {
  const operators = {
    start_time: '%START_TIME%',
    method: '%REQ(:METHOD)%',
    path: '%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%',
    protocol: '%PROTOCOL%',
    response_code: '%RESPONSE_CODE%',
    response_flags: '%RESPONSE_FLAGS%',
    response_code_details: '%RESPONSE_CODE_DETAILS%',
    connection_termination_details: '%CONNECTION_TERMINATION_DETAILS%',
    upstream_transport_failure_reason: '%UPSTREAM_TRANSPORT_FAILURE_REASON%',
    bytes_received: '%BYTES_RECEIVED%',
    bytes_sent: '%BYTES_SENT%',
    duration: '%DURATION%',
    upstream_service_time: '%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%',
    x_forwarded_for: '%REQ(X-FORWARDED-FOR)%',
    user_agent: '%REQ(USER-AGENT)%',
    request_id: '%REQ(X-REQUEST-ID)%',
    authority: '%REQ(:AUTHORITY)%',
    upstream_host: '%UPSTREAM_HOST%',
    upstream_cluster: '%UPSTREAM_CLUSTER%',
    upstream_local_address: '%UPSTREAM_LOCAL_ADDRESS%',
    downstream_local_address: '%DOWNSTREAM_LOCAL_ADDRESS%',
    downstream_remote_address: '%DOWNSTREAM_REMOTE_ADDRESS%',
    requested_server_name: '%REQUESTED_SERVER_NAME%',
    route_name: '%ROUTE_NAME%',
  }
  return typed('envoy.access_loggers.file', 'envoy.extensions.access_loggers.file.v3.FileAccessLog', {
    path,
    log_format: { json_format: operators },
  })
}

// One RBAC policy for each rule, as Istio compiles them; Envoy tries them in the order of their names.
function authorization() {
  const policies = RULES.map((rule, index) => [`rule-${String(index).padStart(2, '0')}`, rbacPolicy(rule)])
  return typed('envoy.filters.http.rbac', 'envoy.extensions.filters.http.rbac.v3.RBAC', {
    rules: { action: 'ALLOW', policies: Object.fromEntries(policies) },
  })
}

function rbacPolicy({ from, to, when }: Rule) {
  const permissions = [
    anyOf(to?.methods, (method) => header(':method', method)),
    not(anyOf(to?.notMethods, (method) => header(':method', method))),
    anyOf(to?.hosts, (host) => header(':authority', host)),
    anyOf(to?.paths, (path) => ({ url_path: { path: stringMatch(path) } })),
    anyOf(to?.ports, (port) => ({ destination_port: Number(port) })),
  ].filter((permission) => permission !== undefined)
  const principals = [
    anyOf(from?.ipBlocks, (block) => ({ direct_remote_ip: addressRange(block) }), 'or_ids'),
    anyOf(when?.values, (value) => header(when!.header, value), 'or_ids'),
  ].filter((principal) => principal !== undefined)
  return {
    permissions: [permissions.length === 0 ? { any: true } : { and_rules: { rules: permissions } }],
    principals: [principals.length === 0 ? { any: true } : { and_ids: { ids: principals } }],
  }
}

function anyOf(
  values: readonly string[] | undefined,
  match: (value: string) => object,
  kind: 'or_rules' | 'or_ids' = 'or_rules',
) {
  if (values === undefined) return undefined
  return { [kind]: { [kind === 'or_rules' ? 'rules' : 'ids']: values.map(match) } }
}

function not(rule: object | undefined) {
  return rule === undefined ? undefined : { not_rule: rule }
}

function header(name: string, value: string) {
  return { header: { name, string_match: stringMatch(value) } }
}

function stringMatch(pattern: string) {
  if (pattern.endsWith('*')) return { prefix: pattern.slice(0, -1) }
  return pattern.startsWith('*') ? { suffix: pattern.slice(1) } : { exact: pattern }
}

function addressRange(block: string) {
  const [address, length] = block.split('/')
  return { address_prefix: address, prefix_len: Number(length) }
}
