// Whether a rule of an AuthorizationPolicy can match a call of one function to another, and on what conditions besides:
// what is known without a request (who calls, at which ports the callee is called) is judged, the rest is told as text.

import type {
  AuthorizationOperation,
  AuthorizationRule,
  AuthorizationSource,
} from '../api/authorization-policy.ts'
import type { Condition } from '../api/condition.ts'
import { canMatchBoth, coversAll, matchesText } from './match-relation.ts'
import { expandTrustDomains, type TrustDomains } from './trust-domain.ts'

/** Who calls: a function by its principal, or ("") somebody from outside. */
export interface Caller {
  readonly principal: string
  readonly namespace: string
}

/** What a rule is judged for. */
export interface CallFacts {
  readonly caller: Caller
  /** The ports at which the callee accepts requests. */
  readonly ports: readonly number[]
  /** The namespace of the policy. */
  readonly namespace: string
  readonly domains: TrustDomains
}

/** A rule that can match, with what must hold of the request besides ([]: nothing); or why it cannot. */
export type Fit =
  | { readonly can: true; readonly if: readonly string[] }
  | { readonly can: false; readonly why: string }

export function fitRule(rule: AuthorizationRule, facts: CallFacts): Fit {
  const from = fitAny((rule.from ?? []).map(({ source }) => fitSource(source, facts)))
  if (!from.can) return from
  const to = fitAny((rule.to ?? []).map(({ operation }) => fitOperation(operation, facts)))
  if (!to.can) return to
  return fitAll([from, to, ...(rule.when ?? []).map((clause) => fitCondition(clause, facts))])
}

const ALWAYS: Fit = { can: true, if: [] }

/** One of them must hold; none at all: nothing is asked. */
function fitAny(fits: readonly Fit[]): Fit {
  if (fits.length === 0) return ALWAYS
  const able = fits.filter((fit) => fit.can)
  if (able.length === 0) return fits[0]!
  if (able.some((fit) => fit.if.length === 0)) return ALWAYS
  const alternatives = [...new Set(able.map((fit) => fit.if.join(', ')))]
  return {
    can: true,
    if: [alternatives.length === 1 ? alternatives[0]! : alternatives.map(bracketed).join(' or ')],
  }
}

function bracketed(text: string): string {
  return `(${text})`
}

/** All of them must hold. */
function fitAll(fits: readonly Fit[]): Fit {
  const conditions: string[] = []
  for (const fit of fits) {
    if (!fit.can) return fit
    conditions.push(...fit.if)
  }
  return { can: true, if: conditions }
}

function fitSource(source: AuthorizationSource, facts: CallFacts): Fit {
  const { caller, domains, namespace } = facts
  return fitAll([
    fitText('principals', expanded(source.principals, domains), caller.principal),
    fitText('notPrincipals', expanded(source.notPrincipals, domains), caller.principal),
    fitText('namespaces', source.namespaces, caller.namespace),
    fitText('notNamespaces', source.notNamespaces, caller.namespace),
    fitText('serviceAccounts', accounts(source.serviceAccounts, namespace), caller.principal),
    fitText('notServiceAccounts', accounts(source.notServiceAccounts, namespace), caller.principal),
    fitOpen('source address', source.ipBlocks, source.notIpBlocks),
    fitOpen('client address', source.remoteIpBlocks, source.notRemoteIpBlocks),
    fitOpen('request principal', source.requestPrincipals, source.notRequestPrincipals),
  ])
}

function fitOperation(operation: AuthorizationOperation, { ports }: CallFacts): Fit {
  return fitAll([
    fitOpen('method', operation.methods, operation.notMethods),
    fitOpen('path', operation.paths, operation.notPaths),
    fitOpen('host', operation.hosts?.map(lower), operation.notHosts?.map(lower)),
    fitPorts(operation.ports, operation.notPorts, ports),
  ])
}

function fitCondition({ key, values, notValues }: Condition, facts: CallFacts): Fit {
  const { caller, domains, ports } = facts
  switch (key) {
    case 'source.principal':
      return fitAll([
        fitText(key, expanded(values, domains), caller.principal),
        fitText(`not ${key}`, expanded(notValues, domains), caller.principal),
      ])
    case 'source.namespace':
      return fitAll([
        fitText(key, values, caller.namespace),
        fitText(`not ${key}`, notValues, caller.namespace),
      ])
    case 'destination.port':
      return fitPorts(values, notValues, ports)
    default:
      return fitOpen(key, values, notValues)
  }
}

type Values = readonly string[] | undefined

/** A text that is known; "" is one that is absent: it matches nothing, and a negated list holds. */
function fitText(name: string, values: Values, text: string): Fit {
  if (!values?.length) return ALWAYS
  const negated = name.startsWith('not')
  const matches = text !== '' && values.some((value) => matchesText(value, text))
  return matches !== negated ? ALWAYS : { can: false, why: `${name} ${listed(values)}: no such caller` }
}

