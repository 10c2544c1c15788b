import type { StageRecord } from '../decision-ring.ts'
import type { EngineContext } from '../engine-context.ts'
import { type ExchangeFigures, fillLogLine } from '../log-line.ts'
import type { LogLine } from '../sidecar.ts'

/** A request that has been answered, or given up: what is counted, logged and kept of it. */
export interface ExchangeRecord {
  requestId: string
  /** Milliseconds since the epoch at which its head had arrived. */
  time: number
  status: number
  stages: StageRecord[]
  logs: readonly LogLine[]
  figures: ExchangeFigures
}

/** Counts, logs and keeps it for `mayfly explain`; once for each request. */
export function recordExchange(engine: EngineContext, record: ExchangeRecord): void {
  const { requestId, time, status, stages, logs, figures } = record
  countStatus(engine, status)
  for (const log of logs) engine.writeLog(fillLogLine(log, figures))
  engine.decisions.add({ requestId, time, durationMs: figures.durationMs, status, stages })
}

function countStatus({ counters }: EngineContext, status: number): void {
  if (status < 300) counters.responses2xx++
  else if (status < 400) counters.responses3xx++
  else if (status < 500) counters.responses4xx++
  else counters.responses5xx++
}
