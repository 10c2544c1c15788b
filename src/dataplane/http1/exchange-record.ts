import type { EngineContext } from '../engine-context.ts'
import { type ExchangeFigures, fillLogLine } from '../log-line.ts'
import type { LogLine } from '../sidecar.ts'
import type { JudgedStage } from './admit.ts'

/** A request that has been answered, or given up: what is counted, logged and kept of it. */
export interface ExchangeRecord {
  requestId: string
  /** Milliseconds since the epoch at which its head had arrived. */
  time: number
  status: number
  stages: JudgedStage[]
  /** The head that was forwarded; null where none was. */
  head: Buffer | null
  logs: readonly LogLine[]
  figures: ExchangeFigures
}

/** Counts, logs and keeps it for `mayfly explain`; once for each request. */
export function recordExchange(engine: EngineContext, record: ExchangeRecord): void {
  const { requestId, time, status, stages, logs, figures } = record
  for (const stage of stages)
    if (stage.trace !== '' && stage.collector !== null) recordSpan(engine, record, stage)
  countStatus(engine, status)
  for (const log of logs) engine.writeLog(fillLogLine(log, figures))
  engine.decisions.add({ requestId, time, durationMs: figures.durationMs, status, stages })
}

function recordSpan(engine: EngineContext, record: ExchangeRecord, stage: JudgedStage): void {
  const { head, requestId, status } = record
  engine.recordSpan({
    collector: stage.collector!,
    trace: stage.trace,
    direction: stage.direction,
    function: stage.function,
    head,
    requestId,
    startMs: record.time,
    durationMs: record.figures.durationMs,
    status,
  })
}

function countStatus({ counters }: EngineContext, status: number): void {
  if (status < 300) counters.responses2xx++
  else if (status < 400) counters.responses3xx++
  else if (status < 500) counters.responses4xx++
  else counters.responses5xx++
}
