import { copyFile, mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { stringify } from 'yaml'
import { ownPolicies, sharedPolicies } from './nine-policies.ts'
import { type Checked, refused } from './problem.ts'
import type { TraceFunction } from './trace.ts'

/** All that a replay applies is of it, but for the mesh's own configuration. */
export const NAMESPACE = 'trace'
const WORK_MODULE = 'work-function.mts'
const FILES = ['functions.yaml', 'policies.yaml', WORK_MODULE]

/** Longer than any invocation works; what waits longer for an instance than the rest of it fails, and is counted. */
export const TIMEOUT_SECONDS = 600

/** By what the mesh knows a function of the trace. */
export function functionKey(one: TraceFunction): string {
  return `${NAMESPACE}/${one.name}`
}

/**
 * Writes a folder that `mayfly up` can run too: a Knative Service for each function, the policies that allow it to be
 * invoked from outside and no more, and the module that they all run. The mesh's access log goes to `accessLog`. A folder
 * that holds anything else is refused, since that would be run as well. With `all`, every function has all nine policies.
 */
export async function writeManifests(
  folder: string,
  functions: readonly TraceFunction[],
  concurrency: number,
  accessLog: string,
  all: AllPolicies | null = null,
): Promise<Checked<undefined>> {
  await mkdir(folder, { recursive: true })
  const foreign = (await readdir(folder)).find((name) => !FILES.includes(name))
  if (foreign !== undefined) {
    return refused({
      code: 'study/out-not-ours',
      file: join(folder, foreign),
      message: 'is not of a replay; give --out a folder of its own or remove it',
    })
  }
  await copyFile(fileURLToPath(new URL('work-function.ts', import.meta.url)), join(folder, WORK_MODULE))
  await writeFile(
    join(folder, 'functions.yaml'),
    documents(functions.map((one) => service(one, concurrency))),
  )
  await writeFile(
    join(folder, 'policies.yaml'),
    documents([meshConfig(accessLog, all), telemetry(), ...policiesOf(functions, all)]),
  )
  return { ok: true, value: undefined }
}

/** What all nine policies need beside the manifests. */
export interface AllPolicies {
  readonly jwks: string
  /** Where spans go. */
  readonly collector: { readonly host: string; readonly port: number }
}

function policiesOf(functions: readonly TraceFunction[], all: AllPolicies | null): object[] {
  if (all === null) return functions.map(invocable)
  const own = functions.flatMap((one) => ownPolicies(one, NAMESPACE, TIMEOUT_SECONDS))
  return [...sharedPolicies(NAMESPACE, all.jwks), ...own]
}

/** As InVitro deploys it: from zero, and an instance is full only when its concurrency is. */
function service(one: TraceFunction, concurrency: number) {
  return {
    apiVersion: 'serving.knative.dev/v1',
    kind: 'Service',
    metadata: { name: one.name, namespace: NAMESPACE },
    spec: {
      template: {
        metadata: {
          annotations: {
            'autoscaling.knative.dev/initial-scale': '0',
            'autoscaling.knative.dev/min-scale': '0',
            'autoscaling.knative.dev/target-utilization-percentage': '100',
          },
        },
        spec: {
          containerConcurrency: concurrency,
          timeoutSeconds: TIMEOUT_SECONDS,
          containers: [{ image: `file:./${WORK_MODULE}` }],
        },
      },
    },
  }
}

/** Who may call: anybody, but only what the work function answers to. */
function invocable(one: TraceFunction) {
  return {
    apiVersion: 'security.istio.io/v1',
    kind: 'AuthorizationPolicy',
    metadata: { name: `${one.name}-invocable`, namespace: NAMESPACE },
    spec: {
      selector: { matchLabels: { 'serving.knative.dev/service': one.name } },
      action: 'ALLOW',
      rules: [{ to: [{ operation: { methods: ['GET'], paths: ['/work'] } }] }],
    },
  }
}

/** Every request is traced and logged, so that the mesh does all of its work. */
function telemetry() {
  return {
    apiVersion: 'telemetry.istio.io/v1',
    kind: 'Telemetry',
    metadata: { name: 'everything', namespace: NAMESPACE },
    spec: {
      accessLogging: [{ providers: [{ name: 'envoy' }] }],
      tracing: [{ randomSamplingPercentage: 100 }],
    },
  }
}

/** Requests wait for an instance as long as a whole one may take: a replay is to show queues, not to cut them short. */
function meshConfig(accessLog: string, all: AllPolicies | null) {
  return {
    apiVersion: 'mayfly.dev/v1',
    kind: 'MeshConfig',
    metadata: { name: 'replay' },
    spec: {
      accessLogFile: accessLog,
      accessLogEncoding: 'JSON',
      ...(all && {
        extensionProviders: [
          { name: 'collector', opentelemetry: { service: all.collector.host, port: all.collector.port } },
        ],
        defaultProviders: { tracing: ['collector'] },
      }),
      limits: { maxQueuedRequests: 100_000, queueTimeoutMs: TIMEOUT_SECONDS * 1000 },
    },
  }
}

function documents(resources: readonly object[]): string {
  return resources.map((resource) => stringify(resource)).join('---\n')
}
