import type { FunctionSlice, MeshSlice } from '../dataplane/engine-messages.ts'
import { accessLogFile } from '../policy/access-log.ts'
import type { CompiledFunction, CompiledMesh } from './compile-mesh.ts'

/** What every engine is told of the mesh as a whole. */
export function meshSlice(compiled: CompiledMesh): MeshSlice {
  const { config } = compiled
  return {
    gatewayPolicy: compiled.gateway.bytes,
    gatewayObservation: compiled.gatewayObservation,
    domain: config.domain,
    accessLogFile: accessLogFile(config),
    limits: compiled.limits,
  }
}

/** What an engine is told of one function. */
export function functionSlice(
  {
    spec,
    collector,
    observation,
    checkService,
    tokenKeys,
    quotaLimits,
    routes,
    traffic,
    userPolicies,
    policy,
  }: CompiledFunction,
  domain: string,
): FunctionSlice {
  const { key, namespace, name, principal, port, timeoutMs, responseStartTimeoutMs, idleTimeoutMs } = spec
  const gatewayHosts = spec.clusterLocal ? [] : [`${name}.${namespace}.${domain}`]
  return {
    key,
    namespace,
    principal,
    port,
    gatewayHosts,
    timeoutMs,
    responseStartTimeoutMs,
    idleTimeoutMs,
    collector,
    observation,
    checkService,
    tokenRules: tokenKeys.map(({ source, timeoutMs }) => ({ keySet: source.id, timeoutMs })),
    quotaLimits,
    routes,
    traffic,
    userPolicies,
    policy: policy.bytes,
    policyHash: policy.hash,
  }
}
