// The names behind the ids of fields.ts, for the host (the guest has them as bytes in field-table.ts).

/** FIELD_NAMES[id] is the lower-case name; "" where an id has none. */
export const FIELD_NAMES: readonly string[] = [
  '',
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
  'x-forwarded-client-cert',
  'x-request-id',
  'forwarded',
  'traceparent',
  'tracestate',
  'b3',
  'x-b3-traceid',
  'x-b3-spanid',
  'x-b3-parentspanid',
  'x-b3-sampled',
  'x-b3-flags',
  'authorization',
  'www-authenticate',
  'authentication-info',
  'cookie',
  'set-cookie',
  'cache-control',
  'pragma',
  'range',
  'max-forwards',
  'content-encoding',
  'content-type',
  'content-range',
  'user-agent',
  'x-forwarded-host',
  'x-forwarded-port',
  'if-match',
  'if-none-match',
  'if-modified-since',
  'if-unmodified-since',
  'if-range',
  'age',
  'date',
  'expires',
  'location',
  'retry-after',
  'vary',
  'warning',
]

/** The hash by which the sidecar knows a field name: FNV-1a, 32 bits, over the lower-cased bytes. */
export function hashFieldName(name: string): number {
  let hash = 2166136261
  for (let i = 0; i < name.length; i++) {
    const byte = name.charCodeAt(i)
    hash = Math.imul(hash ^ (byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte), 16777619) >>> 0
  }
  return hash
}
