// The attributes that expressions may name, as Envoy calls them (envoyproxy.io, "Attributes").

export type CelType = 'truth' | 'integer' | 'text' | 'duration'

/** When an attribute is known: with the request's head, with the response's head, when the exchange has ended. */
export type CelPhase = 'request' | 'response' | 'end'

interface Attribute {
  readonly type: CelType
  readonly phase: CelPhase
  /** It is the value of this field of the request. */
  readonly field?: string
}

const request = (type: CelType = 'text'): Attribute => ({ type, phase: 'request' })
const response = (type: CelType = 'text'): Attribute => ({ type, phase: 'response' })
const end = (type: CelType = 'integer'): Attribute => ({ type, phase: 'end' })

export const CEL_ATTRIBUTES: Readonly<Record<string, Attribute>> = {
  /** With its query; `url_path` is without. */
  'request.path': request(),
  'request.url_path': request(),
  'request.query': request(),
  'request.host': request(),
  'request.scheme': request(),
  'request.method': request(),
  'request.protocol': request(),
  'request.id': request(),
  'request.referer': { type: 'text', phase: 'request', field: 'referer' },
  'request.useragent': { type: 'text', phase: 'request', field: 'user-agent' },
  /** Bytes of the body. */
  'request.size': end(),
  'request.duration': end('duration'),
  'response.code': response('integer'),
  'response.code_details': response(),
  /** Envoy's numbers; 0: none. */
  'response.flags': end(),
  'response.size': end(),
  'source.address': request(),
  'source.port': request('integer'),
  'destination.address': request(),
  'destination.port': request('integer'),
  'connection.mtls': request('truth'),
  'connection.uri_san_peer_certificate': request(),
  'connection.uri_san_local_certificate': request(),
  'upstream.address': response(),
  'upstream.port': response('integer'),
}

const NO_GRPC = 'gRPC is not available yet'
const HEADS = 'sizes count bodies here: use request.size and response.size'
const NO_TIME = 'points in time cannot be compared: use request.duration'

/** Attributes of Envoy's that are known by name and not available, with why. */
export const REFUSED_ATTRIBUTES: Readonly<Record<string, string>> = {
  'request.time': NO_TIME,
  'request.total_size': HEADS,
  'response.total_size': HEADS,
  'response.grpc_status': NO_GRPC,
  'response.trailers': 'trailers come when it is decided already',
  'response.backend_latency': 'use request.duration',
  'connection.id': 'connections have no number here',
  'connection.tls_version': 'it is TLS 1.3 wherever there is TLS',
  'connection.requested_server_name': 'use request.host',
}

const NO_METADATA = "Mayfly's sidecars keep no metadata or filter state; use request.headers['x-name']"

export const REFUSED_ROOTS: Readonly<Record<string, string>> = {
  metadata: NO_METADATA,
  filter_state: NO_METADATA,
  upstream_filter_state: NO_METADATA,
  node: NO_METADATA,
  xds: 'there is no xDS here; use request.host or destination.port',
}
