import { z } from 'zod'
import { corsPolicy } from './cors-policy.ts'
import { headers } from './field-operations.ts'
import {
  across,
  type CheckContext,
  filledList,
  integer,
  isMapping,
  list,
  mapping,
  report,
  text,
  unsupported,
} from './fields.ts'
import { durationOrZero, httpFault, percent } from './http-fault.ts'
import { checkRouteName, httpMatch } from './http-match.ts'
import { checkDnsLabel, checkDnsSubdomain, quote } from './kubernetes-name.ts'
import { retryPolicy } from './retry-policy.ts'

/** One route of a VirtualService: which requests take it, and what becomes of them. Istio's HTTPRoute. */
export type HttpRoute = z.output<typeof httpRoute>
export type HttpDestination = z.output<typeof destination>
export type WeightedDestination = z.output<typeof weightedDestination>
export type Rewrite = z.output<typeof rewrite>
export type Redirect = z.output<typeof redirect>
export type DirectResponse = z.output<typeof directResponse>

const destination = mapping({
  host: text((value) =>
    checkDnsSubdomain(value) === null ? null : `${quote(value)} is not the host of a function`,
  ),
  subset: text(checkDnsLabel).optional(),
  port: mapping({ number: integer(1, 65_535) }).optional(),
})

const weightedDestination = mapping({
  destination,
  weight: integer(0, 1_000_000).optional(),
  headers: headers.optional(),
})

/** What Envoy takes as the path to send on: it begins with "/" unless it replaces a prefix. */
const uriText = text((value) =>
  // A fragment is never sent, and a query would be taken for a part of the path.
  /^[!$-;=@-~]+$/.test(value)
    ? null
    : `${quote(value)} is no path: use visible ASCII characters, others as %XX`,
)

const authority = text((value) =>
  /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9_]([-A-Za-z0-9_.]*[A-Za-z0-9_])?)(:[1-9]\d{0,4})?$/.test(value) &&
  value.length <= 259
    ? null
    : `${quote(value)} is no host name with at most a port`,
)

const regexRewrite = mapping({ match: text(checkFilled), rewrite: text() })

const rewrite = across(
  mapping({
    uri: uriText.optional(),
    authority: authority.optional(),
    uriRegexRewrite: regexRewrite.optional(),
  }),
  (value, context) => {
    if (Object.keys(value).length === 0)
      report(context, 'missing-field', 'says nothing: write uri, uriRegexRewrite or authority', ['uri'])
    if (value.uri !== undefined && value.uriRegexRewrite !== undefined)
      report(context, 'conflict', 'stands beside uri: keep one of them', ['uriRegexRewrite'])
  },
)

const redirect = across(
  mapping({
    uri: text((value) =>
      value.startsWith('/') && /^[!-~]+$/.test(value) && !value.includes('#') && !value.includes('%PREFIX()%')
        ? null
        : `${quote(value)} is no path: begin with "/" and use visible ASCII characters, others as %XX`,
    ).optional(),
    authority: authority.optional(),
    scheme: text((value) =>
      /^[a-z][a-z0-9+.-]{0,31}$/.test(value) ? null : `${quote(value)} is no scheme: write http or https`,
    ).optional(),
    port: integer(1, 65_535).optional(),
    derivePort: z.enum(['FROM_PROTOCOL_DEFAULT', 'FROM_REQUEST_PORT']).optional(),
    redirectCode: integer(300, 399)
      .superRefine((value, context) => {
        if (value >= 300 && value <= 399 && ![301, 302, 303, 307, 308].includes(value))
          report(context, 'bad-value', `${value} leads nowhere: write 301, 302, 303, 307 or 308`)
      })
      .default(301),
  }),
  (value, context) => {
    if (['uri', 'authority', 'scheme', 'port'].every((field) => value[field] === undefined))
      report(context, 'missing-field', 'leads to where it came from: write uri, authority, scheme or port', [
        'uri',
      ])
    if (value.port !== undefined && value.derivePort !== undefined)
      report(context, 'conflict', 'stands beside port: keep one of them', ['derivePort'])
  },
)

