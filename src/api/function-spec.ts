import { dirname, isAbsolute, join } from 'node:path'
import type { Container } from './container.ts'
import { DEFAULT_PORT } from './container.ts'
import type { Address } from './image.ts'
import type { Source } from './manifest-error.ts'
import type { MeshConfigSpec } from './mesh-config.ts'
import { type Probe, toProbe } from './probe.ts'
import { type Resources, toResources } from './resources.ts'
import { type Scaling, toScaling } from './scaling.ts'
import { SERVICE_LABEL, type Service, VISIBILITY_LABEL } from './service.ts'

/** How a function's instances come to be. */
export type FunctionImage =
  | { kind: 'file'; path: string }
  | { kind: 'host'; command: string[]; args: string[] }
  | { kind: 'endpoint'; addresses: Address[] }

/** A function as the rest of the mesh sees it: everything resolved, nothing to default. */
export type FunctionSpec = {
  namespace: string
  name: string
  /** "namespace/name" */
  key: string
  /** The Service of which it is an earlier revision; absent: it is named like its Service, and is its newest revision. */
  service?: string
  /** How often what its instances run by has changed, from 1; absent where no control plane counts it. */
  generation?: number
  /** "trust-domain/ns/namespace/sa/service-account" */
  principal: string
  serviceAccount: string
  /** What selectors see: the template's labels and SERVICE_LABEL. */
  labels: Record<string, string>
  image: FunctionImage
  env: { name: string; value: string }[]
  /** The port that the manifest declares: what policies call the function's port. */
  port: number
  /** null: the manifest's folder. */
  workingDir: string | null
  /** null: an instance is ready as soon as it accepts connections. */
  readiness: Probe | null
  /** What an instance asks for and may use; absent where the manifest says nothing of it. */
  resources?: Resources
  /** Requests that an instance may work on at once; 0: no limit. */
  concurrency: number
  timeoutMs: number
  /** 0: no limit of its own. */
  responseStartTimeoutMs: number
  /** 0: no limit of its own. */
  idleTimeoutMs: number
  scaling: Scaling
  /** The gateway does not serve it. */
  clusterLocal: boolean
  source: Source
}

/** What a checked Service means in a mesh. Relative paths are joined to the folder of the manifest's file. */
export function toFunctionSpec(service: Service, mesh: MeshConfigSpec): FunctionSpec {
  const { name, namespace } = service.metadata
  const { spec, metadata } = service.spec.template
  const container = spec.containers[0]!
  const known = service.revisionOf ?? name
  const serviceAccount = spec.serviceAccountName ?? known
  return {
    namespace,
    name,
    key: `${namespace}/${name}`,
    ...(service.revisionOf !== undefined && { service: service.revisionOf }),
    ...(service.metadata.generation !== undefined && { generation: service.metadata.generation }),
    principal: `${mesh.trustDomain}/ns/${namespace}/sa/${serviceAccount}`,
    serviceAccount,
    labels: { ...metadata.labels, [SERVICE_LABEL]: known },
    image: toImage(container, service.source),
    env: container.env.map((variable) => ({ name: variable.name, value: variable.value })),
    port: container.ports[0]?.containerPort ?? DEFAULT_PORT,
    workingDir:
      container.workingDir === undefined ? null : besideManifest(container.workingDir, service.source),
    readiness: container.readinessProbe ? toProbe(container.readinessProbe) : null,
    ...(container.resources && { resources: toResources(container.resources) }),
    concurrency: spec.containerConcurrency,
    timeoutMs: (spec.timeoutSeconds || DEFAULT_TIMEOUT_SECONDS) * 1_000,
    responseStartTimeoutMs: spec.responseStartTimeoutSeconds * 1_000,
    idleTimeoutMs: spec.idleTimeoutSeconds * 1_000,
    scaling: toScaling(metadata.annotations, spec.containerConcurrency),
    clusterLocal: service.metadata.labels[VISIBILITY_LABEL] === 'cluster-local',
    source: service.source,
  }
}

function toImage(container: Container, source: Source): FunctionImage {
  const { image } = container
  switch (image.kind) {
    case 'file':
      return { kind: 'file', path: besideManifest(image.path, source) }
    case 'host':
      return { kind: 'host', command: container.command ?? [], args: container.args ?? [] }
    case 'endpoint':
      return image
  }
}

function besideManifest(path: string, source: Source): string {
  return isAbsolute(path) ? path : join(dirname(source.file), path)
}

const DEFAULT_TIMEOUT_SECONDS = 300
