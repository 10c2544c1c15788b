import type { ConnectionPool } from '../api/connection-pool.ts'
import type { ConsistentHash, LoadBalancer } from '../api/load-balancer.ts'
import type { OutlierDetection } from '../api/outlier-detection.ts'
import type { TrafficPolicy } from '../api/traffic-policy.ts'

/** How calls to a function, or to a subset of it, are sent: everything resolved. Plain values, since engines are told it. */
export interface TrafficSettings {
  readonly balancer: BalancerSettings
  readonly hashKey: HashKey | null
  readonly pool: PoolSettings
  readonly outlier: OutlierSettings | null
  readonly retryBudget: RetryBudget
}

export type BalancerSettings =
  | { readonly kind: 'least-request' }
  | { readonly kind: 'round-robin' }
  | { readonly kind: 'random' }
  /** `minimumSize` points at least. */
  | { readonly kind: 'ring-hash'; readonly minimumSize: number }
  | { readonly kind: 'maglev'; readonly tableSize: number }

/** What of a request is hashed to choose an instance. */
export type HashKey =
  | { readonly kind: 'header'; readonly name: string }
  /** `ttl` in seconds, 0 for a session; null: the mesh sets no cookie. */
  | { readonly kind: 'cookie'; readonly name: string; readonly path: string; readonly ttl: number | null }
  | { readonly kind: 'source-ip' }
  | { readonly kind: 'query'; readonly name: string }

/** null: no bound, or the engine's own. */
export interface PoolSettings {
  readonly maxConnections: number | null
  readonly maxPendingRequests: number | null
  readonly maxRequests: number | null
  readonly maxRequestsPerConnection: number | null
  readonly connectTimeoutMs: number | null
  /** 0: kept for as long as the connection lasts. */
  readonly idleMs: number | null
  readonly maxConnectionMs: number | null
  readonly keepAlive: KeepAlive | null
}

/** Seconds and counts; null: the kernel's own. */
export interface KeepAlive {
  readonly time: number | null
  readonly interval: number | null
  readonly probes: number | null
}

/** Times in milliseconds; counts of 0 are not judged by. */
export interface OutlierSettings {
  readonly splitsLocalErrors: boolean
  readonly consecutiveLocal: number
  readonly consecutiveGateway: number
  readonly consecutive5xx: number
  readonly intervalMs: number
  readonly baseEjectionMs: number
  readonly maxEjectionPercent: number
  readonly minHealthPercent: number
}

/** Retries that may be under way at once: a part of the requests that are, or a fixed number. */
export type RetryBudget =
  | { readonly kind: 'percent'; readonly percent: number; readonly least: number }
  | { readonly kind: 'fixed'; readonly most: number }

/** Envoy's defaults for a retry budget. */
export const DEFAULT_RETRY_BUDGET: RetryBudget = { kind: 'percent', percent: 20, least: 3 }

/**
 * The settings at `port`: a subset's replace the host's one by one; those of a port replace all above them, and what they
 * leave out has its default, as in Istio.
 */
export function trafficSettings(
  host: TrafficPolicy | undefined,
  subset: TrafficPolicy | undefined,
  port: number,
): TrafficSettings {
  const whole = atPort(host, port)
  const own = subset && atPort(subset, port)
  const isOfPort = subset?.portLevelSettings.some((entry) => entry.port.number === port) ?? false
  const policy = isOfPort
    ? own!
    : {
        loadBalancer: own?.loadBalancer ?? whole.loadBalancer,
        connectionPool: own?.connectionPool ?? whole.connectionPool,
        outlierDetection: own?.outlierDetection ?? whole.outlierDetection,
      }
  const budget = subset?.retryBudget ?? host?.retryBudget
  const maxRetries = policy.connectionPool?.http?.maxRetries ?? 0
  return {
    balancer: toBalancer(policy.loadBalancer),
    hashKey: policy.loadBalancer?.consistentHash ? toHashKey(policy.loadBalancer.consistentHash) : null,
    pool: toPool(policy.connectionPool),
    outlier: policy.outlierDetection ? toOutlier(policy.outlierDetection) : null,
    retryBudget: budget
      ? { kind: 'percent', percent: budget.percent, least: budget.minRetryConcurrency }
      : maxRetries > 0
        ? { kind: 'fixed', most: maxRetries }
        : DEFAULT_RETRY_BUDGET,
  }
}

/** Where no DestinationRule applies. */
export const DEFAULT_SETTINGS: TrafficSettings = trafficSettings(undefined, undefined, 0)

interface Components {
  readonly loadBalancer?: LoadBalancer | undefined
  readonly connectionPool?: ConnectionPool | undefined
  readonly outlierDetection?: OutlierDetection | undefined
}

function atPort(policy: TrafficPolicy | undefined, port: number): Components {
  return policy?.portLevelSettings.find((entry) => entry.port.number === port) ?? policy ?? {}
}

function toBalancer(settings: LoadBalancer | undefined): BalancerSettings {
  const hash = settings?.consistentHash
  if (hash?.maglev) return { kind: 'maglev', tableSize: hash.maglev.tableSize || 65_537 }
  if (hash) {
    const minimumSize = hash.ringHash?.minimumRingSize || hash.minimumRingSize || 1_024
    return { kind: 'ring-hash', minimumSize }
  }
  switch (settings?.simple) {
    case 'ROUND_ROBIN':
      return { kind: 'round-robin' }
    case 'RANDOM':
      return { kind: 'random' }
    default:
      return { kind: 'least-request' }
  }
}

function toHashKey(hash: ConsistentHash): HashKey {
  if (hash.httpHeaderName !== undefined) return { kind: 'header', name: hash.httpHeaderName.toLowerCase() }
  if (hash.httpQueryParameterName !== undefined) return { kind: 'query', name: hash.httpQueryParameterName }
  if (hash.httpCookie) {
    const { name, path, ttl } = hash.httpCookie
    return { kind: 'cookie', name, path: path ?? '', ttl: ttl ?? null }
  }
  return { kind: 'source-ip' }
}

function toPool(pool: ConnectionPool | undefined): PoolSettings {
  const { tcp, http } = pool ?? {}
  const keepAlive = tcp?.tcpKeepalive
  return {
    maxConnections: tcp?.maxConnections || null,
    maxPendingRequests: http?.http1MaxPendingRequests || null,
    maxRequests: http?.http2MaxRequests || null,
    maxRequestsPerConnection: http?.maxRequestsPerConnection || null,
    connectTimeoutMs: tcp?.connectTimeout ?? null,
    idleMs: http?.idleTimeout ?? null,
    maxConnectionMs: tcp?.maxConnectionDuration ?? null,
    keepAlive: keepAlive
      ? {
          time: keepAlive.time ?? null,
          interval: keepAlive.interval ?? null,
          probes: keepAlive.probes || null,
        }
      : null,
  }
}

function toOutlier(outlier: OutlierDetection): OutlierSettings {
  return {
    splitsLocalErrors: outlier.splitExternalLocalOriginErrors,
    // Istio leaves Envoy's default of 5 where 0 is written.
    consecutiveLocal: outlier.splitExternalLocalOriginErrors
      ? outlier.consecutiveLocalOriginFailures || 5
      : 0,
    consecutiveGateway: outlier.consecutiveGatewayErrors,
    consecutive5xx: outlier.consecutive5xxErrors,
    intervalMs: outlier.interval,
    baseEjectionMs: outlier.baseEjectionTime,
    maxEjectionPercent: outlier.maxEjectionPercent || 10,
    minHealthPercent: outlier.minHealthPercent,
  }
}
