import type {
  AuthorizationOperation,
  AuthorizationRule,
  AuthorizationSource,
} from '../api/authorization-policy.ts'
import type { Condition as WhenClause } from '../api/condition.ts'
import { ByteWriter } from './byte-writer.ts'
import { type Attribute, type Condition, encodeCondition } from './condition.ts'
import type { TrustDomains } from './trust-domain.ts'

/** A rule as bytes, or every value in it that cannot be compiled. */
export type CompiledRule =
  | { readonly ok: true; readonly bytes: Buffer }
  | { readonly ok: false; readonly problems: readonly RuleProblem[] }

export interface RuleProblem {
  readonly code: 'too-large' | 'bad-value'
  /** "from[0].source.principals". */
  readonly field: string
  readonly problem: string
}

/** A rule block of sidecar/layout/authorization.ts; `namespace` is the policy's. */
export function compileRule(rule: AuthorizationRule, namespace: string, domains: TrustDomains): CompiledRule {
  const problems: RuleProblem[] = []
  const group = (conditions: readonly Placed[]) => encodeGroup(conditions, domains, problems)
  const sources = (rule.from ?? []).map(({ source }, index) =>
    group(sourceConditions(source, namespace, `from[${index}].source`)),
  )
  const operations = (rule.to ?? []).map(({ operation }, index) =>
    group(operationConditions(operation, `to[${index}].operation`)),
  )
  const when = group(
    (rule.when ?? []).flatMap((clause, index) => whenConditions(clause, `when[${index}]`, problems)),
  )
  for (const [field, groups] of [
    ['from', sources],
    ['to', operations],
  ] as const) {
    if (groups.length > MOST_GROUPS) {
      problems.push({
        code: 'too-large',
        field,
        problem: `has ${groups.length} elements, at most ${MOST_GROUPS} fit`,
      })
    }
  }
  if (problems.length > 0) return { ok: false, problems }
  const out = new ByteWriter()
  out.block(() => {
    out.u16(sources.length).u16(operations.length)
    for (const bytes of [...sources, ...operations, when]) out.bytes(bytes)
  })
  return { ok: true, bytes: out.finish() }
}

/** The attribute that a `when` key names, or null for a key that Istio does not know. */
export function whenAttribute(key: string): Attribute | null {
  const header = /^request\.headers\[([^\]]+)\]$/.exec(key)
  // HTTP/1.1 carries the authority in Host; the sidecar forwards one authority whatever was sent.
  if (header?.[1]?.toLowerCase() === 'host') return { kind: 'text', of: 'authority' }
  if (header) return { kind: 'header', name: header[1]! }
  const claims = /^request\.auth\.claims((?:\[[^[\]]+\])+)$/.exec(key)
  if (claims) return { kind: 'claim', path: claims[1]!.slice(1, -1).split('][') }
  return WHEN_ATTRIBUTES.get(key) ?? null
}

const MOST_GROUPS = 0xffff

const WHEN_ATTRIBUTES = new Map<string, Attribute>([
  ['source.ip', { kind: 'ip', of: 'source' }],
  ['remote.ip', { kind: 'ip', of: 'remote' }],
  ['source.namespace', { kind: 'text', of: 'namespace' }],
  ['source.principal', { kind: 'text', of: 'principal' }],
  ['destination.ip', { kind: 'ip', of: 'destination' }],
  ['destination.port', { kind: 'port' }],
  ['connection.sni', { kind: 'text', of: 'sni' }],
  ['request.auth.principal', { kind: 'requestPrincipal' }],
  ['request.auth.audiences', { kind: 'claim', path: ['aud'] }],
  ['request.auth.presenter', { kind: 'claim', path: ['azp'] }],
])

interface Placed extends Condition {
  readonly field: string
}

type Values = readonly string[] | undefined

function sourceConditions(source: AuthorizationSource, namespace: string, field: string): Placed[] {
  return [
    ...both({ kind: 'text', of: 'principal' }, field, 'principals', source.principals, source.notPrincipals),
    ...both({ kind: 'text', of: 'namespace' }, field, 'namespaces', source.namespaces, source.notNamespaces),
    ...both(
      { kind: 'serviceAccount', namespace },
      field,
      'serviceAccounts',
      source.serviceAccounts,
      source.notServiceAccounts,
    ),
    ...both({ kind: 'ip', of: 'source' }, field, 'ipBlocks', source.ipBlocks, source.notIpBlocks),
    ...both(
      { kind: 'ip', of: 'remote' },
      field,
      'remoteIpBlocks',
      source.remoteIpBlocks,
      source.notRemoteIpBlocks,
    ),
    ...both(
      { kind: 'requestPrincipal' },
      field,
      'requestPrincipals',
      source.requestPrincipals,
      source.notRequestPrincipals,
    ),
  ]
}

function operationConditions(operation: AuthorizationOperation, field: string): Placed[] {
  return [
    ...both({ kind: 'text', of: 'method' }, field, 'methods', operation.methods, operation.notMethods),
    ...both({ kind: 'port' }, field, 'ports', operation.ports, operation.notPorts),
    ...both({ kind: 'path' }, field, 'paths', operation.paths, operation.notPaths),
    ...both({ kind: 'text', of: 'host' }, field, 'hosts', operation.hosts, operation.notHosts),
  ]
}

function whenConditions(clause: WhenClause, field: string, problems: RuleProblem[]): Placed[] {
  const attribute = whenAttribute(clause.key)
  if (!attribute) {
    problems.push({
      code: 'bad-value',
      field: `${field}.key`,
      problem: `${JSON.stringify(clause.key)} is not a known condition key`,
    })
    return []
  }
  return both(attribute, field, 'values', clause.values, clause.notValues)
}

function both(
  attribute: Attribute,
  field: string,
  name: string,
  values: Values,
  notValues: Values,
): Placed[] {
  const notName = `not${name[0]!.toUpperCase()}${name.slice(1)}`
  return [
    ...(values?.length ? [{ attribute, negated: false, values, field: `${field}.${name}` }] : []),
    ...(notValues?.length
      ? [{ attribute, negated: true, values: notValues, field: `${field}.${notName}` }]
      : []),
  ]
}

function encodeGroup(conditions: readonly Placed[], domains: TrustDomains, problems: RuleProblem[]): Buffer {
  const encoded = conditions.flatMap((condition) => {
    const result = encodeCondition(condition, domains)
    if (result.ok) return [result]
    problems.push({ code: result.code, field: condition.field, problem: result.problem })
    return []
  })
  const out = new ByteWriter()
  out.block(() => {
    out.u32(encoded.length)
    for (const { bytes } of encoded.toSorted((a, b) => a.cost - b.cost)) out.bytes(bytes)
  })
  return out.finish()
}
