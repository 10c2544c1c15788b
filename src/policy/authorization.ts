import type { AuthorizationPolicy } from '../api/authorization-policy.ts'
import type { FunctionSpec } from '../api/function-spec.ts'
import {
  ACTION_ALLOW,
  ACTION_AUDIT,
  ACTION_CUSTOM,
  ACTION_DENY,
  AUTHORIZATION_DEFAULT_ALLOW,
  AUTHORIZATION_DEFAULT_DENY,
  AUTHZ_POLICY_HEADER,
} from '../sidecar/layout/authorization.ts'
import { ByteWriter } from './byte-writer.ts'
import { compileRule } from './rule.ts'
import { type CompiledSection, MOST_SECTION_BYTES, type RuleName, type SectionProblem } from './section.ts'
import { applies } from './selector.ts'
import { type TrustDomains, trustDomainsOf } from './trust-domain.ts'

/** What the AUTHORIZATION section is compiled from. */
export interface AuthorizationInput {
  readonly config: {
    readonly rootNamespace: string
    readonly trustDomain: string
    readonly trustDomainAliases?: readonly string[]
    readonly defaultAuthorization: 'allow' | 'deny'
  }
  readonly authorizationPolicies: readonly AuthorizationPolicy[]
}

/** The AUTHORIZATION section of a function: the policies that apply to it, in the order in which they are judged. */
export function compileAuthorization(input: AuthorizationInput, fn: FunctionSpec): CompiledSection {
  const policies = policiesFor(input, fn).filter(({ spec }) => spec.action !== 'CUSTOM')
  const byDefault =
    input.config.defaultAuthorization === 'allow' ? AUTHORIZATION_DEFAULT_ALLOW : AUTHORIZATION_DEFAULT_DENY
  const header = new ByteWriter().u32(byDefault).u32(policies.length).finish()
  const encoded = encodePolicies(input, fn, policies, header.length)
  if (!encoded.ok) return encoded
  return { ok: true, bytes: Buffer.concat([header, encoded.bytes]), rules: encoded.rules }
}

/** The policies one after the other (sidecar/layout/authorization.ts), to stand at `offset` of their section. */
export function encodePolicies(
  input: Pick<AuthorizationInput, 'config'>,
  fn: FunctionSpec,
  policies: readonly AuthorizationPolicy[],
  offset: number,
  /** Policies that are judged besides, in another section. */
  others: readonly AuthorizationPolicy[] = [],
): CompiledSection {
  const out = new ByteWriter()
  const rules: RuleName[] = []
  const problems: SectionProblem[] = []
  const domains = trustDomainsOf(input.config)
  let headers = others.reduce((count, policy) => count + headerConditions(policy), 0)
  for (const policy of policies) {
    const before = offset + out.length
    const headersBefore = headers
    headers += headerConditions(policy)
    if (headers > MOST_HEADER_CONDITIONS && headersBefore <= MOST_HEADER_CONDITIONS) {
      const message = `with this policy those of ${fn.key} have ${headers} conditions on headers, at most ${MOST_HEADER_CONDITIONS} can be judged`
      problems.push(problemOf(policy, 'spec.rules', 'too-large', message))
    }
    writePolicy(out, policy, domains, rules, problems)
    const size = offset + out.length
    // The policy with which the bound is passed is named, and no other.
    if (size > MOST_SECTION_BYTES && before <= MOST_SECTION_BYTES) {
      const message = `with this policy those of ${fn.key} take ${size} bytes, at most ${MOST_SECTION_BYTES} fit: shorten its lists`
      problems.push(problemOf(policy, 'spec.rules', 'too-large', message))
    }
  }
  return problems.length > 0 ? { ok: false, problems } : { ok: true, bytes: out.finish(), rules }
}