/** What only a request shows; it can't hold where each value is excluded again. */
function fitOpen(name: string, values: Values, notValues: Values): Fit {
  const conditions: string[] = []
  if (values?.length) conditions.push(`${name} ${listed(values)}`)
  if (notValues?.length) {
    const excluded = values?.length
      ? values.every((value) => notValues.some((not) => coversAll(not, value)))
      : notValues.includes('*') && ALWAYS_PRESENT.has(name)
    if (excluded) {
      const wanted = values?.length ? listed(values) : 'any'
      return { can: false, why: `${name} ${wanted} is excluded again by ${listed(notValues)}` }
    }
    conditions.push(`${name} not ${listed(notValues)}`)
  }
  return { can: true, if: conditions }
}

/** What every request has. */
const ALWAYS_PRESENT = new Set(['method', 'path', 'host'])

function fitPorts(values: Values, notValues: Values, ports: readonly number[]): Fit {
  if (!values?.length && !notValues?.length) return ALWAYS
  const fits = (port: number) =>
    (!values?.length || values.includes(String(port))) && !notValues?.includes(String(port))
  const left = ports.filter(fits)
  if (left.length === ports.length) return ALWAYS
  if (left.length > 0) return { can: true, if: [`port ${left.join(' or ')}`] }
  const said = values?.length ? `ports ${listed(values)}` : `not ports ${listed(notValues!)}`
  return { can: false, why: `${said}: the function accepts ${ports.join(', ')}` }
}

/** Why no request whatever fits the rule, by its own lists alone; null where one may. */
export function contradiction(rule: AuthorizationRule): string | null {
  const sources = (rule.from ?? []).map(({ source }) => source)
  const operations = (rule.to ?? []).map(({ operation }) => operation)
  const inSources = allOf(sources, contradictionIn)
  const inOperations = allOf(operations, contradictionIn)
  if (inSources ?? inOperations) return inSources ?? inOperations
  const clauses = rule.when ?? []
  for (const [i, clause] of clauses.entries()) {
    const alone = excluded(clause.key, clause.values, clause.notValues)
    if (alone) return alone
    for (const other of clauses.slice(i + 1)) {
      if (other.key !== clause.key || clause.key.startsWith('request.auth.claims')) continue
      const both = apart(clause.key, clause.values, other.values)
      if (both) return both
    }
    const elsewhere = sharedLists(clause.key, sources, operations)
    const clash =
      elsewhere.length > 0 ? allOf(elsewhere, (values) => apart(clause.key, clause.values, values)) : null
    if (clash) return clash
  }
  return null
}

/** The lists of a rule's alternatives that are about the same thing as a `when` key. */
function sharedLists(
  key: string,
  sources: readonly AuthorizationSource[],
  operations: readonly AuthorizationOperation[],
): Values[] {
  switch (key) {
    case 'source.principal':
      return sources.map(({ principals }) => principals)
    case 'source.namespace':
      return sources.map(({ namespaces }) => namespaces)
    case 'destination.port':
      return operations.map(({ ports }) => ports)
    default:
      return []
  }
}

function contradictionIn(group: AuthorizationSource | AuthorizationOperation): string | null {
  const lists = group as Readonly<Record<string, Values>>
  for (const [name, values] of Object.entries(lists)) {
    const not = `not${name[0]!.toUpperCase()}${name.slice(1)}`
    const found = name.startsWith('not') ? null : excluded(name, values, lists[not])
    if (found) return found
  }
  return null
}

function excluded(name: string, values: Values, notValues: Values): string | null {
  if (!values?.length || !notValues?.length) return null
  if (!values.every((value) => notValues.some((not) => coversAll(not, value)))) return null
  return `${name} ${listed(values)} is excluded again by ${listed(notValues)}`
}

function apart(name: string, a: Values, b: Values): string | null {
  if (!a?.length || !b?.length || isAddress(name)) return null
  if (a.some((one) => b.some((other) => canMatchBoth(one, other)))) return null
  return `${name} is to be ${listed(a)} and ${listed(b)} at once`
}

function isAddress(name: string): boolean {
  return name.endsWith('.ip')
}

/** The first reason, where there is one for each. */
function allOf<T>(items: readonly T[], reasonOf: (item: T) => string | null): string | null {
  if (items.length === 0) return null
  const reasons = items.map(reasonOf)
  return reasons.every((reason) => reason !== null) ? reasons[0]! : null
}

function expanded(values: Values, domains: TrustDomains): Values {
  return values && expandTrustDomains(values, domains)
}

/** As patterns on principals. */
function accounts(values: Values, namespace: string): Values {
  return values?.map((value) => {
    const [ns, name] = value.includes('/') ? value.split('/', 2) : [namespace, value]
    return `*/ns/${ns}/sa/${name}`
  })
}

function lower(value: string): string {
  return value.toLowerCase()
}

function listed(values: readonly string[]): string {
  const shown = values.slice(0, MOST_SHOWN).join(', ')
  return values.length > MOST_SHOWN ? `${shown} and ${values.length - MOST_SHOWN} more` : shown
}

const MOST_SHOWN = 8
