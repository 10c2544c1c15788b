// What VirtualServices mean, written down a second time from Istio's reference and Envoy's documentation, in plain
// TypeScript over the manifests: no compiled policy, no sandbox.

export interface ReferenceMatch {
  exact?: string
  prefix?: string
  regex?: string
}

export interface ReferenceCondition {
  uri?: ReferenceMatch
  ignoreUriCase?: boolean
  method?: ReferenceMatch
  authority?: ReferenceMatch
  headers?: Record<string, ReferenceMatch>
  withoutHeaders?: Record<string, ReferenceMatch>
  queryParams?: Record<string, ReferenceMatch>
  sourceNamespace?: string
  gateways?: string[]
}

export interface ReferenceRoute {
  name: string
  match?: ReferenceCondition[]
  rewrite?: { uri?: string; uriRegexRewrite?: { match: string; rewrite: string } }
  headers?: { request?: { set?: Record<string, string>; add?: Record<string, string>; remove?: string[] } }
}

export interface ReferenceRequest {
  /** Namespace of the caller; null: through the gateway. */
  from: string | null
  method: string
  path: string
  query: string | null
  authority: string
  headers: [string, string][]
}

export interface ReferenceOutcome {
  route: string
  path: string
  /** Of names that the routes deal with: the values in their order. */
  headers: Record<string, string[]>
}

/** null: no route takes the request. */
export function referenceRoute(
  routes: readonly ReferenceRoute[],
  request: ReferenceRequest,
): ReferenceOutcome | null {
  for (const route of routes) {
    const conditions = route.match ?? [{}]
    const condition = conditions.find((one) => holds(one, request))
    if (condition)
      return {
        route: route.name,
        path: pathAfter(route, condition, request),
        headers: headersAfter(route, request),
      }
  }
  return null
}

function holds(condition: ReferenceCondition, request: ReferenceRequest): boolean {
  const { uri, ignoreUriCase, method, authority, headers, withoutHeaders, queryParams } = condition
  if (uri && !matches(uri, request.path, ignoreUriCase)) return false
  if (method && !matches(method, request.method)) return false
  if (authority && !matches(authority, request.authority)) return false
  if (
    condition.sourceNamespace !== undefined &&
    (request.from ?? 'mayfly-system') !== condition.sourceNamespace
  )
    return false
  if (condition.gateways && !condition.gateways.includes(request.from === null ? 'mayfly-gateway' : 'mesh'))
    return false
  for (const [name, match] of Object.entries(headers ?? {})) {
    const value = headerOf(request, name)
    if (value === null || !matches(match, value)) return false
  }
  for (const [name, match] of Object.entries(withoutHeaders ?? {})) {
    const value = headerOf(request, name)
    if (asksPresence(match) ? value !== null : matches(match, value ?? '')) return false
  }
  for (const [name, match] of Object.entries(queryParams ?? {})) {
    const pair = (request.query ?? '').split('&').find((one) => one.split('=')[0] === name)
    if (request.query === null || pair === undefined) return false
    if (!matches(match, pair.includes('=') ? pair.slice(pair.indexOf('=') + 1) : '')) return false
  }
  return true
}

function matches({ exact, prefix, regex }: ReferenceMatch, value: string, anyCase = false): boolean {
  const fold = (text: string) => (anyCase ? text.toLowerCase() : text)
  if (exact !== undefined) return fold(value) === fold(exact)
  if (prefix !== undefined) return fold(value).startsWith(fold(prefix))
  return regex === undefined || new RegExp(`^(?:${regex})$`, 'v').test(value)
}

function asksPresence({ exact, prefix, regex }: ReferenceMatch): boolean {
  return exact === undefined && prefix === undefined && (regex === undefined || regex === '.*')
}

/** Repeated fields are one, with commas. */
function headerOf({ headers }: ReferenceRequest, name: string): string | null {
  const values = headers.filter(([one]) => one.toLowerCase() === name.toLowerCase()).map(([, value]) => value)
  return values.length === 0 ? null : values.join(',')
}

function pathAfter(
  { rewrite }: ReferenceRoute,
  { uri }: ReferenceCondition,
  { path }: ReferenceRequest,
): string {
  if (rewrite?.uri !== undefined) {
    if (!uri) return rewrite.uri + path.slice(1)
    return uri.prefix === undefined ? rewrite.uri : rewrite.uri + path.slice(uri.prefix.length)
  }
  if (!rewrite?.uriRegexRewrite) return path
  const by = rewrite.uriRegexRewrite.rewrite
    .replaceAll('$', '$$$$')
    .replace(/\\(\d)/g, (_, digit) => (digit === '0' ? '$&' : `$${digit}`))
  return path.replace(new RegExp(rewrite.uriRegexRewrite.match, 'gv'), by)
}

function headersAfter({ headers }: ReferenceRoute, request: ReferenceRequest): Record<string, string[]> {
  const { set = {}, add = {}, remove = [] } = headers?.request ?? {}
  const lower = (pairs: readonly [string, string][]) =>
    pairs.map(([name, value]) => [name.toLowerCase(), value] as const)
  const gone = new Set([...remove, ...Object.keys(set)].map((name) => name.toLowerCase()))
  const all = [
    ...lower(request.headers).filter(([name]) => !gone.has(name)),
    ...lower(Object.entries(set)),
    ...lower(Object.entries(add)),
  ]
  const fields: Record<string, string[]> = {}
  for (const [name, value] of all) fields[name] = [...(fields[name] ?? []), value]
  return fields
}
