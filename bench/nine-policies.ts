import { authorization, NAMESPACE, service } from './manifests.ts'
import { AUDIENCE, ISSUER } from './tokens.ts'
import { RULES, type Rule } from './workload.ts'

// Each policy by itself, as a user would write it for one function.

type Manifest = object

export const TRUST_DOMAIN = 'cluster.local'

/** The principal of a function that has no account of its own. */
export function principalOf(name: string): string {
  return `${TRUST_DOMAIN}/ns/${NAMESPACE}/sa/${name}`
}

/** The ten rules, of which the last asks besides for a caller that proved who it is, and for a token. */
export function rulesFor(caller: string): Rule[] {
  const last = RULES[RULES.length - 1]!
  const from = { principals: [principalOf(caller)], requestPrincipals: [`${ISSUER}/*`] }
  return [...RULES.slice(0, -1), { ...last, from }]
}

/** Of these names a mesh of three nodes opens the first one's address on one node and the second one's on the other. */
export const CALLER = 'caller'
export const CALLEE = 'api'

export type NinePolicies = { readonly upstream: number; readonly jwks: string }

/** A function and one that it calls, with all nine policies; mutual TLS is strict by itself. */
export function ninePolicies({ upstream, jwks }: NinePolicies): Manifest[] {
  return [
    service(CALLER, `endpoint:127.0.0.1:${upstream}`),
    service(CALLEE, `endpoint:127.0.0.1:${upstream}`),
    sidecar(CALLER, [CALLEE]),
    peerAuthentication(),
    requestAuthentication(CALLEE, jwks),
    authorization(CALLEE, rulesFor(CALLER)),
    rateLimit(CALLEE),
    ...traffic(CALLEE),
  ]
}

/** Rules for tokens. */
export function requestAuthentication(name: string, jwks: string): Manifest {
  return istio('security.istio.io/v1', 'RequestAuthentication', name, {
    selector: selectorOf(name),
    jwtRules: [{ issuer: ISSUER, audiences: [AUDIENCE], jwks }],
  })
}

/** A limit for each subject of a token, or for what else `key` names, that no load reaches. */
export function rateLimit(name: string, key: object = { claim: 'sub' }): Manifest {
  return istio('mayfly.dev/v1', 'RateLimitPolicy', name, {
    selector: selectorOf(name),
    limits: [{ name: 'calls', requests: REQUESTS_A_MINUTE, unit: 'minute', key: [key] }],
  })
}

/** More than any load of the bench sends. */
export const REQUESTS_A_MINUTE = 10_000_000

export const RETRIES = { attempts: 2, perTryTimeout: '2s', retryOn: 'connect-failure,reset,503' } as const
export const TIMEOUT = '5s'
export const BOUNDS = { connections: 10_000, pending: 10_000, requests: 10_000 } as const
export const OUTLIERS = {
  consecutive5xxErrors: 5,
  interval: '10s',
  baseEjectionTime: '30s',
  maxEjectionPercent: 100,
} as const

/** Retries and time-outs; circuit breaking and outlier detection. */
export function traffic(name: string): Manifest[] {
  return [
    istio('networking.istio.io/v1', 'VirtualService', name, {
      hosts: [name],
      http: [{ route: [{ destination: { host: name } }], timeout: TIMEOUT, retries: RETRIES }],
    }),
    istio('networking.istio.io/v1', 'DestinationRule', name, {
      host: name,
      trafficPolicy: {
        connectionPool: {
          tcp: { maxConnections: BOUNDS.connections },
          http: { http1MaxPendingRequests: BOUNDS.pending, http2MaxRequests: BOUNDS.requests },
        },
        outlierDetection: OUTLIERS,
      },
    }),
  ]
}

/** Every request is traced to the mesh's collector. */
export function tracing(name: string): Manifest {
  return istio('telemetry.istio.io/v1', 'Telemetry', `${name}-traced`, {
    selector: selectorOf(name),
    tracing: [{ providers: [{ name: 'sink' }], randomSamplingPercentage: 100 }],
  })
}

/** Every request leaves a line in the mesh's access log. */
export function accessLog(name: string): Manifest {
  return istio('telemetry.istio.io/v1', 'Telemetry', `${name}-logged`, {
    selector: selectorOf(name),
    accessLogging: [{ providers: [{ name: 'envoy' }] }],
  })
}

export function sidecar(name: string, callees: readonly string[]): Manifest {
  return istio('networking.istio.io/v1', 'Sidecar', name, {
    workloadSelector: { labels: labelsOf(name) },
    egress: [{ hosts: callees.map((callee) => `./${callee}.${NAMESPACE}.svc.cluster.local`) }],
  })
}

export function peerAuthentication(): Manifest {
  return istio('security.istio.io/v1', 'PeerAuthentication', 'default', { mtls: { mode: 'STRICT' } })
}

function istio(apiVersion: string, kind: string, name: string, spec: object): Manifest {
  return { apiVersion, kind, metadata: { name, namespace: NAMESPACE }, spec }
}

function selectorOf(name: string): object {
  return { matchLabels: labelsOf(name) }
}

function labelsOf(name: string): Record<string, string> {
  return { 'serving.knative.dev/service': name }
}
