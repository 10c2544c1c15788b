import type { FunctionSpec } from '../api/function-spec.ts'
import { type DestinationRulesInput, type HostRule, hostRule } from './destination-rules.ts'
import type { RuleName } from './section.ts'
import { selects } from './selector.ts'
import { type TrafficSettings, trafficSettings } from './traffic-settings.ts'

/** What engines need of the DestinationRules for one function. null in a slice: none applies. */
export interface TrafficPlan {
  /** Every subset that some client may name; its place here, plus 1, is its slot in a view. Slot 0 is the whole function. */
  readonly subsets: readonly string[]
  readonly views: readonly TrafficView[]
  /** Numbers of views: that of a caller by "namespace/name", else that of its namespace, else `otherwise`. */
  readonly byCaller: Readonly<Record<string, number>>
  readonly byNamespace: Readonly<Record<string, number>>
  readonly otherwise: number
  /** That of requests from outside. */
  readonly gateway: number
}

/** The function as some of its clients see it, by slot. */
export interface TrafficView {
  readonly slots: readonly TrafficSlot[]
}

export interface TrafficSlot {
  readonly settings: TrafficSettings
  /** Whether the function's instances belong to it: a subset's labels are compared with the function's. */
  readonly hasInstances: boolean
}

export interface TrafficPlanInput extends DestinationRulesInput {
  readonly functions: readonly FunctionSpec[]
}

/** A function's plan, and the DestinationRule behind each of its views. */
export function trafficPlan(
  input: TrafficPlanInput,
  fn: FunctionSpec,
): { plan: TrafficPlan; rules: readonly RuleName[] } | null {
  if (input.destinationRules.length === 0) return null
  const seen: { view: HostRule | null; number: number }[] = []
  const numberOf = (client: { namespace: string; labels: Readonly<Record<string, string>> }): number => {
    const view = hostRule(input, fn, client)
    const before = seen.find((one) => one.view?.names.join() === view?.names.join())
    if (before) return before.number
    seen.push({ view, number: seen.length })
    return seen.length - 1
  }
  const otherwise = numberOf({ namespace: NOWHERE, labels: {} })
  const gateway = numberOf({ namespace: input.config.rootNamespace, labels: {} })
  const byNamespace: Record<string, number> = {}
  for (const namespace of namespaces(input)) {
    const number = numberOf({ namespace, labels: {} })
    if (number !== otherwise) byNamespace[namespace] = number
  }
  const byCaller: Record<string, number> = {}
  for (const caller of selectedCallers(input)) {
    const number = numberOf(caller)
    if (number !== (Object.hasOwn(byNamespace, caller.namespace) ? byNamespace[caller.namespace] : otherwise))
      byCaller[caller.key] = number
  }
  if (seen.every(({ view }) => view === null)) return null
  const subsets = [...new Set(seen.flatMap(({ view }) => view?.subsets.map(({ name }) => name) ?? []))]
  const views = seen.map(({ view }) => ({ slots: slots(view, subsets, fn) }))
  const rules = seen.map(({ view }) => ({
    policy: view?.names[0] ?? '',
    index: 0,
    source: view?.source ?? fn.source,
  }))
  return { plan: { subsets, views, byCaller, byNamespace, otherwise, gateway }, rules }
}

/** The number of a plan's view for calls of `caller`, "namespace/name"; null: from outside. */
export function viewOf(plan: TrafficPlan, caller: string | null): number {
  if (caller === null) return plan.gateway
  if (Object.hasOwn(plan.byCaller, caller)) return plan.byCaller[caller]!
  const namespace = caller.slice(0, caller.indexOf('/'))
  // A namespace may be called "constructor".
  return Object.hasOwn(plan.byNamespace, namespace) ? plan.byNamespace[namespace]! : plan.otherwise
}

/** No namespace has this name, so only what is exported to all is seen from there. */
const NOWHERE = ''

/** Where clients may see rules that others do not. */
function namespaces({ destinationRules }: TrafficPlanInput): Set<string> {
  return new Set(
    destinationRules.flatMap(({ metadata, spec }) => [
      metadata.namespace,
      ...spec.exportTo.filter((name) => name !== '*' && name !== '.'),
    ]),
  )
}

function selectedCallers({ destinationRules, functions }: TrafficPlanInput): FunctionSpec[] {
  const selectors = destinationRules.filter(({ spec }) => spec.workloadSelector)
  if (selectors.length === 0) return []
  return functions.filter((caller) =>
    selectors.some(
      ({ metadata, spec }) =>
        metadata.namespace === caller.namespace && selects(spec.workloadSelector!.matchLabels, caller),
    ),
  )
}

function slots(view: HostRule | null, subsets: readonly string[], fn: FunctionSpec): TrafficSlot[] {
  const whole = { settings: trafficSettings(view?.trafficPolicy, undefined, fn.port), hasInstances: true }
  return [
    whole,
    ...subsets.map((name) => {
      const subset = view?.subsets.find((one) => one.name === name)
      // A subset that the client's rules do not have is one without instances, as in Istio.
      if (!subset) return { ...whole, hasInstances: false }
      const settings = trafficSettings(view?.trafficPolicy, subset.trafficPolicy, fn.port)
      return { settings, hasInstances: selects(subset.labels, fn) }
    }),
  ]
}
