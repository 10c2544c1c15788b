// Parts of Envoy's configuration that every Envoy of the benches is made of.

/** A part that names its own message, as filters, transport sockets and loggers do. */
export function typed(name: string, type: string, config: object) {
  return { name, typed_config: { '@type': `type.googleapis.com/${type}`, ...config } }
}

export function loopback(port: number) {
  return { socket_address: { address: '127.0.0.1', port_value: port } }
}

/** An upstream at one port of this machine; `more` replaces its bounds or adds to it. */
export function cluster(name: string, port: number, more: object = {}) {
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
    ...more,
  }
}

/** What gRPC services need of their cluster. */
export const SPEAKS_HTTP2 = {
  typed_extension_protocol_options: {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
      '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
      explicit_http_config: { http2_protocol_options: {} },
    },
  },
}

export function httpConnectionManager(config: object) {
  return typed(
    'envoy.filters.network.http_connection_manager',
    'envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
    { codec_type: 'HTTP1', ...config },
  )
}

export function router() {
  return typed('envoy.filters.http.router', 'envoy.extensions.filters.http.router.v3.Router', {})
}

/** Every request is traced to the cluster `sink`, and batching is left at Envoy's defaults, as Istio leaves it. */
export function tracing(service: string) {
  return {
    random_sampling: { value: 100 },
    provider: typed('envoy.tracers.opentelemetry', 'envoy.config.trace.v3.OpenTelemetryConfig', {
      grpc_service: { envoy_grpc: { cluster_name: 'sink' }, timeout: '5s' },
      service_name: service,
    }),
  }
}

/** A line of JSON for each request, with the fields of Istio's default log format. */
export function jsonAccessLog(path: string) {
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
