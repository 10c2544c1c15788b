import { z } from 'zod'
import { checkLogPath, extensionProvider, isLogLabels, type LogLabels } from './extension-provider.ts'
import { across, type CheckContext, integer, isMapping, list, mapping, report, text, word } from './fields.ts'
import { checkDnsLabel, checkDnsSubdomain, quote } from './kubernetes-name.ts'
import { type Manifest, manifest } from './manifest.ts'
import { metadata } from './metadata.ts'
import { customTags, percentage } from './telemetry.ts'

/** What holds for the whole mesh: Istio's MeshConfig and what is Mayfly's own. At most one. */
export type MeshConfig = Manifest<'mayfly.dev/v1', 'MeshConfig', MeshConfigSpec>
export type MeshConfigSpec = z.output<typeof meshConfigSpec>
export type Limits = MeshConfigSpec['limits']

/** The provider of access logs that needs no MeshConfig: lines to standard output. */
export const BUILT_IN_PROVIDER = 'envoy'
/** The provider of metrics that needs no MeshConfig: `mayfly up` serves them; it may be listed too, as Istio's own MeshConfig does. */
export const METRICS_PROVIDER = 'prometheus'

const MINUTE = 60_000
const DAY = 24 * 60 * MINUTE

/** Bounds of an engine; "in flight" and the like count for a whole machine's mesh. */
const limits = mapping({
  /** Largest head of a request or response, in bytes. */
  maxHeadBytes: integer(1_024, 65_536).default(16_384),
  maxConnections: integer(1, 1_000_000).default(16_384),
  maxRequestsInFlight: integer(1, 1_000_000).default(16_384),
  /** Requests of one function that may wait for an instance. */
  maxQueuedRequests: integer(0, 1_000_000).default(1_024),
  /** Longest that a request may wait for an instance. */
  queueTimeoutMs: integer(1, DAY).default(60_000),
  /** From a connection's first byte of a head to its last. */
  headTimeoutMs: integer(1, DAY).default(10_000),
  /** How long a connection may stay open without a request. */
  idleTimeoutMs: integer(1, DAY).default(60_000),
  /** How long a body may stand still. */
  streamIdleTimeoutMs: integer(1, DAY).default(5 * MINUTE),
  connectTimeoutMs: integer(1, DAY).default(5_000),
  /** How long requests in flight may go on after SIGTERM. */
  drainTimeoutMs: integer(0, DAY).default(30_000),
  /** Bytes of one body that may be held while the other side does not take them. */
  maxBodyBufferBytes: integer(1_024, 64 * 1024 * 1024).default(65_536),
})

const defaultConfig = mapping({
  gatewayTopology: mapping({
    numTrustedProxies: integer(0, 100).default(0),
    /** Clients from outside prove no identity to the gateway, so that by all of these their field is dropped, as in Envoy. */
    forwardClientCertDetails: word(
      ['UNDEFINED', 'SANITIZE', 'SANITIZE_SET', 'FORWARD_ONLY', 'APPEND_FORWARD'],
      {
        ALWAYS_FORWARD_ONLY:
          'would let anybody outside pass for a workload: write SANITIZE, or remove the field',
      },
    ).optional(),
  }).prefault({}),
  tracing: mapping({ sampling: percentage.default(1), customTags: customTags.default({}) }).prefault({}),
})

const providerNames = list(text(), 16).default([])

