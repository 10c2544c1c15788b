import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { CertificateAuthority } from '../src/control/certificate-authority.ts'
import { type Child, type Children, freePort } from './children.ts'
import { runEnvoy } from './envoy.ts'
import { authorization, CLAIMS, TOKEN_FILTER } from './envoy-authorization.ts'
import {
  cluster,
  httpConnectionManager,
  jsonAccessLog,
  loopback,
  router,
  SPEAKS_HTTP2,
  tracing,
  typed,
} from './envoy-parts.ts'
import { NAMESPACE } from './manifests.ts'
import {
  BOUNDS,
  CALLEE,
  CALLER,
  OUTLIERS,
  principalOf,
  RETRIES,
  rulesFor,
  TIMEOUT,
  TRUST_DOMAIN,
} from './nine-policies.ts'
import { AUDIENCE, ISSUER } from './tokens.ts'

/** The caller's Envoy and the callee's, as Istio has them in pods of two nodes, with the nine policies. */
export type EnvoyPair = {
  /** Where the caller's Envoy takes calls. */
  readonly port: number
  readonly children: readonly Child[]
  readonly accessLogs: readonly string[]
}

export type PairNeeds = {
  readonly upstream: number
  readonly sinkPort: number
  readonly rateLimitPort: number
  readonly jwks: string
}

export async function startEnvoyPair(children: Children, needs: PairNeeds): Promise<EnvoyPair> {
  const authority = await CertificateAuthority.open()
  const callerTls = await identity(children, authority, CALLER)
  const calleeTls = await identity(children, authority, CALLEE)
  const between = await freePort()
  const calleeLog = join(children.folder, 'envoy-callee-access.json')
  const callee = await runEnvoy(
    children,
    'envoy-callee',
    between,
    inbound(between, needs, calleeTls, calleeLog),
  )
  const port = await freePort()
  const callerLog = join(children.folder, 'envoy-caller-access.json')
  const caller = await runEnvoy(
    children,
    'envoy-caller',
    port,
    outbound(port, between, needs, callerTls, callerLog),
  )
  return { port, children: [caller, callee], accessLogs: [callerLog, calleeLog] }
}

// The client's side: which callees there are, retries, circuit breaking, a client span, mutual TLS.
function outbound(port: number, callee: number, { sinkPort }: PairNeeds, tls: object, accessLog: string) {
  const route = {
    cluster: 'callee',
    timeout: TIMEOUT,
    retry_policy: {
      retry_on: RETRIES.retryOn.replace('503', 'retriable-status-codes'),
      retriable_status_codes: [503],
      num_retries: RETRIES.attempts,
      per_try_timeout: RETRIES.perTryTimeout,
    },
  }
  const domains = [CALLEE, `${CALLEE}.${NAMESPACE}`, `${CALLEE}.${NAMESPACE}.svc.cluster.local`]
  const manager = httpConnectionManager({
    stat_prefix: 'outbound',
    route_config: {
      virtual_hosts: [{ name: 'callee', domains, routes: [{ match: { prefix: '/' }, route }] }],
    },
    http_filters: [router()],
    tracing: tracing(CALLER),
    access_log: [jsonAccessLog(accessLog)],
  })
  const thresholds = [
    {
      max_connections: BOUNDS.connections,
      max_pending_requests: BOUNDS.pending,
      max_requests: BOUNDS.requests,
    },
  ]
  const upstream = cluster('callee', callee, {
    circuit_breakers: { thresholds },
    outlier_detection: {
      consecutive_5xx: OUTLIERS.consecutive5xxErrors,
      interval: OUTLIERS.interval,
      base_ejection_time: OUTLIERS.baseEjectionTime,
      max_ejection_percent: OUTLIERS.maxEjectionPercent,
    },
    transport_socket: typed(TLS, `${TLS_TYPE}.UpstreamTlsContext`, {
      sni: domains.at(-1),
      common_tls_context: tls,
    }),
  })
  return bootstrap(port, 'OUTBOUND', { filters: [manager] }, [
    upstream,
    cluster('sink', sinkPort, SPEAKS_HTTP2),
  ])
}

