import type { Cel } from '../../api/cel.ts'
import { type CelScope, evaluateCel } from '../../policy/evaluate-cel.ts'
import { UNKNOWN_WORKLOAD } from '../../policy/workload.ts'
import {
  DIRECTION_INGRESS,
  DIRECTION_OUTBOUND,
  IN_FLAG_ROUTE,
  IN_FLAG_SERVE,
} from '../../sidecar/layout/record.ts'
import type { EngineContext } from '../engine-context.ts'
import type { MeteredExchange } from '../exchange-metrics.ts'
import { ExchangeScope } from '../exchange-scope.ts'
import { type ExchangeFigures, fillLogLine } from '../log-line.ts'
import type { Observed } from '../sidecar.ts'
import type { JudgedStage } from './admission.ts'

/** A request that has been answered, or given up: what is counted, logged and kept of it. */
export interface ExchangeRecord {
  requestId: string
  /** Milliseconds since the epoch at which its head had arrived. */
  time: number
  status: number
  /** In the order in which they judged the request; none where no function's sidecar did. */
  stages: JudgedStage[]
  /** The head that was forwarded; null where none was. */
  head: Buffer | null
  /** By the instance or its node; else by this engine itself. */
  answered: boolean
  /** What each sidecar's response phase left, from the innermost outwards; missing where it failed. */
  observed: readonly Observed[]
  figures: ExchangeFigures
}

/** Counts, traces, logs and keeps it for `mayfly explain`; once for each request. */
export function recordExchange(engine: EngineContext, record: ExchangeRecord): void {
  const { requestId, time, status, stages, observed, figures } = record
  const { durationMs, bytesReceived, bytesSent, responseFlags } = figures
  const metered = { status, responseFlags, durationMs, bytesReceived, bytesSent }
  if (stages.length === 0) recordUnnamed(engine, record, metered)
  for (let i = stages.length - 1; i >= 0; i--) {
    const stage = stages[i]!
    const seen = observed[stages.length - 1 - i]
    const scope = new ExchangeScope(figures, seen?.values ?? null)
    count(engine, stage, metered, scope)
    const { client, server } = stage.observation
    if (seen && !isLoggedElsewhere(record, i))
      log(
        engine,
        seen,
        stage.direction === DIRECTION_OUTBOUND ? client.logFilter : server.logFilter,
        scope,
        figures,
      )
    if (stage.trace !== '' && stage.collector !== null) recordSpan(engine, record, stage, scope)
  }
  countStatus(engine, status)
  engine.decisions.add({ requestId, time, durationMs, status, stages })
}

/** The gateway's own record of a request that named no function, or was none. */
function recordUnnamed(
  engine: EngineContext,
  { observed, figures }: ExchangeRecord,
  metered: MeteredExchange,
): void {
  const { server, workload } = engine.mesh.gatewayObservation
  const [seen] = observed
  const scope = new ExchangeScope(figures, seen?.values ?? null)
  engine.metrics.count(
    server,
    { reporter: 'source', source: workload, destination: null, mutual: false },
    metered,
    scope,
  )
  if (seen) log(engine, seen, server.logFilter, scope, figures)
}

/** The callee's line is written by who judges its own side: this engine, or its node's, which cannot know of this engine's flags. */
function isLoggedElsewhere({ stages, answered, figures }: ExchangeRecord, i: number): boolean {
  const stage = stages[i]!
  if (!isJudgedElsewhere(stage)) return false
  return stages[i + 1]?.function === stage.function || (answered && figures.responseFlags === 0)
}

/** The callee's own side is, by the engine of its instance's node. */
function isJudgedElsewhere({ direction, sides }: JudgedStage): boolean {
  return direction !== DIRECTION_OUTBOUND && (sides & IN_FLAG_SERVE) === 0
}

/**
 * At the gateway of one node both sides are one sidecar; each is reported, as Istio's gateway and the workload behind it do.
 * Where instances are on other nodes, each side is reported where it is judged.
 */
function count(engine: EngineContext, stage: JudgedStage, metered: MeteredExchange, scope: CelScope): void {
  const { metrics, mesh } = engine
  const { observation, other, direction } = stage
  const own = observation.workload
  const peer = other?.slice.observation.workload ?? null
  if (direction === DIRECTION_OUTBOUND) {
    const edge = { reporter: 'source', source: own, destination: peer, mutual: peer !== null } as const
    return metrics.count(observation.client, edge, metered, scope)
  }
  const isIngress = direction === DIRECTION_INGRESS
  const { sides } = stage
  // What another node's engine sends, that of a gateway among them, came by mutual TLS.
  const mutual = peer !== null || stage.peer !== '' || (isIngress && (sides & IN_FLAG_ROUTE) === 0)
  const caller = peer ?? (stage.peer === '' ? UNKNOWN_WORKLOAD : metrics.workloadOf(stage.peer))
  const source = isIngress ? mesh.gatewayObservation.workload : caller
  if (isIngress && (sides & IN_FLAG_ROUTE) !== 0) {
    const edge = { reporter: 'source', source, destination: own, mutual: false } as const
    metrics.count(observation.server, edge, metered, scope)
  }
  if (isJudgedElsewhere(stage)) return
  const edge = { reporter: 'destination', source, destination: own, mutual } as const
  metrics.count(observation.server, edge, metered, scope)
}

/** `filter` is what is left of the log's filter once the sidecar has let the line through. */
function log(
  engine: EngineContext,
  { log: line }: Observed,
  filter: Cel | null,
  scope: CelScope,
  figures: ExchangeFigures,
): void {
  if (line === null || (filter !== null && evaluateCel(filter, scope) !== true)) return
  engine.writeLog(fillLogLine(line, figures))
}

function recordSpan(
  engine: EngineContext,
  { head, requestId, status, time, figures }: ExchangeRecord,
  stage: JudgedStage,
  scope: CelScope,
): void {
  const { collector, trace, direction, observation, function: name } = stage
  engine.recordSpan({
    collector: collector!,
    trace,
    direction,
    function: name,
    head,
    requestId,
    startMs: time,
    durationMs: figures.durationMs,
    status,
    cluster: clusterOf(stage),
    maxPath: observation.maxTracedPath,
    bytesReceived: figures.bytesReceived,
    bytesSent: figures.bytesSent,
    responseFlags: figures.responseFlags,
    tags: (direction === DIRECTION_OUTBOUND ? observation.client : observation.server).spanTags,
    scope,
  })
}

function clusterOf({ direction, observation, other }: JudgedStage): string {
  if (direction === DIRECTION_OUTBOUND) return other?.slice.observation.outboundCluster ?? ''
  return direction === DIRECTION_INGRESS ? observation.outboundCluster : observation.inboundCluster
}

function countStatus({ counters }: EngineContext, status: number): void {
  if (status < 300) counters.responses2xx++
  else if (status < 400) counters.responses3xx++
  else if (status < 500) counters.responses4xx++
  else counters.responses5xx++
}