const directResponse = mapping({
  status: integer(200, 599),
  body: across(
    mapping({
      string: text().optional(),
      bytes: text((value) =>
        /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(value)
          ? null
          : 'is not base64',
      ).optional(),
    }),
    (value, context) => {
      const given = ['string', 'bytes'].filter((field) => value[field] !== undefined)
      if (given.length !== 1)
        report(context, 'missing-field', 'expected string or bytes, one of them', ['string'])
      const length = Buffer.from(
        String(value[given[0] ?? ''] ?? ''),
        given[0] === 'bytes' ? 'base64' : 'utf8',
      ).length
      // Envoy's own bound.
      if (length > 4_096) report(context, 'too-large', `has ${length} bytes, at most 4096 are allowed`)
    },
  ).optional(),
})

const mirror = mapping({ destination, percentage: percent.optional() })

export const httpRoute = across(
  mapping({
    name: text(checkRouteName).optional(),
    match: filledList(httpMatch, 64).optional(),
    route: filledList(weightedDestination, 64).optional(),
    redirect: redirect.optional(),
    directResponse: directResponse.optional(),
    delegate: unsupported('delegation is not available: write the routes here'),
    rewrite: rewrite.optional(),
    timeout: durationOrZero.optional(),
    retries: retryPolicy.optional(),
    fault: httpFault.optional(),
    mirror: destination.optional(),
    mirrors: list(mirror, 15).optional(),
    mirrorPercentage: percent.optional(),
    mirrorPercent: integer(0, 100).optional(),
    corsPolicy: corsPolicy.optional(),
    headers: headers.optional(),
  }),
  checkRoute,
)

/** What only a request that goes on can use. */
const ONLY_FORWARDED = [
  'rewrite',
  'timeout',
  'retries',
  'fault',
  'mirror',
  'mirrors',
  'mirrorPercentage',
  'mirrorPercent',
]

function checkRoute(value: Readonly<Record<string, unknown>>, context: CheckContext): void {
  const actions = ['route', 'redirect', 'directResponse'].filter((field) => value[field] !== undefined)
  if (actions.length === 0)
    report(context, 'missing-field', 'expected route, redirect or directResponse', ['route'])
  if (actions.length > 1)
    report(context, 'conflict', `stands beside ${actions[0]}: keep one of them`, [actions[1]!])
  if (actions.length === 1 && actions[0] !== 'route') {
    for (const field of ONLY_FORWARDED) {
      if (value[field] !== undefined)
        report(context, 'conflict', `has no meaning beside ${actions[0]}: remove it`, [field])
    }
    if (isMapping(value.headers) && value.headers.request !== undefined)
      report(context, 'conflict', `has no meaning beside ${actions[0]}: remove it`, ['headers', 'request'])
  }
  checkWeights(value.route, context)
  checkMirrors(value, context)
}

function checkWeights(route: unknown, context: CheckContext): void {
  if (!Array.isArray(route) || route.length < 2) return
  const weights = route.map((entry) =>
    isMapping(entry) && typeof entry.weight === 'number' ? entry.weight : 0,
  )
  if (weights.reduce((sum, weight) => sum + weight, 0) === 0)
    report(context, 'bad-value', 'no destination has a weight above 0: say how requests are shared', [
      'route',
    ])
}

function checkMirrors(value: Readonly<Record<string, unknown>>, context: CheckContext): void {
  if (value.mirror !== undefined && value.mirrors !== undefined)
    report(context, 'conflict', 'stands beside mirror: keep one of them', ['mirrors'])
  for (const field of ['mirrorPercentage', 'mirrorPercent']) {
    if (value[field] !== undefined && value.mirror === undefined)
      report(context, 'conflict', 'has no meaning without mirror: remove it', [field])
  }
  if (value.mirrorPercentage !== undefined && value.mirrorPercent !== undefined)
    report(context, 'conflict', 'stands beside mirrorPercentage: keep one of them', ['mirrorPercent'])
}

function checkFilled(value: string): string | null {
  return value === '' ? 'is empty' : null
}
