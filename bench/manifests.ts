import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { stringify } from 'yaml'
import type { Rule } from './workload.ts'

// Manifests for the meshes that are measured, as a user would write them.

export const NAMESPACE = 'bench'

/** Writes the manifests of one mesh into a folder of their own. */
export function writeManifests(folder: string, manifests: readonly object[]): string {
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'mesh.yaml'), manifests.map((manifest) => stringify(manifest)).join('---\n'))
  return folder
}

/** A function without instances until it is asked for; `image` as users write it: file:..., endpoint:.... */
export function service(name: string, image: string): object {
  return {
    apiVersion: 'serving.knative.dev/v1',
    kind: 'Service',
    metadata: { name, namespace: NAMESPACE },
    spec: {
      template: {
        metadata: { annotations: { 'autoscaling.knative.dev/initial-scale': '0' } },
        spec: { containers: [{ image }] },
      },
    },
  }
}

/** Anybody may call the function. */
export function openToAll(name: string): object {
  return authorization(name, [{}])
}

/** Who may call a function: one of the rules must match. */
export function authorization(name: string, rules: readonly Rule[]): object {
  return {
    apiVersion: 'security.istio.io/v1',
    kind: 'AuthorizationPolicy',
    metadata: { name, namespace: NAMESPACE },
    spec: {
      selector: { matchLabels: { 'serving.knative.dev/service': name } },
      action: 'ALLOW',
      rules: rules.map(istioRule),
    },
  }
}

function istioRule({ from, to, when }: Rule): object {
  return {
    ...(from === undefined ? {} : { from: [{ source: from }] }),
    ...(to === undefined ? {} : { to: [{ operation: to }] }),
    ...(when === undefined
      ? {}
      : { when: [{ key: `request.headers[${when.header}]`, values: when.values }] }),
  }
}

export type MeshSettings = {
  readonly engines: number
  readonly accessLog?: string
  readonly sinkPort?: number
  /** For functions that no policy allows to be called. */
  readonly defaultAuthorization?: 'allow'
}

/** The mesh's settings: the number of engines, and where access log and spans go. */
export function meshConfig(settings: MeshSettings): object {
  const { engines, accessLog, sinkPort, defaultAuthorization = 'deny' } = settings
  const sink = { name: 'sink', opentelemetry: { service: '127.0.0.1', port: sinkPort } }
  return {
    apiVersion: 'mayfly.dev/v1',
    kind: 'MeshConfig',
    metadata: { name: 'mesh' },
    spec: {
      engines,
      defaultAuthorization,
      ...(accessLog === undefined ? {} : { accessLogFile: accessLog, accessLogEncoding: 'JSON' }),
      ...(sinkPort === undefined ? {} : { extensionProviders: [sink] }),
    },
  }
}

/** Every request is traced to the sink and logged to the mesh's access log. */
export function telemetry(): object {
  return {
    apiVersion: 'telemetry.istio.io/v1',
    kind: 'Telemetry',
    metadata: { name: 'everything', namespace: NAMESPACE },
    spec: {
      tracing: [{ providers: [{ name: 'sink' }], randomSamplingPercentage: 100 }],
      accessLogging: [{ providers: [{ name: 'envoy' }] }],
    },
  }
}
