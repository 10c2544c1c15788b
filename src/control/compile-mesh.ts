import { type FunctionSpec, toFunctionSpec } from '../api/function-spec.ts'
import { formatManifestError, type ManifestError, type Source } from '../api/manifest-error.ts'
import { meshConfigOf, ofKind, type Resource } from '../api/resource.ts'
import type { EngineLimits } from '../dataplane/engine-messages.ts'
import { type CompiledPolicy, compilePolicy, type MeshView } from '../policy/compile-policy.ts'
import { type CheckService, checkServiceOf } from '../policy/external-authorization.ts'
import { observationOf } from '../policy/observation.ts'
import type { FunctionObservation } from '../policy/observation-plan.ts'
import type { QuotaLimit } from '../policy/quota-limit.ts'
import { quotaLimits } from '../policy/rate-limit.ts'
import type { RoutePlan } from '../policy/route-plan.ts'
import { planRoutes } from '../policy/routes.ts'
import { type TokenKeys, tokenKeysOf } from '../policy/token-keys.ts'
import { spanCollector } from '../policy/tracing.ts'
import { type TrafficPlan, trafficPlan } from '../policy/traffic-plan.ts'
import { userPoliciesSlice } from '../policy/user-policies.ts'
import type { UserPoliciesSlice } from '../policy/user-policy-slice.ts'
import { compactCopy } from './compact-copy.ts'
import { servedResources, trafficProblems } from './served-revisions.ts'
import { readUserModules, type UserModules } from './user-modules.ts'

export interface CompiledFunction {
  spec: FunctionSpec
  /** Where its spans go; null: nowhere. */
  collector: string | null
  /** What engines do with what its sidecars find out. */
  observation: FunctionObservation
  /** Whom its CUSTOM policies ask; null where there are none. */
  checkService: CheckService | null
  /** By what its tokens are verified, by the numbers of its rules. */
  tokenKeys: readonly TokenKeys[]
  /** What its rate limits count. */
  quotaLimits: readonly QuotaLimit[]
  /** What its engines run of the policies that users bring; null where there are none. */
  userPolicies: UserPoliciesSlice | null
  /** What the routes of VirtualServices mean; null: none applies. */
  routes: RoutePlan | null
  /** What DestinationRules say of calls to it; null: none applies. */
  traffic: TrafficPlan | null
  policy: CompiledPolicy
}

/** A policy as users wrote it; what it says is in the functions' compiled policies. */
export interface PolicyName {
  kind: string
  namespace: string
  name: string
  source: Source
}

/** A checked state of all manifests, ready to be put into force as a whole. It holds no more than is needed for that. */
export interface CompiledMesh {
  config: MeshView['config']
  /** By kind, namespace and name (policyKey). */
  policies: ReadonlyMap<string, PolicyName>
  functions: ReadonlyMap<string, CompiledFunction>
  /** The policy for requests that name no function. */
  gateway: CompiledPolicy
  gatewayObservation: FunctionObservation
  /** The modules that users' policies bring, by SHA-256. */
  modules: UserModules['bytes']
  /** By the policy that brings it; each is a name in `modules`. */
  moduleHashes: UserModules['hashOf']
  limits: EngineLimits
}

/** Compiles every function's policy. `overrides` stand above MeshConfig. All or nothing. */
export function compileMesh(
  resources: readonly Resource[],
  overrides: Partial<MeshView['config']> = {},
): MeshCompilation {
  return compileView(viewOf(resources.flatMap(servedResources), overrides), resources)
}

export type MeshCompilation = { ok: true; mesh: CompiledMesh } | { ok: false; errors: ManifestError[] }

/** What policies are compiled from. */
export function viewOf(resources: readonly Resource[], overrides: Partial<MeshView['config']>): MeshView {
  const config = { ...meshConfigOf(resources), ...overrides }
  const configSource = ofKind(resources, 'MeshConfig')[0]?.source
  return {
    config,
    ...(configSource && { configSource }),
    authorizationPolicies: ofKind(resources, 'AuthorizationPolicy'),
    peerAuthentications: ofKind(resources, 'PeerAuthentication'),
    requestAuthentications: ofKind(resources, 'RequestAuthentication'),
    rateLimitPolicies: ofKind(resources, 'RateLimitPolicy'),
    sidecars: ofKind(resources, 'Sidecar'),
    destinationRules: ofKind(resources, 'DestinationRule'),
    virtualServices: ofKind(resources, 'VirtualService'),
    telemetries: ofKind(resources, 'Telemetry'),
    wasmPolicies: ofKind(resources, 'WasmPolicy'),
    functions: ofKind(resources, 'Service').map((service) => toFunctionSpec(service, config)),
  }
}

