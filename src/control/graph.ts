import type { AuthorizationPolicy } from '../api/authorization-policy.ts'
import type { FunctionSpec } from '../api/function-spec.ts'
import type { Source } from '../api/manifest-error.ts'
import { policiesFor } from '../policy/authorization.ts'
import type { MeshView } from '../policy/compile-policy.ts'
import { acceptedPorts, knownCallees } from '../policy/egress.ts'
import { type Caller, type CallFacts, fitRule } from '../policy/rule-fit.ts'
import { trustDomainsOf } from '../policy/trust-domain.ts'

/** Who may call whom, as the manifests say it. */
export interface CallGraph {
  functions: GraphFunction[]
  edges: Edge[]
}

export interface GraphFunction {
  /** "namespace/name" */
  key: string
  principal: string
  /** The gateway serves it. */
  public: boolean
  source: Source
}

/** One call that is possible. */
export interface Edge {
  /** The calling function; OUTSIDE: clients of the gateway. */
  from: string
  to: string
  /** Rules that allow it; empty where the mesh's default does. */
  allowedBy: GraphRule[]
  /** DENY rules that may refuse some of these calls. */
  deniedBy: GraphRule[]
  /** CUSTOM rules whose check service is asked for some of them. */
  askedBy: GraphRule[]
}

export interface GraphRule {
  /** "namespace/name" of the AuthorizationPolicy, and the rule's index in it. */
  policy: string
  rule: number
  source: Source
  /** What must hold of the request for the rule to match; empty: every one that this caller sends. */
  if: string[]
}

export const OUTSIDE = 'outside'

/** All calls that are possible, or those of which `only` is one side. */
export function callGraph(view: MeshView, only: string | null = null): CallGraph {
  const callers = callersOf(view)
  const edges: Edge[] = []
  for (const callee of view.functions.map((spec) => calleeOf(view, spec))) {
    for (const caller of callers) {
      if (only !== null && caller.key !== only && callee.spec.key !== only) continue
      if (!caller.reaches(callee.spec)) continue
      const edge = edgeOf(view, caller, callee)
      if (edge) edges.push(edge)
    }
  }
  const functions = view.functions.map(({ key, principal, clusterLocal, source }) => ({
    key,
    principal,
    public: !clusterLocal,
    source,
  }))
  return { functions, edges }
}

/** A caller as rules see it. */
export interface GraphCaller extends Caller {
  /** "namespace/name", or OUTSIDE. */
  readonly key: string
  /** Whether it can find the callee at all: by its Sidecar's egress hosts, from outside by the gateway. */
  readonly reaches: (callee: FunctionSpec) => boolean
}

/** A callee with what its rules are judged by. */
export interface GraphCallee {
  readonly spec: FunctionSpec
  readonly ports: readonly number[]
  /** Those that apply to it, in the order in which they are judged. */
  readonly policies: readonly AuthorizationPolicy[]
}

/** Clients from outside, and every function. */
export function callersOf(view: MeshView): GraphCaller[] {
  const outside = {
    key: OUTSIDE,
    principal: '',
    namespace: '',
    reaches: (callee: FunctionSpec) => !callee.clusterLocal,
  }
  const functions = view.functions.map((spec) => {
    const knows = knownCallees(view, spec)
    const { key, principal, namespace } = spec
    return { key, principal, namespace, reaches: (callee: FunctionSpec) => knows(callee.key) }
  })
  return [outside, ...functions]
}

export function calleeOf(view: MeshView, spec: FunctionSpec): GraphCallee {
  return { spec, ports: acceptedPorts(view, spec), policies: policiesFor(view, spec) }
}

export function factsOf(
  view: MeshView,
  policy: AuthorizationPolicy,
  caller: GraphCaller,
  { ports }: GraphCallee,
): CallFacts {
  return {
    caller,
    ports,
    namespace: policy.metadata.namespace,
    domains: trustDomainsOf(view.config),
  }
}

function edgeOf(view: MeshView, caller: GraphCaller, callee: GraphCallee): Edge | null {
  const { policies } = callee
  const matching = (action: string): GraphRule[] =>
    policies
      .filter(({ spec }) => spec.action === action)
      .flatMap((policy) =>
        policy.spec.rules.flatMap((rule, index) => {
          const fit = fitRule(rule, factsOf(view, policy, caller, callee))
          if (!fit.can) return []
          const { metadata, source } = policy
          return [{ policy: `${metadata.namespace}/${metadata.name}`, rule: index, source, if: [...fit.if] }]
        }),
      )
  const deniedBy = matching('DENY')
  if (deniedBy.some((rule) => rule.if.length === 0)) return null
  const allowedBy = matching('ALLOW')
  const byDefault =
    view.config.defaultAuthorization === 'allow' && !policies.some(({ spec }) => spec.action === 'ALLOW')
  if (allowedBy.length === 0 && !byDefault) return null
  return { from: caller.key, to: callee.spec.key, allowedBy, deniedBy, askedBy: matching('CUSTOM') }
}
