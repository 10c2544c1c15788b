import { z } from 'zod'
import { readDuration } from './duration.ts'
import {
  across,
  type CheckContext,
  integer,
  isMapping,
  list,
  mapping,
  type Reading,
  reading,
  report,
  text,
  unsupported,
} from './fields.ts'
import { checkFieldName, quote } from './kubernetes-name.ts'

/** A check service that speaks HTTP: Istio's envoyExtAuthzHttp, Envoy's HTTP ext_authz contract. */
export type ExternalAuthorizer = z.output<ReturnType<typeof externalAuthorizer>>

/** `checkHost` judges `[NAMESPACE/]HOST`, as other providers write it. */
export function externalAuthorizer(checkHost: (value: string) => string | null) {
  return across(
    mapping({
      service: text(checkHost),
      port: integer(1, 65_535),
      /** Milliseconds until the check counts as failed; Istio's default. */
      timeout: reading(readTimeout).default(600_000),
      pathPrefix: text(checkPathPrefix).default(''),
      failOpen: z.boolean().default(false),
      /** The status that a client gets when the check fails. */
      statusOnError: reading(readStatus).default(403),
      includeRequestHeadersInCheck: list(text(checkHeaderMatch), MOST_NAMES).default([]),
      includeAdditionalHeadersInCheck: z.record(z.string(), text(checkValue)).default({}),
      includeRequestBodyInCheck: unsupported(
        'checks are asked without the body, which streams to the function: remove the field',
      ),
      includeHeadersInCheck: unsupported('is deprecated: write includeRequestHeadersInCheck'),
      headersToUpstreamOnAllow: list(text(checkHeaderMatch), MOST_NAMES).default([]),
      headersToDownstreamOnDeny: list(text(checkHeaderMatch), MOST_NAMES).default([]),
      headersToDownstreamOnAllow: list(text(checkHeaderMatch), MOST_NAMES).default([]),
      clearRouteCache: unsupported('a route is taken once, before policies judge: remove the field'),
    }),
    (value, context) => {
      checkAdditional(value.includeAdditionalHeadersInCheck, context)
      for (const field of RESPONSE_LISTS) checkTaken(field, value[field], context)
    },
  )
}

const MOST_NAMES = 64
const LONGEST_TIMEOUT_MS = 3_600_000

const RESPONSE_LISTS = [
  'headersToUpstreamOnAllow',
  'headersToDownstreamOnDeny',
  'headersToDownstreamOnAllow',
] as const

/** Fields that frame a message or hold between two neighbours only (RFC 9110 7.6.1): never taken from a check service. */
const NEVER = new Set([
  'connection',
  'content-length',
  'host',
  'http2-settings',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authentication-info',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

/** Fields by which the mesh says who calls and by what way; a check service must not forge them. */
const OF_THE_MESH =
  /^(forwarded|x-forwarded-.*|x-request-id|x-envoy-.*|x-mayfly-.*|traceparent|tracestate|b3|x-b3-.*)$/

function checkTaken(field: string, names: unknown, context: CheckContext): void {
  if (!Array.isArray(names)) return
  names.forEach((name: unknown, index) => {
    const lower = typeof name === 'string' ? name.toLowerCase() : ''
    // Envoy lists it as always sent on a denial, so that manifests name it.
    if (field === 'headersToDownstreamOnDeny' && lower === 'content-length') return
    const toUpstream = field === 'headersToUpstreamOnAllow'
    if (!NEVER.has(lower) && !(toUpstream && (OF_THE_MESH.test(lower) || lower === 'expect'))) return
    report(context, 'bad-value', `${quote(lower)} is never taken from a check service: remove it`, [
      field,
      index,
    ])
  })
}

function checkAdditional(fields: unknown, context: CheckContext): void {
  if (!isMapping(fields)) return
  const names = Object.keys(fields)
  const at = 'includeAdditionalHeadersInCheck'
  if (names.length > MOST_NAMES) {
    report(context, 'out-of-range', `has ${names.length} fields, at most ${MOST_NAMES} are allowed`, [at])
  }
  const seen = new Set<string>()
  for (const name of names) {
    const lower = name.toLowerCase()
    const wrong =
      checkFieldName(name) ??
      (NEVER.has(lower) ? `${quote(name)} is written by the mesh itself: remove it` : null) ??
      (seen.has(lower) ? `${quote(name)} is there twice` : null)
    if (wrong) report(context, 'bad-value', wrong, [at, name])
    seen.add(lower)
  }
}

/** `name`, `prefix*`, `*suffix` or `*`. */
function checkHeaderMatch(value: string): string | null {
  if (value === '*') return null
  const inner = value.startsWith('*') ? value.slice(1) : value.endsWith('*') ? value.slice(0, -1) : value
  if (!inner.includes('*') && checkFieldName(inner) === null) return null
  return `${quote(value)} is not a header name: write "name", "prefix*", "*suffix" or "*"`
}

function checkValue(value: string): string | null {
  const fits = /^[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?$/.test(value) || value === ''
  return fits ? null : `${quote(value)} is not a header value: use printable ASCII, without spaces around it`
}

function checkPathPrefix(value: string): string | null {
  if (value === '') return null
  const fits = /^\/[A-Za-z0-9\-._~!$&'()*+,;=:@/%]*$/.test(value)
  return fits ? null : `${quote(value)} is not a path: begin with "/", without query and fragment`
}

function readTimeout(value: string): Reading<number> {
  const read = readDuration(value)
  if (!read.ok || (read.value >= 1 && read.value <= LONGEST_TIMEOUT_MS)) return read
  return { ok: false, problem: `${quote(value)} is out of range: write 1ms to 1h` }
}

function readStatus(value: string): Reading<number> {
  if (/^[45]\d\d$/.test(value)) return { ok: true, value: Number(value) }
  return { ok: false, problem: `${quote(value)} is not an error status: write "400" to "599", in quotes` }
}