/** The policies that apply to a function: AUDIT, then DENY, ALLOW and CUSTOM, each by namespace and name. */
export function policiesFor(input: AuthorizationInput, fn: FunctionSpec): AuthorizationPolicy[] {
  const root = input.config.rootNamespace
  return candidates(input.authorizationPolicies, fn, root)
    .filter(({ metadata, spec }) => applies(metadata.namespace, spec.selector?.matchLabels, fn, root))
    .toSorted((a, b) => action(a) - action(b) || compareNames(nameOf(a), nameOf(b)))
}

/** Most policies select one function by this label, and most functions are looked at only for those. */
const NAME_LABEL = 'serving.knative.dev/service'
const indexes = new WeakMap<readonly AuthorizationPolicy[], Map<string, AuthorizationPolicy[]>>()

/** All policies that can apply to a function, and few others. */
function candidates(
  policies: readonly AuthorizationPolicy[],
  { namespace, labels }: FunctionSpec,
  root: string,
): AuthorizationPolicy[] {
  const index = indexes.get(policies) ?? Map.groupBy(policies, indexKey)
  indexes.set(policies, index)
  const name = labels[NAME_LABEL]
  const names = name === undefined ? [undefined] : [undefined, name]
  return [...new Set([namespace, root])].flatMap((one) =>
    names.flatMap((label) => index.get(keyOf(one, label)) ?? []),
  )
}

function indexKey({ metadata, spec }: AuthorizationPolicy): string {
  const labels = spec.selector?.matchLabels
  const isNamed = labels !== undefined && Object.hasOwn(labels, NAME_LABEL)
  return keyOf(metadata.namespace, isNamed ? labels[NAME_LABEL] : undefined)
}

function keyOf(namespace: string, label: string | undefined): string {
  return label === undefined ? namespace : `${namespace} ${label}`
}

/** Each looks through all fields of a head; with the most fields so many take less than half the fuel of a phase. */
const MOST_HEADER_CONDITIONS = 500

function headerConditions({ spec }: AuthorizationPolicy): number {
  const clauses = spec.rules.flatMap((rule) => rule.when ?? [])
  return clauses
    .filter(({ key }) => key.startsWith('request.headers['))
    .reduce((count, { values, notValues }) => count + (values ? 1 : 0) + (notValues ? 1 : 0), 0)
}

function writePolicy(
  out: ByteWriter,
  policy: AuthorizationPolicy,
  domains: TrustDomains,
  rules: RuleName[],
  problems: SectionProblem[],
): void {
  const { metadata, spec, source } = policy
  const firstRule = rules.length
  const bodies: Buffer[] = []
  for (const [index, rule] of spec.rules.entries()) {
    const compiled = compileRule(rule, metadata.namespace, domains)
    rules.push({ policy: nameOf(policy), index, source })
    if (compiled.ok) bodies.push(compiled.bytes)
    else {
      for (const { code, field, problem } of compiled.problems) {
        problems.push(problemOf(policy, `spec.rules[${index}].${field}`, code, problem))
      }
    }
  }
  const name = Buffer.from(nameOf(policy), 'utf8')
  const bodySize = bodies.reduce((size, body) => size + body.length, 0)
  out.block(() => {
    out.u32(action(policy)).u32(bodies.length).u32(firstRule)
    out.u32(AUTHZ_POLICY_HEADER + bodySize).u32(name.length)
    for (const body of bodies) out.bytes(body)
    out.bytes(name)
  })
}

function action({ spec }: AuthorizationPolicy): number {
  switch (spec.action) {
    case 'AUDIT':
      return ACTION_AUDIT
    case 'ALLOW':
      return ACTION_ALLOW
    case 'CUSTOM':
      return ACTION_CUSTOM
    default:
      return ACTION_DENY
  }
}

export function nameOf({ metadata }: AuthorizationPolicy): string {
  return `${metadata.namespace}/${metadata.name}`
}

function compareNames(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

export function problemOf(
  policy: AuthorizationPolicy,
  field: string,
  code: SectionProblem['code'],
  problem: string,
): SectionProblem {
  return {
    code,
    resource: `AuthorizationPolicy ${nameOf(policy)}`,
    source: policy.source,
    field,
    message: problem,
  }
}
