import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import type { TraceFunction } from './trace.ts'

/** How many policies a replay puts on each function: `few` allow, trace and log; `nine` do all that the mesh has. */
export const POLICIES = ['few', 'nine'] as const
export type Policies = (typeof POLICIES)[number]

/** Who issues the replay's tokens, and for whom. */
const ISSUER = 'https://replay.invalid'
const AUDIENCE = 'trace'
const SUBJECT = 'load-generator'
/** Longer than any replay. */
const TOKEN_SECONDS = 7 * 86_400
/** A limit that no trace reaches: to be counted is what it is there for. */
const REQUESTS_PER_MINUTE = 1_000_000

/** The keys and the one token of a replay with all policies. */
export interface ReplayToken {
  readonly jwks: string
  /** RS256. */
  readonly token: string
}

/** `now` is in seconds since the epoch. */
export function makeToken(now: number): ReplayToken {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const jwk = { ...publicKey.export({ format: 'jwk' }), kid: 'replay', alg: 'RS256', use: 'sig' }
  const claims = { iss: ISSUER, aud: AUDIENCE, sub: SUBJECT, iat: now, exp: now + TOKEN_SECONDS }
  return { jwks: JSON.stringify({ keys: [jwk] }), token: signed(claims, privateKey) }
}

/** What holds for all functions of the namespace beside telemetry. */
export function sharedPolicies(namespace: string, jwks: string): object[] {
  return [
    {
      apiVersion: 'security.istio.io/v1',
      kind: 'RequestAuthentication',
      metadata: { name: 'load-generator', namespace },
      spec: { jwtRules: [{ issuer: ISSUER, audiences: [AUDIENCE], jwks }] },
    },
    {
      apiVersion: 'security.istio.io/v1',
      kind: 'PeerAuthentication',
      metadata: { name: 'strict', namespace },
      spec: { mtls: { mode: 'STRICT' } },
    },
    {
      apiVersion: 'networking.istio.io/v1',
      kind: 'Sidecar',
      metadata: { name: 'own-namespace', namespace },
      spec: { egress: [{ hosts: ['./*'] }] },
    },
  ]
}

/** What one function has of its own. */
export function ownPolicies({ name }: TraceFunction, namespace: string, timeoutSeconds: number): object[] {
  const selector = { matchLabels: { 'serving.knative.dev/service': name } }
  return [
    {
      apiVersion: 'security.istio.io/v1',
      kind: 'AuthorizationPolicy',
      metadata: { name: `${name}-invocable`, namespace },
      spec: {
        selector,
        action: 'ALLOW',
        rules: [
          {
            from: [{ source: { requestPrincipals: [`${ISSUER}/${SUBJECT}`] } }],
            to: [{ operation: { methods: ['GET'], paths: ['/work'] } }],
          },
        ],
      },
    },
    {
      apiVersion: 'mayfly.dev/v1',
      kind: 'RateLimitPolicy',
      metadata: { name, namespace },
      spec: {
        selector,
        limits: [{ name: 'caller', requests: REQUESTS_PER_MINUTE, unit: 'minute', key: [{ claim: 'sub' }] }],
      },
    },
    {
      apiVersion: 'networking.istio.io/v1',
      kind: 'VirtualService',
      metadata: { name, namespace },
      spec: {
        hosts: [name],
        http: [
          {
            route: [{ destination: { host: name } }],
            timeout: `${timeoutSeconds}s`,
            retries: { attempts: 2, retryOn: 'connect-failure,reset-before-request' },
          },
        ],
      },
    },
    {
      apiVersion: 'networking.istio.io/v1',
      kind: 'DestinationRule',
      metadata: { name, namespace },
      spec: {
        host: name,
        trafficPolicy: {
          connectionPool: { http: { http2MaxRequests: 100_000, http1MaxPendingRequests: 100_000 } },
          outlierDetection: { consecutive5xxErrors: 5, interval: '5s', baseEjectionTime: '30s' },
        },
      },
    },
  ]
}

function signed(claims: object, key: KeyObject): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const input = `${part({ alg: 'RS256', typ: 'JWT', kid: 'replay' })}.${part(claims)}`
  return `${input}.${sign('RSA-SHA256', Buffer.from(input), key).toString('base64url')}`
}
