// Runs real sidecars for the tests of tracing and access logs: a request through them, and its response.

import { readFileSync } from 'node:fs'
import { buildSidecar, sidecarIsCurrent } from '../../scripts/build-sidecar.ts'
import type { FunctionSpec } from '../api/function-spec.ts'
import { defaultMeshConfig, type MeshConfigSpec } from '../api/mesh-config.ts'
import type { Telemetry } from '../api/telemetry.ts'
import { compilePolicy } from '../policy/compile-policy.ts'
import { DIRECTION_INGRESS } from '../sidecar/layout/record.ts'
import { ipBytes } from './ip-bytes.ts'
import {
  type ConnectionFacts,
  type Decision,
  loadSidecars,
  type ResponseDecision,
  type Sidecars,
} from './sidecar.ts'

const wasm = new URL('../../build/sidecar.wasm', import.meta.url)
if (!sidecarIsCurrent()) {
  const failure = await buildSidecar()
  if (failure !== undefined) throw new Error(failure)
}
export const sidecars: Sidecars = loadSidecars(readFileSync(wasm))

/** 2026-11-24T13:40:07.123Z */
export const NOW = Date.UTC(2026, 10, 24, 13, 40, 7, 123)
/** 00 01 02 ... 2f: trace id 000102...0f, span id 10...17, and so on. */
export const RANDOM = Buffer.from(Array.from({ length: 48 }, (_, i) => i))

export const cart: FunctionSpec = {
  namespace: 'shop',
  name: 'cart',
  key: 'shop/cart',
  principal: 'cluster.local/ns/shop/sa/cart',
  serviceAccount: 'cart',
  labels: { app: 'cart', 'serving.knative.dev/service': 'cart' },
  image: { kind: 'endpoint', addresses: [{ host: '127.0.0.1', port: 9001 }] },
  env: [],
  port: 8080,
  workingDir: null,
  readiness: null,
  concurrency: 0,
  timeoutMs: 300_000,
  responseStartTimeoutMs: 0,
  idleTimeoutMs: 0,
  scaling: {} as FunctionSpec['scaling'],
  clusterLocal: false,
  source: { file: 'cart.yaml', line: 1 },
}

/** A function's policy; throws where it does not compile, with the errors' messages. */
export function policyOf(
  config: Partial<MeshConfigSpec>,
  telemetries: readonly Telemetry[] = [],
  fn: FunctionSpec | null = cart,
): Buffer {
  const compiled = compilePolicy(
    {
      config: { ...defaultMeshConfig, defaultAuthorization: 'allow', ...config },
      authorizationPolicies: [],
      peerAuthentications: [],
      requestAuthentications: [],
      sidecars: [],
      destinationRules: [],
      telemetries,
      functions: [cart],
    },
    fn,
  )
  if (!compiled.ok)
    throw new Error(compiled.errors.map((error) => `${error.field}: ${error.message}`).join('\n'))
  return compiled.policy.bytes
}

export interface RequestFacts extends Partial<ConnectionFacts> {
  random?: Buffer
  now?: number
  target?: string
}

/** Runs the request phase over a head given as text (latin1). */
export function decide(policy: Buffer, head: string, facts: RequestFacts = {}): Decision {
  const received = Buffer.from(head, 'latin1')
  const connection: ConnectionFacts = {
    direction: DIRECTION_INGRESS,
    peer: '',
    sourceIp: ipBytes('203.0.113.9'),
    sourcePort: 50123,
    localIp: ipBytes('10.0.0.1'),
    localPort: 8080,
    tls: false,
    ...facts,
  }
  const opened = sidecars.open(
    received,
    0,
    received.length,
    connection,
    facts.now ?? NOW,
    facts.random ?? RANDOM,
  )
  if (opened.kind !== 'opened') throw new Error(`open: ${JSON.stringify(opened)}`)
  return sidecars.decide(policy, facts.target ?? 'shop/cart', 8080)
}

/** The forwarded head's fields by lower-case name, in order. */
export function forwardedFields(decision: Decision): Map<string, string[]> {
  if (decision.kind !== 'forward') throw new Error(`not forwarded: ${JSON.stringify(decision)}`)
  const fields = new Map<string, string[]>()
  for (const line of decision.head.toString('latin1').split('\r\n').slice(1, -2)) {
    const colon = line.indexOf(': ')
    const name = line.slice(0, colon).toLowerCase()
    fields.set(name, [...(fields.get(name) ?? []), line.slice(colon + 2)])
  }
  return fields
}

export interface ResponseFacts {
  head?: string
  now?: number
  upstream?: string
  flags?: number
}

/** Runs the response phase over an upstream's head. */
export function respond(policy: Buffer, context: Buffer, facts: ResponseFacts = {}): ResponseDecision {
  const received = Buffer.from(facts.head ?? 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n', 'latin1')
  return sidecars.respond(
    policy,
    context,
    received,
    0,
    received.length,
    facts.now ?? NOW,
    facts.upstream ?? '127.0.0.1:9001',
    facts.flags ?? 0,
  )
}

/** A Telemetry resource. */
export function telemetry(
  namespace: string,
  name: string,
  spec: Partial<Telemetry['spec']>,
  matchLabels: Record<string, string> = {},
): Telemetry {
  return {
    apiVersion: 'telemetry.istio.io/v1',
    kind: 'Telemetry',
    metadata: { name, namespace, labels: {}, annotations: {} },
    spec: {
      selector: { matchLabels },
      tracing: [],
      accessLogging: [],
      metrics: [],
      ...spec,
    } as Telemetry['spec'],
    source: { file: 'telemetry.yaml', line: 1 },
  }
}
