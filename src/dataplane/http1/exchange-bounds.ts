// How long an exchange may take, and what is said where it takes longer.

import { RESPONSE_FLAG_DT } from '../../sidecar/layout/record.ts'
import {
  instanceIdle,
  notBegun,
  type Refusal,
  routeTimedOut,
  streamIdle,
  timedOut,
  waitTimedOut,
} from '../refusal.ts'
import type { Exchange } from './exchange.ts'
import type { Bounds, Deadline, WayBounds } from './exchange-deadlines.ts'

export function boundsOf(exchange: Exchange): Bounds {
  const { delivery, engine, admitted } = exchange
  const { phase, answering, request } = delivery
  const { timeoutMs, responseStartTimeoutMs, idleTimeoutMs } = admitted.callee.slice
  const tunnel = phase === 'tunnel'
  // The first wait for an instance may be given up earlier than a request that has reached one.
  const first = phase === 'waiting' && exchange.meter.heldUntil === 0
  const wholeMs = first ? Math.min(timeoutMs, engine.mesh.limits.queueTimeoutMs) : timeoutMs
  return {
    wholeMs: tunnel ? null : wholeMs,
    streaming: tunnel || answering || (phase === 'sending' && !request.done),
    // A client that does not read stops the instance: that is no fault of the function's.
    delivered: (phase === 'sending' || phase === 'receiving') && !delivery.instanceIsPaused,
    responseStartMs: responseStartTimeoutMs,
    instanceIdleMs: idleTimeoutMs,
    way: tunnel ? null : wayBounds(exchange),
  }
}

/** Bounds of the route and of a held wait; null where there are none. */
function wayBounds({ admitted, meter, delivery, engine }: Exchange): WayBounds | null {
  const { way } = admitted
  const { phase, answering } = delivery
  if (way === null) return null
  const { startedAt, receivedAt, heldUntil, sentAt } = meter
  return {
    // As Envoy's: from the request's last byte on, and a fault's delay comes before.
    routeMs: way.timeoutMs,
    routeSince: receivedAt === 0 ? null : Math.max(receivedAt, startedAt + way.delayMs),
    attemptMs: way.retry?.perTryTimeoutMs ?? null,
    attemptSince:
      phase === 'sending' || phase === 'receiving' ? (answering || sentAt === 0 ? null : sentAt) : null,
    waitMs: engine.mesh.limits.queueTimeoutMs,
    waitSince: phase === 'waiting' && heldUntil > 0 ? heldUntil : null,
  }
}

/** Counts a deadline that has passed, other than an attempt's. */
export function refusalOf({ kind, ms }: Deadline, { engine, delivery, meter }: Exchange): Refusal {
  const { phase, answering } = delivery
  const { counters } = engine
  if (kind === 'idle' || kind === 'instance-idle') {
    counters.streamsIdle++
    return kind === 'idle' ? streamIdle(ms) : instanceIdle(ms)
  }
  counters.timedOut++
  if (kind === 'response-start') return notBegun(ms)
  if (answering) meter.flags |= RESPONSE_FLAG_DT
  if (kind === 'route') return routeTimedOut(ms)
  return phase === 'waiting' ? waitTimedOut(ms) : timedOut(ms)
}
