import type { AuthorizationPolicy, AuthorizationRule } from '../api/authorization-policy.ts'
import type { Source } from '../api/manifest-error.ts'
import type { MeshView } from '../policy/compile-policy.ts'
import { contradiction, fitRule } from '../policy/rule-fit.ts'
import { hostCloseness, ruleHost } from '../policy/rule-host.ts'
import { applies } from '../policy/selector.ts'
import { calleeOf, callersOf, factsOf, type GraphCallee, type GraphCaller } from './graph.ts'

/** A policy or a rule that can never match a request of this mesh, and why. */
export interface DeadRule {
  /** "AuthorizationPolicy", "Sidecar" and so on. */
  kind: string
  /** "namespace/name". */
  policy: string
  /** Its index; null: the whole policy. */
  rule: number | null
  source: Source
  why: string
}

/** Every rule that can never match; what it is there for does not happen. */
export function deadRules(view: MeshView): DeadRule[] {
  const callers = callersOf(view)
  const callees = view.functions.map((spec) => calleeOf(view, spec))
  return [
    ...view.authorizationPolicies.flatMap((policy) => deadIn(view, policy, callers, callees)),
    ...idleSelectors(view),
    ...strayHosts(view),
  ]
}

/** Policies of other kinds that select no function. */
function idleSelectors(view: MeshView): DeadRule[] {
  const selecting = [
    ...view.sidecars.map((one) => ({ one, labels: one.spec.workloadSelector?.labels })),
    ...[
      ...view.peerAuthentications,
      ...view.requestAuthentications,
      ...(view.rateLimitPolicies ?? []),
      ...view.telemetries,
      ...(view.wasmPolicies ?? []),
    ].map((one) => ({ one, labels: one.spec.selector?.matchLabels })),
  ]
  return selecting.flatMap(({ one, labels }) => {
    const { metadata, kind, source } = one
    const selected = view.functions.some((fn) =>
      applies(metadata.namespace, labels, fn, view.config.rootNamespace),
    )
    if (selected) return []
    return [
      { kind, policy: `${metadata.namespace}/${metadata.name}`, rule: null, source, why: SELECTS_NOTHING },
    ]
  })
}

/** DestinationRules for no function. */
function strayHosts({ destinationRules, functions }: MeshView): DeadRule[] {
  return destinationRules.flatMap(({ kind, metadata, spec, source }) => {
    const host = ruleHost(spec.host, metadata.namespace)
    if (functions.some((fn) => hostCloseness(host, fn) >= 0)) return []
    const why = `host ${spec.host} names no function`
    return [{ kind, policy: `${metadata.namespace}/${metadata.name}`, rule: null, source, why }]
  })
}

const SELECTS_NOTHING = 'selects no function'

function deadIn(
  view: MeshView,
  policy: AuthorizationPolicy,
  callers: readonly GraphCaller[],
  callees: readonly GraphCallee[],
): DeadRule[] {
  const { metadata, spec, source } = policy
  const name = `${metadata.namespace}/${metadata.name}`
  const dead = (rule: number | null, why: string): DeadRule => ({
    kind: 'AuthorizationPolicy',
    policy: name,
    rule,
    source,
    why,
  })
  const selected = callees.filter(({ policies }) => policies.includes(policy))
  if (selected.length === 0) return [dead(null, SELECTS_NOTHING)]
  return spec.rules.flatMap((rule, index) => {
    const why = whyNever(view, policy, rule, index, selected, callers)
    return why === null ? [] : [dead(index, why)]
  })
}

function whyNever(
  view: MeshView,
  policy: AuthorizationPolicy,
  rule: AuthorizationRule,
  index: number,
  selected: readonly GraphCallee[],
  callers: readonly GraphCaller[],
): string | null {
  const clash = contradiction(rule)
  if (clash) return clash
  const able: string[] = []
  let before: string | null = null
  for (const caller of callers) {
    const fits = selected.filter((fn) => fitRule(rule, factsOf(view, policy, caller, fn)).can)
    if (fits.length > 0) able.push(caller.key)
    for (const fn of fits) {
      if (!caller.reaches(fn.spec)) continue
      const denied = shadow(view, policy, index, caller, fn)
      if (denied === null) return null
      before ??= denied
    }
  }
  if (before !== null) return `every such request is denied before, by ${before}`
  if (able.length === 0) return whyNobody(view, policy, rule, selected, callers)
  const names = able.slice(0, MOST_NAMED).join(', ')
  return `those that it is about (${names}) cannot reach what it selects: by a Sidecar's egress hosts, or since it is cluster-local`
}

const MOST_NAMED = 4

/** Nobody fits the rule: what of it is to blame. */
function whyNobody(
  view: MeshView,
  policy: AuthorizationPolicy,
  rule: AuthorizationRule,
  selected: readonly GraphCallee[],
  callers: readonly GraphCaller[],
): string {
  const able = (part: AuthorizationRule) =>
    callers.some((caller) => selected.some((fn) => fitRule(part, factsOf(view, policy, caller, fn)).can))
  const { from, to, when } = rule
  if (to && !able({ to })) {
    const accepted = [...new Set(selected.flatMap(({ ports }) => ports))].join(', ')
    const asked = to.flatMap(({ operation }) => operation.ports ?? []).join(', ')
    return asked === ''
      ? 'no operation of it is possible'
      : `no function that it selects accepts port ${asked}: they accept ${accepted}`
  }
  if (from && !able({ from })) {
    for (const field of ['principals', 'namespaces', 'serviceAccounts'] as const) {
      const values = from.flatMap(({ source }) => source[field] ?? [])
      const alone = from.map(({ source }) => ({ source: { [field]: source[field] } }))
      if (values.length > 0 && from.every(({ source }) => source[field]) && !able({ from: alone })) {
        return `${field} ${values.slice(0, MOST_NAMED).join(', ')}: no function has such a one`
      }
    }
    return 'no caller fits all that a source asks for at once'
  }
  const clause = when?.find((one) => !able({ when: [one] }))
  if (clause) {
    const values = [...(clause.values ?? []), ...(clause.notValues ?? []).map((value) => `not ${value}`)]
    return `${clause.key} ${values.slice(0, MOST_NAMED).join(', ')}: no call of this mesh has that`
  }
  return 'no call of this mesh fits all its parts at once'
}

/** The DENY rule before an ALLOW or DENY rule that refuses all calls of the caller to the function; null where there is none. */
function shadow(
  view: MeshView,
  policy: AuthorizationPolicy,
  index: number,
  caller: GraphCaller,
  fn: GraphCallee,
): string | null {
  if (policy.spec.action !== 'ALLOW' && policy.spec.action !== 'DENY') return null
  for (const other of fn.policies) {
    if (other.spec.action !== 'DENY') continue
    for (const [i, rule] of other.spec.rules.entries()) {
      if (other === policy && i >= index) return null
      const fit = fitRule(rule, factsOf(view, other, caller, fn))
      if (fit.can && fit.if.length === 0) {
        const { metadata, source } = other
        return `${metadata.namespace}/${metadata.name} rule ${i} (${source.file}:${source.line})`
      }
    }
    if (other === policy) return null
  }
  return null
}
