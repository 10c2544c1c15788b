import { join } from 'node:path'
import type { Children } from './children.ts'
import { startEnvoyPair } from './envoy-pair.ts'
import { HeadCycle } from './head-cycle.ts'
import { meshConfig, NAMESPACE, telemetry } from './manifests.ts'
import { startMesh } from './mayfly.ts'
import { CALLEE, CALLER, ninePolicies, REQUESTS_A_MINUTE } from './nine-policies.ts'
import { processTree } from './process-tree.ts'
import type { Records } from './proxies.ts'
import type { Loaded } from './proxy-load.ts'
import { startRateLimitService } from './rate-limit-service.ts'
import { processesOf, startRelayPair } from './relay.ts'
import type { Tokens } from './tokens.ts'
import { startTraceSink } from './trace-sink.ts'
import { requestHead, requestHeadWithToken } from './workload.ts'

/** The way from a caller to its callee, with what it leaves behind. */
export type PolicyProxy = Loaded & {
  readonly name: 'direct' | 'relay pair' | 'envoy pair' | 'mayfly'
  readonly records?: Records
  /** Why its policies are not all at work; null: they are. */
  idlePolicy?(requests: number): Promise<string | null>
}

const AUTHORITY = `${CALLEE}.${NAMESPACE}.svc.cluster.local`

/** No proxy: what a request costs in latency without any. */
export function direct(upstream: number): PolicyProxy {
  return {
    name: 'direct',
    port: upstream,
    heads: new HeadCycle([requestHead(AUTHORITY)]),
    processes: () => [],
  }
}

/** Two relays that read nothing, over mutual TLS: the part of a request's cost that is node:net's and node:tls'. */
export async function relayPair(children: Children, upstream: number): Promise<PolicyProxy> {
  const pair = await startRelayPair(children, upstream)
  return {
    name: 'relay pair',
    port: pair.port,
    heads: new HeadCycle([requestHead(AUTHORITY)]),
    processes: () => processesOf(pair),
  }
}

/** Two Envoys, over mutual TLS, with a rate-limit service. */
export async function envoyPair(
  children: Children,
  upstream: number,
  { jwks, tokens }: Tokens,
): Promise<PolicyProxy> {
  const sink = await startTraceSink(children)
  const limits = await startRateLimitService(children, REQUESTS_A_MINUTE)
  const needs = { upstream, sinkPort: sink.grpcPort, rateLimitPort: limits.port, jwks }
  const pair = await startEnvoyPair(children, needs)
  return {
    name: 'envoy pair',
    port: pair.port,
    heads: headsOf(tokens),
    processes: () => pair.children.flatMap(({ pid }) => processTree(pid)),
    records: { sink, accessLogs: pair.accessLogs, perRequest: 2 },
    async idlePolicy(requests) {
      const asked = await limits.asked()
      return asked >= requests
        ? null
        : `its rate-limit service was asked ${asked} times for ${requests} requests`
    },
  }
}

/** A mesh of three nodes, the gateway's without work, whose other two run the caller and the callee. */
export async function mayflyNodes(
  children: Children,
  upstream: number,
  { jwks, tokens }: Tokens,
): Promise<PolicyProxy> {
  const sink = await startTraceSink(children)
  const accessLog = join(children.folder, 'mayfly-access.json')
  const config = meshConfig({ engines: 1, accessLog, sinkPort: sink.httpPort })
  const manifests = [config, telemetry(), ...ninePolicies({ upstream, jwks })]
  const mesh = await startMesh(children, 'mayfly', manifests, {}, 3)
  return {
    name: 'mayfly',
    port: Number(mesh.egress(CALLER).port),
    heads: headsOf(tokens),
    processes: mesh.processes,
    engines: mesh.nodeEngines,
    records: { sink, accessLogs: [accessLog], perRequest: 2 },
  }
}

function headsOf(tokens: readonly string[]): HeadCycle {
  return new HeadCycle(tokens.map((token) => requestHeadWithToken(AUTHORITY, token)))
}
