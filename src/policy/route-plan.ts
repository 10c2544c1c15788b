/**
 * What an engine needs of a function's VirtualServices beside the compiled policy: the sidecar chooses by number
 * (layout/route-outcome.ts), and here is what the numbers mean. `null` in a slice: no VirtualService applies, every
 * request goes to the function itself, with its own time-out and the mesh's default retries.
 */
export interface RoutePlan {
  readonly routes: readonly PlannedRoute[]
  readonly retries: readonly RetryPlan[]
}

/** One http route, of whichever VirtualService. */
export interface PlannedRoute {
  /** The route's `name`, "" where it has none: %ROUTE_NAME%. */
  readonly name: string
  /** "namespace/name" of the VirtualService. */
  readonly virtualService: string
  /** Where a request may go; the sidecar has drawn by weight. None for redirects and direct responses. */
  readonly destinations: readonly RouteDestination[]
  /** Milliseconds from the request's head to the response's end; null: the function's own bound; 0: none but that. */
  readonly timeoutMs: number | null
  /** Number in RoutePlan.retries; null: the mesh's default retries. */
  readonly retry: number | null
  /** Milliseconds by which a request with ROUTE_DELAYED is held back; 0: the route has no such fault. */
  readonly delayMs: number
  readonly mirrors: readonly RouteDestination[]
}

/** A function, and of its instances those of a subset. */
export interface RouteDestination {
  /** "namespace/name"; where it is not the function whose plan this is, that one's policy judges the request. */
  readonly function: string
  /** Name of a subset in the DestinationRule for that function; null: all instances. */
  readonly subset: string | null
}

/** A route's `retries`, with Istio's defaults filled in. */
export interface RetryPlan {
  /** Attempts after the first one; 0: none. */
  readonly attempts: number
  /** Milliseconds for each attempt; null: the route's time-out alone bounds it. */
  readonly perTryTimeoutMs: number | null
  /** Milliseconds: base of the back-off with jitter. */
  readonly backOffMs: number
  readonly conditions: readonly RetryCondition[]
  /** Statuses listed in retryOn (retriable-status-codes). */
  readonly statuses: readonly number[]
  /** Another instance is preferred to one that was tried (retryIgnorePreviousHosts, default true). */
  readonly avoidsPrevious: boolean
}

/** Words of retryOn that can hold for HTTP/1.1; the gRPC ones and others are accepted where they can never hold. */
export type RetryCondition =
  | '5xx'
  | 'gateway-error'
  | 'reset'
  | 'reset-before-request'
  | 'connect-failure'
  | 'envoy-ratelimited'
  | 'retriable-4xx'
  | 'refused-stream'
  | 'retriable-status-codes'