/** Compiles all functions. */
function compileView(view: MeshView, resources: readonly Resource[]): MeshCompilation {
  const problems = new MeshProblems()
  const functions = new Map<string, CompiledFunction>()
  const gateway = compilePolicy(view, null)
  if (!gateway.ok) problems.note(gateway.errors)
  const modules = readUserModules(view.wasmPolicies ?? [])
  if (!modules.ok) problems.note(modules.errors)
  const hashOf = modules.ok ? modules.modules.hashOf : new Map()
  for (const spec of view.functions) {
    const compiled = compileFunction(view, spec, hashOf)
    if (compiled.ok) functions.set(spec.key, compiled.fn)
    else problems.note(compiled.errors)
  }
  for (const service of ofKind(resources, 'Service')) problems.note(trafficProblems(service))
  if (problems.found || !gateway.ok || !modules.ok) return { ok: false, errors: problems.list() }
  const compiled: CompiledMesh = {
    config: view.config,
    policies: new Map(resources.filter(isPolicy).map((one) => [policyKey(one), policyName(one)])),
    functions,
    gateway: gateway.policy,
    gatewayObservation: compactCopy(observationOf(view, null)),
    modules: modules.modules.bytes,
    moduleHashes: modules.modules.hashOf,
    limits: engineLimits(view.config),
  }
  return { ok: true, mesh: compiled }
}

/** What is wrong with a mesh, by its lines, since what is wrong with a mesh-wide setting is wrong with every function's policy. */
export class MeshProblems {
  readonly #errors = new Map<string, ManifestError>()

  note(found: readonly ManifestError[]): void {
    for (const error of found) this.#errors.set(formatManifestError(error), error)
  }

  get found(): boolean {
    return this.#errors.size > 0
  }

  list(): ManifestError[] {
    return [...this.#errors.values()]
  }
}

export type FunctionCompilation = { ok: true; fn: CompiledFunction } | { ok: false; errors: ManifestError[] }

/** Compiles one function; `view` may lack what cannot concern it. */
export function compileFunction(
  view: MeshView,
  spec: FunctionSpec,
  hashOf: UserModules['hashOf'],
): FunctionCompilation {
  const policy = compilePolicy(view, spec)
  if (!policy.ok) return policy
  return { ok: true, fn: detached(compiledFunction(view, spec, policy.policy, hashOf)) }
}

function compiledFunction(
  view: MeshView,
  spec: FunctionSpec,
  policy: CompiledPolicy,
  hashOf: UserModules['hashOf'],
): CompiledFunction {
  return {
    spec,
    collector: spanCollector(view, spec),
    observation: observationOf(view, spec),
    checkService: checkServiceOf(view, spec),
    quotaLimits: quotaLimits(view, spec),
    tokenKeys: tokenKeysOf(view, spec),
    routes: planRoutes(view, spec),
    traffic: trafficPlan(view, spec)?.plan ?? null,
    userPolicies: userPoliciesSlice(view, spec, (one) => hashOf.get(one) ?? ''),
    policy,
  }
}

function detached({ policy, ...rest }: CompiledFunction): CompiledFunction {
  const { bytes, ...names } = policy
  return { ...compactCopy(rest), policy: { bytes, ...compactCopy(names) } }
}

/** What users call a policy: it changes what functions may do, and is none. */
export function isPolicy({ kind }: Resource): boolean {
  return kind !== 'Service' && kind !== 'MeshConfig'
}

export function policyKey({ kind, metadata }: Resource): string {
  return `${kind} ${metadata.namespace}/${metadata.name}`
}

export function policyName({ kind, metadata, source }: Resource): PolicyName {
  return compactCopy({ kind, namespace: metadata.namespace, name: metadata.name, source })
}

/** What MeshConfig does not set is set here. */
function engineLimits({ limits }: MeshView['config']): EngineLimits {
  return {
    maxHeadBytes: limits.maxHeadBytes,
    maxTrailerBytes: 8_192,
    maxConnections: limits.maxConnections,
    maxRequestsInFlight: limits.maxRequestsInFlight,
    maxQueuedRequests: limits.maxQueuedRequests,
    queueTimeoutMs: limits.queueTimeoutMs,
    maxPipelinedBytes: limits.maxBodyBufferBytes,
    headTimeoutMs: limits.headTimeoutMs,
    keepAliveTimeoutMs: limits.idleTimeoutMs,
    streamIdleTimeoutMs: limits.streamIdleTimeoutMs,
    maxIdleUpstreams: 256,
    // Below the 5 s after which Node's own servers, and many others, close an idle connection.
    upstreamIdleMs: 4_000,
    connectTimeoutMs: limits.connectTimeoutMs,
    drainTimeoutMs: limits.drainTimeoutMs,
  }
}
