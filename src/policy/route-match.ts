import type { HttpMatch } from '../api/http-match.ts'
import type { StringMatch } from '../api/string-match.ts'
import {
  ON_AUTHORITY,
  ON_FIELD,
  ON_METHOD,
  ON_NAMESPACE,
  ON_PATH,
  ON_PORT,
  ON_PRINCIPAL,
  ON_QUERY_PARAMETER,
  ON_SCHEME,
  ROUTE_CONDITION_ABSENT_IS_EMPTY,
  ROUTE_CONDITION_GATEWAY,
  ROUTE_CONDITION_NOT,
  WHOLE_PATH,
} from '../sidecar/layout/routes.ts'
import { block, listWords, textWords, type Word } from './block.ts'
import { fieldNameHash } from './condition.ts'
import { RouteRefusal } from './route-problem.ts'
import { gatewaysOf, type RouteInput } from './route-services.ts'
import { selects } from './selector.ts'
import { encodeStringList } from './string-match.ts'
import { encodeTextMatch } from './text-match.ts'

/**
 * A match block of layout/routes.ts for one of a route's matches. `from` is whose requests the VirtualService routes
 * (FROM_*), `field` where the match is written. Throws RouteRefusal.
 */
export function encodeMatch(
  input: RouteInput,
  match: HttpMatch,
  routeName: string,
  from: number,
  field: string,
): Buffer {
  const { uri, ignoreUriCase, sourceLabels, sourceNamespace } = match
  const conditions: Buffer[] = []
  if (uri) conditions.push(condition(ON_PATH, encodeTextMatch(uri, `${field}.uri`, ignoreUriCase)))
  else if (ignoreUriCase)
    throw new RouteRefusal(`${field}.ignoreUriCase`, 'has no meaning without uri: remove it')
  for (const [on, name] of PARTS) {
    if (match[name]) conditions.push(condition(on, encodeTextMatch(match[name], `${field}.${name}`)))
  }
  if (match.port !== undefined) conditions.push(condition(ON_PORT, match.port))
  if (sourceNamespace !== undefined) {
    const isGateway = sourceNamespace === input.config.rootNamespace
    conditions.push(
      condition(
        ON_NAMESPACE,
        encodeTextMatch({ exact: sourceNamespace }, field),
        isGateway ? ROUTE_CONDITION_GATEWAY : 0,
      ),
    )
  }
  if (sourceLabels && Object.keys(sourceLabels).length > 0)
    conditions.push(
      condition(ON_PRINCIPAL, callers(input, sourceLabels, sourceNamespace, `${field}.sourceLabels`)),
    )
  for (const [name, one] of entries(match.headers))
    conditions.push(onField(name, one, `${field}.headers.${name}`, 0))
  for (const [name, one] of entries(match.withoutHeaders)) {
    // As in Istio: what only has to be absent, must be; else an absent field is as an empty one.
    const asks = isPresence(one) ? 0 : ROUTE_CONDITION_ABSENT_IS_EMPTY
    conditions.push(onField(name, one, `${field}.withoutHeaders.${name}`, ROUTE_CONDITION_NOT | asks))
  }
  for (const [name, one] of entries(match.queryParams)) {
    const text = encodeTextMatch(one, `${field}.queryParams.${name}`)
    conditions.push(block([ON_QUERY_PARAMETER, text, 0, ...textWords(name)]))
  }
  const only = from & gatewaysOf(match.gateways)
  if (only === 0)
    throw new RouteRefusal(
      `${field}.gateways`,
      'are none of those that the VirtualService is for: no request could match',
    )
  return block([only, ...listWords(conditions), replaced(uri), ...textWords(logName(routeName, match.name))])
}

/** The match of a route that takes every request. */
export function encodeAnyMatch(routeName: string, from: number): Buffer {
  return block([from, ...listWords([]), replaced(undefined), ...textWords(routeName)])
}

const PARTS = [
  [ON_METHOD, 'method'],
  [ON_SCHEME, 'scheme'],
  [ON_AUTHORITY, 'authority'],
] as const

function condition(on: number, operand: Word, bits = 0): Buffer {
  return block([on | (bits << 16), operand, 0, 0, 0])
}

function onField(name: string, match: StringMatch, field: string, bits: number): Buffer {
  const lower = name.toLowerCase()
  return block([
    ON_FIELD | (bits << 16),
    encodeTextMatch(match, field),
    fieldNameHash(lower),
    ...textWords(lower),
  ])
}

function entries(matches: Record<string, StringMatch> | undefined): [string, StringMatch][] {
  return Object.entries(matches ?? {})
}

function isPresence({ exact, prefix, regex }: StringMatch): boolean {
  return (exact === undefined && prefix === undefined && regex === undefined) || regex === '.*'
}

/** How much of the path rewrite.uri replaces: what a prefix matched, else all of it; without uri, the "/" at its beginning. */
function replaced(uri: StringMatch | undefined): number {
  if (!uri) return 1
  return uri.prefix === undefined ? WHOLE_PATH : Buffer.byteLength(uri.prefix)
}

function logName(route: string, match: string | undefined): string {
  if (match === undefined) return route
  return route === '' ? match : `${route}.${match}`
}

/** The principals of the callers with these labels; who shares one with others cannot be told from them. */
function callers(
  { functions }: RouteInput,
  labels: Readonly<Record<string, string>>,
  namespace: string | undefined,
  field: string,
): Buffer {
  const known = functions.filter((fn) => namespace === undefined || fn.namespace === namespace)
  const chosen = known.filter((fn) => selects(labels, fn))
  const principals = new Set(chosen.map(({ principal }) => principal))
  const other = known.find((fn) => principals.has(fn.principal) && !selects(labels, fn))
  if (other) {
    const twin = chosen.find(({ principal }) => principal === other.principal)!
    const message = `${twin.key} has these labels and ${other.key} has not, but both have the service account ${other.serviceAccount}: give them one each`
    throw new RouteRefusal(field, message)
  }
  return encodeStringList([...principals].map((text) => ({ form: 'exact', text })))
}