const meshConfigSpec = across(
  mapping({
    trustDomain: text(checkDnsSubdomain).default('cluster.local'),
    /** Other names of the mesh's trust domain: peers and policies that name one mean the same workloads. */
    trustDomainAliases: list(text(checkDnsSubdomain), 16).default([]),
    rootNamespace: text(checkDnsLabel).default('mayfly-system'),
    pathNormalization: mapping({
      normalization: word(['DEFAULT', 'NONE', 'BASE', 'MERGE_SLASHES', 'DECODE_AND_MERGE_SLASHES']).default(
        'DEFAULT',
      ),
    }).prefault({}),
    defaultConfig: defaultConfig.prefault({}),
    enableTracing: z.boolean().default(true),
    accessLogFile: text((value) => (value === '' ? null : checkLogPath(value))).default(''),
    accessLogFormat: text().default(''),
    accessLogEncoding: word(['TEXT', 'JSON']).default('TEXT'),
    extensionProviders: list(extensionProvider, 64).default([]),
    defaultProviders: mapping({
      tracing: providerNames,
      accessLogging: providerNames,
      metrics: providerNames,
    }).prefault({}),
    outboundTrafficPolicy: mapping({
      mode: word(['REGISTRY_ONLY'], {
        ALLOW_ANY: 'the outside world is never reachable: write REGISTRY_ONLY',
      }).default('REGISTRY_ONLY'),
    }).prefault({}),
    domain: text(checkDnsSubdomain).default('localhost'),
    defaultAuthorization: word(['deny', 'allow']).default('deny'),
    tracePropagation: list(word(['w3c', 'b3', 'b3single']), 3).default(['w3c']),
    limits: limits.prefault({}),
    /** Hosts, with a port where it is not the scheme's own, from which the keys of tokens may be fetched. */
    jwksHosts: list(text(checkKeyHost), 64).default([]),
    /** Data-plane threads; 0: as many as suit the machine. */
    engines: integer(0, 256).default(0),
  }),
  checkSpec,
)

export const meshConfigManifest = manifest(['mayfly.dev/v1'], 'MeshConfig', metadata(), meshConfigSpec)

/** The mesh's configuration where no MeshConfig is written. */
export const defaultMeshConfig: MeshConfigSpec = meshConfigSpec.parse({})

/** The labels of a JSON `accessLogFormat`, or null where it is not a JSON mapping. */
export function readLogLabels(format: string): LogLabels | null {
  try {
    const value: unknown = JSON.parse(format)
    return isLogLabels(value) ? value : null
  } catch {
    return null
  }
}

function checkKeyHost(value: string): string | null {
  const url = `https://${value}/`
  const fits = URL.canParse(url) && new URL(url).pathname === '/' && /^[^/?#@\s]+$/.test(value)
  return fits ? null : `${quote(value)} is not a host: write HOST or HOST:PORT`
}

function checkSpec(spec: Readonly<Record<string, unknown>>, context: CheckContext): void {
  const format = spec.accessLogFormat
  if (
    spec.accessLogEncoding === 'JSON' &&
    typeof format === 'string' &&
    format !== '' &&
    !readLogLabels(format)
  ) {
    report(
      context,
      'bad-value',
      'accessLogEncoding is JSON: write a JSON object of names and texts, for example \'{"path": "%REQ(:PATH)%"}\'',
      ['accessLogFormat'],
    )
  }
  checkPropagation(spec.tracePropagation, context)
  checkProviders(spec, context)
}

function checkPropagation(formats: unknown, context: CheckContext): void {
  if (!Array.isArray(formats)) return
  formats.forEach((format, index) => {
    if (formats.indexOf(format) < index)
      report(context, 'conflict', `${format} is listed twice`, ['tracePropagation', index])
  })
}

function checkProviders(spec: Readonly<Record<string, unknown>>, context: CheckContext): void {
  const providers: unknown[] = Array.isArray(spec.extensionProviders) ? spec.extensionProviders : []
  const names: unknown[] = [BUILT_IN_PROVIDER]
  providers.forEach((provider, index) => {
    const name = isMapping(provider) ? provider.name : undefined
    if (name !== undefined && names.includes(name)) {
      report(
        context,
        'conflict',
        name === BUILT_IN_PROVIDER
          ? `${quote(name)} is built in: choose another name`
          : `${quote(String(name))} is listed twice`,
        ['extensionProviders', index, 'name'],
      )
    }
    names.push(name)
  })
  names.push(METRICS_PROVIDER)
  const defaults = isMapping(spec.defaultProviders) ? spec.defaultProviders : {}
  for (const field of ['tracing', 'accessLogging', 'metrics']) {
    const wanted: unknown = defaults[field]
    if (!Array.isArray(wanted)) continue
    wanted.forEach((name: unknown, index) => {
      if (typeof name === 'string' && !names.includes(name)) {
        report(context, 'bad-value', `${quote(name)} is not among extensionProviders`, [
          'defaultProviders',
          field,
          index,
        ])
      }
    })
  }
}
