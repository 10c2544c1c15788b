import { checkFieldName, quote } from './kubernetes-name.ts'

// Which header fields a user's policy may read and write. What frames a message or stands between neighbours (RFC 9110 7.6.1),
// what the mesh itself says of a request's way, and its own names are never written by anybody else.

/** A request field that a policy may read. */
export function checkReadableName(name: string): string | null {
  const wrong = checkLowerName(name)
  if (wrong) return wrong
  return isInternal(name) ? `${quote(name)} is a field of the mesh's own: it is not shown` : null
}

/** The same of a response; Set-Cookie cannot be joined to one value (RFC 9110 5.3). */
export function checkReadableResponseName(name: string): string | null {
  if (name === 'set-cookie') return '"set-cookie" cannot be read as one value: only write it'
  return checkReadableName(name)
}

export function checkWritableName(name: string): string | null {
  const wrong = checkLowerName(name)
  if (wrong) return wrong
  if (UNWRITABLE.has(name)) return `${quote(name)} is written by the mesh alone: choose another field`
  return isInternal(name) ? `${quote(name)}: names with x-mayfly- and x-envoy- are the mesh's own` : null
}

function checkLowerName(name: string): string | null {
  const wrong = checkFieldName(name)
  if (wrong) return wrong
  if (name !== name.toLowerCase()) return `${quote(name)}: write names of header fields in lower case`
  return name.length > 255 ? `${quote(name)} is longer than 255 bytes` : null
}

function isInternal(name: string): boolean {
  return name.startsWith('x-mayfly-') || name.startsWith('x-envoy-')
}

const UNWRITABLE: ReadonlySet<string> = new Set([
  'host',
  'content-length',
  'transfer-encoding',
  'connection',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'upgrade',
  'expect',
  'http2-settings',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-authentication-info',
  'x-forwarded-for',
  'x-forwarded-proto',
  'x-forwarded-host',
  'x-forwarded-port',
  'x-forwarded-client-cert',
  'forwarded',
  'x-request-id',
  'traceparent',
  'tracestate',
  'b3',
  'x-b3-traceid',
  'x-b3-spanid',
  'x-b3-parentspanid',
  'x-b3-sampled',
  'x-b3-flags',
])
