// What control and an engine say to each other. Messages are plain values, so any ordered channel can carry them.

import type { CheckService } from '../policy/external-authorization.ts'
import type { FunctionObservation } from '../policy/observation-plan.ts'
import type { QuotaLimit } from '../policy/quota-limit.ts'
import type { RoutePlan } from '../policy/route-plan.ts'
import type { TrafficPlan } from '../policy/traffic-plan.ts'
import type { UserPoliciesSlice } from '../policy/user-policy-slice.ts'
import type { QuotaReply, QuotaRequest } from '../state/quota-message.ts'
import type { UserStateUpdate } from '../state/user-state.ts'
import type { KeySetMessage } from './key-sets.ts'
import type { HostedSlice, IdentitySlice, NodeAddress, NodeSlice } from './node-messages.ts'
import type { UserModulesSlice } from './user-policies.ts'
import type { OtherPolicies } from './whatif.ts'

/** One function as an engine needs it. */
export interface FunctionSlice {
  /** "namespace/name" */
  key: string
  namespace: string
  principal: string
  /** The workload port that requests are for (Istio's destination.port). */
  port: number
  /** Host names in lower case under which the gateway serves it; none where it is cluster-local. */
  gatewayHosts: string[]
  /** Milliseconds from the request's head to the response's head. */
  timeoutMs: number
  /** Milliseconds from the request's delivery to the response's first byte; 0: no such bound. */
  responseStartTimeoutMs: number
  /** Milliseconds that its instance may leave a delivered request without a byte; 0: no such bound. */
  idleTimeoutMs: number
  /** Where its spans go: the URL of an OTLP/HTTP collector; null: nowhere. */
  collector: string | null
  /** What is done with what its sidecars find out: log filters, tags of metrics and spans. */
  observation: FunctionObservation
  /** Whom CUSTOM policies ask; null where none applies. */
  checkService: CheckService | null
  /** By whose keys tokens are verified, by the numbers of its rules; absent where it takes no tokens. */
  tokenRules?: readonly TokenRuleSlice[]
  /** What its rate limits count, in the order of its policy's section; absent where none applies. */
  quotaLimits?: readonly QuotaLimit[]
  /** Policies that users bring; absent where none applies. */
  userPolicies?: UserPoliciesSlice | null
  /** What the routes mean that its sidecar takes; null: no VirtualService applies. */
  routes: RoutePlan | null
  /** What DestinationRules say of calls to it; null: none applies. */
  traffic: TrafficPlan | null
  /** The compiled policy (layout/policy.ts) and its content hash. */
  policy: Uint8Array
  policyHash: string
}

export interface TokenRuleSlice {
  /** Id of a key set. */
  keySet: string
  /** Longest wait for keys that are not there yet, in milliseconds. */
  timeoutMs: number
}

/** An instance that this engine may send requests to, at most `slots` at once. */
export interface EndpointSlice {
  id: string
  host: string
  port: number
  /** Requests that this engine may have in flight there; null: no limit. 0: none, and the engine says when the last has ended. */
  slots: number | null
  /** What it may still be using, where that is more: a node's word to a control plane that was not there when slots were taken back. */
  held?: number
  /** The node on which it is; absent: the engine's own. */
  node?: NodeAddress
}

/** Who sends requests to a listening address. `spare`: nobody yet, so connections are refused. */
export type ListenerRole =
  | { kind: 'gateway' }
  | { kind: 'egress'; caller: string; instance: string | null }
  | { kind: 'spare' }
  /** Engines of other nodes, for functions of this one. */
  | { kind: 'node' }

export interface EngineLimits {
  maxHeadBytes: number
  maxTrailerBytes: number
  maxConnections: number
  maxRequestsInFlight: number
  /** For each function. */
  maxQueuedRequests: number
  /** Longest wait for an instance. */
  queueTimeoutMs: number
  maxPipelinedBytes: number
  /** From the first byte of a head to its last. */
  headTimeoutMs: number
  /** Between two requests on a connection. */
  keepAliveTimeoutMs: number
  /** Without a byte either way, inside a message's body or an upgraded connection. */
  streamIdleTimeoutMs: number
  /** Idle upstream connections kept for each instance, and for how long. */
  maxIdleUpstreams: number
  upstreamIdleMs: number
  connectTimeoutMs: number
  drainTimeoutMs: number
}