// The workload's own side: mutual TLS, tokens, authorization, the rate limit, a server span.
function inbound(port: number, needs: PairNeeds, tls: object, accessLog: string) {
  const byClaim = {
    metadata: {
      descriptor_key: 'sub',
      metadata_key: { key: TOKEN_FILTER, path: [{ key: CLAIMS }, { key: 'sub' }] },
    },
  }
  const route = { cluster: 'service', timeout: '0s', rate_limits: [{ actions: [byClaim] }] }
  const manager = httpConnectionManager({
    stat_prefix: 'inbound',
    route_config: {
      virtual_hosts: [{ name: 'service', domains: ['*'], routes: [{ match: { prefix: '/' }, route }] }],
    },
    forward_client_cert_details: 'APPEND_FORWARD',
    set_current_client_cert_details: { subject: true, dns: true, uri: true },
    http_filters: [tokens(needs.jwks), authorization(rulesFor(CALLER)), rateLimit(), router()],
    tracing: tracing(CALLEE),
    access_log: [jsonAccessLog(accessLog)],
  })
  const transport = typed(TLS, `${TLS_TYPE}.DownstreamTlsContext`, {
    require_client_certificate: true,
    common_tls_context: tls,
  })
  return bootstrap(port, 'INBOUND', { filters: [manager], transport_socket: transport }, [
    cluster('service', needs.upstream),
    cluster('sink', needs.sinkPort, SPEAKS_HTTP2),
    cluster('ratelimit', needs.rateLimitPort, SPEAKS_HTTP2),
  ])
}

function bootstrap(port: number, direction: string, chain: object, clusters: object[]) {
  const listener = {
    name: 'proxy',
    address: loopback(port),
    traffic_direction: direction,
    filter_chains: [chain],
  }
  return { static_resources: { listeners: [listener], clusters } }
}

// As Istio compiles a RequestAuthentication: a request without a token goes on without an identity.
function tokens(jwks: string) {
  const provider = {
    issuer: ISSUER,
    audiences: [AUDIENCE],
    local_jwks: { inline_string: jwks },
    payload_in_metadata: CLAIMS,
  }
  const requires = { requires_any: { requirements: [{ provider_name: 'bench' }, { allow_missing: {} }] } }
  return typed(TOKEN_FILTER, 'envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication', {
    providers: { bench: provider },
    rules: [{ match: { prefix: '/' }, requires }],
  })
}

function rateLimit() {
  return typed('envoy.filters.http.ratelimit', 'envoy.extensions.filters.http.ratelimit.v3.RateLimit', {
    domain: 'bench',
    failure_mode_deny: true,
    timeout: '2s',
    rate_limit_service: {
      transport_api_version: 'V3',
      grpc_service: { envoy_grpc: { cluster_name: 'ratelimit' }, timeout: '2s' },
    },
  })
}

const TLS = 'envoy.transport_sockets.tls'
const TLS_TYPE = 'envoy.extensions.transport_sockets.tls.v3'

// What both sides are: TLS 1.3 with a certificate of the mesh's own kind, and a peer of the same trust domain.
async function identity(children: Children, authority: CertificateAuthority, name: string) {
  const svid = await authority.issue(principalOf(name))
  const file = (suffix: string, text: string) => {
    const path = join(children.folder, `envoy-${name}-${suffix}.pem`)
    writeFileSync(path, text, { mode: 0o600 })
    return { filename: path }
  }
  const peer = { san_type: 'URI', matcher: { prefix: `spiffe://${TRUST_DOMAIN}/` } }
  return {
    tls_params: { tls_minimum_protocol_version: 'TLSv1_3', tls_maximum_protocol_version: 'TLSv1_3' },
    tls_certificates: [{ certificate_chain: file('chain', svid.chain), private_key: file('key', svid.key) }],
    validation_context: {
      trusted_ca: file('root', authority.root),
      match_typed_subject_alt_names: [peer],
    },
  }
}
