import type { Instance } from '../runtime/instance.ts'
import type { CompiledFunction } from './compile-mesh.ts'
import type { Mesh } from './mesh.ts'
import { revisionName } from './revision-name.ts'

export interface FunctionStatus {
  namespace: string
  name: string
  principal: string
  /** Where clients reach it; null where it is cluster-local. */
  host: string | null
  revision: string
  ready: number
  desired: number
  concurrency: number
  requests: number
  egress: string | null
  policyHash: string
  /** Why it does not start; null where nothing is wrong. */
  failure: string | null
  source: string
}

export interface InstanceStatus {
  id: string
  function: string
  revision: string
  state: string
  address: string
  node: string | null
  pid: number | null
  startedAt: string
  readyAfterMs: number | null
  egress: string | null
}

export interface PolicyStatus {
  kind: string
  namespace: string
  name: string
  source: string
}

export function functionStatus(mesh: Mesh, { spec, policy }: CompiledFunction): FunctionStatus {
  const controller = mesh.controller(spec.key)
  const { domain } = mesh.compiled.config
  const instances = controller?.instances() ?? []
  return {
    namespace: spec.namespace,
    name: spec.name,
    principal: spec.principal,
    host: spec.clusterLocal ? null : `${spec.name}.${spec.namespace}.${domain}`,
    revision: controller?.revision ?? revisionName(spec.service ?? spec.name, spec.generation ?? 1),
    ready: instances.filter((instance) => instance.state === 'ready').length,
    desired: controller?.desired ?? 0,
    concurrency: spec.concurrency,
    requests: controller?.requests ?? 0,
    egress: mesh.egressUrl(spec.key),
    policyHash: policy.hash,
    failure: controller?.failure()?.reason ?? null,
    source: `${spec.source.file}:${spec.source.line}`,
  }
}

/** The instances of one function; none where it was never asked for. */
export function instanceStatuses(mesh: Mesh, key: string): InstanceStatus[] {
  return (mesh.controller(key)?.instances() ?? []).map((instance) => statusOf(mesh, instance))
}

/** All instances, with those of deleted functions that have not ended yet. */
export function allInstanceStatuses(mesh: Mesh): InstanceStatus[] {
  const running = [...mesh.compiled.functions.keys()].flatMap((key) => instanceStatuses(mesh, key))
  return [...running, ...mesh.leaving().map((instance) => statusOf(mesh, instance))]
}

function statusOf(mesh: Mesh, instance: Instance): InstanceStatus {
  return {
    id: instance.id,
    function: instance.function,
    revision: instance.revision,
    state: instance.state,
    address: instance.address.port === 0 ? '' : `${instance.address.host}:${instance.address.port}`,
    node: mesh.hostOf(instance.id),
    pid: instance.pid,
    startedAt: new Date(instance.startedAt).toISOString(),
    readyAfterMs: instance.readyAfterMs === null ? null : Math.round(instance.readyAfterMs * 10) / 10,
    egress: mesh.egressUrl(instance.function, instance.id),
  }
}

export function policyStatuses(mesh: Mesh): PolicyStatus[] {
  return Array.from(mesh.compiled.policies.values(), ({ source, ...name }) => ({
    ...name,
    source: `${source.file}:${source.line}`,
  }))
}