export interface MeshSlice {
  /** The policy for requests that name no function: what the gateway logs and traces them by. */
  gatewayPolicy: Uint8Array
  /** What is done with what the gateway's sidecars find out of such requests; its workload is the gateway. */
  gatewayObservation: FunctionObservation
  /** All hosts that the gateway serves end with "." and it. */
  domain: string
  accessLogFile: string
  limits: EngineLimits
}

export type ToEngine =
  | { type: 'node'; node: NodeSlice }
  | { type: 'identities'; upsert: IdentitySlice[]; remove: string[] }
  /** The function's instances on the engine's own node. */
  | { type: 'hosted'; key: string; instances: HostedSlice[] }
  | { type: 'mesh'; mesh: MeshSlice }
  | { type: 'functions'; upsert: FunctionSlice[]; remove: string[] }
  /** Nobody seems to use them any more: an engine that has used one within `idleMs` keeps it, and says that it wants it. */
  | { type: 'forget-functions'; keys: string[]; idleMs: number }
  /** The answer to 'function-wanted' where there is no such function. */
  | { type: 'function-absent'; key: string | null; host: string | null }
  /** Before the functions that name them. */
  | { type: 'user-modules'; modules: UserModulesSlice }
  /** What other engines have stored for user policies. */
  | { type: 'user-state'; updates: UserStateUpdate[] }
  | { type: 'endpoints'; key: string; external: boolean; endpoints: EndpointSlice[] }
  /** Starts fail: who waits is told `reason`, and so is who comes before `retryAt` (ms since the epoch). */
  | { type: 'failing'; key: string; reason: string; retryAt: number }
  | { type: 'listen'; id: string; host: string; port: number; role: ListenerRole }
  | { type: 'assign'; id: string; role: ListenerRole }
  | { type: 'unlisten'; id: string }
  | { type: 'key-sets'; upsert: KeySetMessage[]; remove: string[] }
  | { type: 'quota'; reply: QuotaReply }
  | { type: 'query'; id: number; query: EngineQuery }
  /** Accept nothing more from outside, and say when the last request from there has ended. */
  | { type: 'drain-gateway' }
  /** The same for calls of functions, which requests that came in through any engine may need until they have ended. */
  | { type: 'drain' }

export type EngineQuery =
  | { kind: 'counters' }
  /** Answered with the identities that the engine holds. */
  | { kind: 'identities' }
  /** Answered with an EngineMetrics (engine-metrics.ts). */
  | { kind: 'metrics' }
  /** Answered with all that the engine remembers by this id, as ReviewedDecisions (decision-review.ts). */
  | { kind: 'decision'; requestId: string }
  /** Answered with a WhatIfAnswer. */
  | { kind: 'whatif'; other: OtherPolicies }

export interface DemandReport {
  key: string
  waiting: number
  inFlight: number
  /** Requests begun since the last report. */
  begun: number
}

export type FromEngine =
  /** A request is for a function that the engine does not know, by its key or by its host at the gateway; the other is null. */
  | { type: 'function-wanted'; key: string | null; host: string | null }
  | { type: 'identity-wanted'; principal: string }
  | { type: 'up' }
  | { type: 'listening'; id: string; port: number }
  | { type: 'listen-failed'; id: string; message: string; code: string }
  | { type: 'demand'; reports: DemandReport[] }
  | { type: 'returned'; key: string; endpoint: string; slots: number }
  | { type: 'quota'; request: QuotaRequest }
  | { type: 'answer'; id: number; answer: unknown }
  | { type: 'user-state'; updates: UserStateUpdate[] }
  /** Tokens come of keys that this set does not have. */
  | { type: 'key-set-wanted'; id: string }
  | { type: 'gateway-drained' }
  | { type: 'drained' }
