// The texts behind REASON_* (record.ts), for the host: a stable code for counters, and what the client is told.

export interface Reason {
  readonly code: string
  readonly text: string
}

/** REASONS[reason]. */
export const REASONS: readonly Reason[] = [
  reason('none', 'refused'),
  reason('request-line', 'the request line is not "METHOD TARGET HTTP/1.x" with single spaces'),
  reason(
    'method',
    'the method is not served: it is in upper case and at most 32 bytes long, and TRACE would show the fields that the mesh adds',
  ),
  reason(
    'target',
    'the request target is not acceptable: a path, http://host/path, or * for OPTIONS, in visible ASCII without "#"',
  ),
  reason('version', 'only HTTP/1.1 and HTTP/1.0 are spoken here'),
  reason('field', 'a line of the head is not "name: value"'),
  reason('field-name', 'a field name is not a token directly followed by ":"'),
  reason('field-value', 'a field value holds a control byte'),
  reason('obs-fold', 'a field is continued on a second line, or a line starts with white space'),
  reason('bare-cr-lf', 'a line does not end in CR LF'),
  reason('head-too-large', 'the head is larger than is accepted'),
  reason('too-many-fields', 'the head has more fields than are accepted'),
  reason('host', 'exactly one Host field is needed, with a host name or IP address and at most a port'),
  reason('content-length', 'Content-Length must be there once, as one whole number'),
  reason('framing', 'the body is framed in two ways, or framed where there can be none'),
  reason('transfer-coding', 'the only transfer coding is "chunked", once, in HTTP/1.1'),
  reason('connection', 'the Connection field is malformed or names a field that it must not take away'),
  reason('expect', 'the only expectation that can be met is "100-continue"'),
  reason('connect', 'CONNECT is not served: calls go by http://callee.namespace/, not through a tunnel'),
  reason('upgrade', 'the Upgrade is malformed, comes with a body, or was not asked for'),
  reason(
    'path',
    'the path holds a bad or NUL escape or a dot segment with parameters, or leads above its root',
  ),
  reason('port', 'the port is not accepted'),
  reason('egress', 'the callee may not be called'),
  reason('authorization', 'not permitted by any AuthorizationPolicy'),
  reason('outside', 'no function of the mesh has that name'),
  reason('status-line', 'the status line is not "HTTP/1.x STATUS REASON"'),
  reason('status', 'the status is not a number from 100 to 999'),
  reason('trailer', 'the trailer section is malformed'),
  reason('policy', 'the sidecar has no policy that it can judge by'),
  reason('memory', "the request does not fit the sidecar's memory"),
  reason('token', 'the token is not acceptable'),
  reason('audience', 'the token is not meant for this function'),
  reason('external', 'refused by the external authorizer'),
  reason('rate-limit', 'too many requests'),
  reason('mutual-tls', 'the connection does not prove who calls'),
  reason('no-route', 'no route of the VirtualService matches the request'),
  reason('route', 'answered by the route'),
  reason('fault', 'fault injection aborted the request'),
  reason('breaker', 'the circuit is open: the function has as many requests as it may have'),
  reason('user-policy', "refused by a user's policy"),
  reason('too-many-added', 'policies add more fields than are accepted'),
]

function reason(code: string, text: string): Reason {
  return { code, text }
}
