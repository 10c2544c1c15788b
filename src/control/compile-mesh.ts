import { type FunctionSpec, toFunctionSpec } from '../api/function-spec.ts'
import type { ManifestError } from '../api/manifest-error.ts'
import { meshConfigOf, ofKind, type Resource } from '../api/resource.ts'
import type { EngineLimits } from '../dataplane/engine-messages.ts'
import { type CompiledPolicy, compilePolicy, type MeshView } from '../policy/compile-policy.ts'

export interface CompiledFunction {
  spec: FunctionSpec
  policy: CompiledPolicy
}

/** A checked state of all manifests, ready to be put into force as a whole. */
export interface CompiledMesh {
  view: MeshView
  functions: ReadonlyMap<string, CompiledFunction>
  /** The policy for requests that name no function. */
  gateway: CompiledPolicy
  limits: EngineLimits
}

/** Compiles every function's policy. `overrides` stand above MeshConfig. All or nothing. */
export function compileMesh(
  resources: readonly Resource[],
  overrides: Partial<MeshView['config']> = {},
): { ok: true; mesh: CompiledMesh } | { ok: false; errors: ManifestError[] } {
  const config = { ...meshConfigOf(resources), ...overrides }
  const specs = ofKind(resources, 'Service').map((service) => toFunctionSpec(service, config))
  const view: MeshView = {
    config,
    authorizationPolicies: ofKind(resources, 'AuthorizationPolicy'),
    sidecars: ofKind(resources, 'Sidecar'),
    telemetries: ofKind(resources, 'Telemetry'),
    functions: specs,
  }
  const errors: ManifestError[] = []
  const functions = new Map<string, CompiledFunction>()
  const gateway = compilePolicy(view, null)
  if (!gateway.ok) errors.push(...gateway.errors)
  for (const spec of specs) {
    const policy = compilePolicy(view, spec)
    if (policy.ok) functions.set(spec.key, { spec, policy: policy.policy })
    else errors.push(...policy.errors)
  }
  if (errors.length > 0 || !gateway.ok) return { ok: false, errors }
  return { ok: true, mesh: { view, functions, gateway: gateway.policy, limits: engineLimits(config) } }
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
