import type { DestinationRule, Subset } from '../api/destination-rule.ts'
import type { FunctionSpec } from '../api/function-spec.ts'
import type { Source } from '../api/manifest-error.ts'
import type { TrafficPolicy } from '../api/traffic-policy.ts'
import { hostCloseness, ruleHost } from './rule-host.ts'
import { type Selectable, selects } from './selector.ts'

/** What a client's DestinationRules say together of one host: the first that has a traffic policy, and every subset's first. */
export interface HostRule {
  /** "namespace/name" of the rules that it is made of, and where the first is written. */
  readonly names: readonly string[]
  readonly source: Source
  readonly trafficPolicy: TrafficPolicy | undefined
  readonly subsets: readonly Subset[]
}

export interface DestinationRulesInput {
  readonly config: { readonly rootNamespace: string }
  readonly destinationRules: readonly DestinationRule[]
}

/**
 * What holds for calls of `client` to `fn`, by Istio's order: the rules of the client's namespace, else those that the
 * function's namespace exports to it, else those of the root namespace. The gateway calls from the root namespace.
 * Within one namespace the closest host counts, and a rule whose workloadSelector takes the client before the others.
 */
export function hostRule(
  { config, destinationRules }: DestinationRulesInput,
  fn: FunctionSpec,
  client: Selectable,
): HostRule | null {
  const { rootNamespace } = config
  // What the root namespace exports is for all, and must not stand before a function's own rules for calls of the gateway.
  const local = (rule: DestinationRule) =>
    rule.metadata.namespace === client.namespace && (client.namespace !== rootNamespace || isPrivate(rule))
  const exported = (namespace: string) => (rule: DestinationRule) =>
    rule.metadata.namespace === namespace && isExported(rule, client.namespace)
  for (const visible of [local, exported(fn.namespace), exported(rootNamespace)]) {
    const found = closest(destinationRules.filter(visible), fn, client)
    if (found) return found
  }
  return null
}

function isPrivate({ metadata, spec }: DestinationRule): boolean {
  return (
    spec.exportTo.length > 0 && spec.exportTo.every((name) => name === '.' || name === metadata.namespace)
  )
}

function isExported({ metadata, spec }: DestinationRule, to: string): boolean {
  if (spec.exportTo.length === 0) return true
  return spec.exportTo.some((name) => name === '*' || (name === '.' ? metadata.namespace : name) === to)
}

/** A workloadSelector is for callers in the rule's own namespace alone. */
function takes({ metadata, spec }: DestinationRule, client: Selectable): boolean {
  if (!spec.workloadSelector) return true
  return metadata.namespace === client.namespace && selects(spec.workloadSelector.matchLabels, client)
}

function closest(rules: readonly DestinationRule[], fn: FunctionSpec, client: Selectable): HostRule | null {
  const closeness = (rule: DestinationRule) =>
    hostCloseness(ruleHost(rule.spec.host, rule.metadata.namespace), fn)
  const fitting = rules.filter((rule) => closeness(rule) >= 0 && takes(rule, client))
  const best = Math.max(...fitting.map(closeness))
  const nearest = fitting.filter((rule) => closeness(rule) === best)
  const selected = nearest.filter(({ spec }) => spec.workloadSelector)
  const merged = (selected.length > 0 ? selected : nearest).toSorted((a, b) =>
    nameOf(a) < nameOf(b) ? -1 : 1,
  )
  if (merged.length === 0) return null
  const subsets = new Map<string, Subset>()
  for (const { spec } of merged)
    for (const subset of spec.subsets) if (!subsets.has(subset.name)) subsets.set(subset.name, subset)
  return {
    names: merged.map(nameOf),
    source: merged[0]!.source,
    trafficPolicy: merged.find(({ spec }) => spec.trafficPolicy)?.spec.trafficPolicy,
    subsets: [...subsets.values()],
  }
}

function nameOf({ metadata }: DestinationRule): string {
  return `${metadata.namespace}/${metadata.name}`
}
