import { BODY_NONE, OUT_FLAG_KEEP_ALIVE } from '../../sidecar/layout/record.ts'
import type { EngineContext } from '../engine-context.ts'
import { type Refusal, sidecarFailed } from '../refusal.ts'
import type { Denial } from '../sidecar.ts'
import type { JudgedStage, Refused, Stage } from './admission.ts'

/** How the client's own message is framed. */
export interface Framing {
  headLength: number
  flags: number
  body: number
  bodyLength: number
}

export function refused(
  denial: Denial,
  framing: Framing,
  stages: Stage[],
  records: JudgedStage[],
  flags: number,
): Refused {
  return {
    kind: 'refused',
    refusal: {
      status: denial.status,
      text: denial.text,
      fields: denial.fields,
      flags: flags | denial.responseFlags,
    },
    stages,
    records,
    requestId: denial.requestId,
    headLength: framing.headLength,
    reusable: isReusable(framing.flags, framing.body),
  }
}

export function isReusable(flags: number, body: number): boolean {
  return (flags & OUT_FLAG_KEEP_ALIVE) !== 0 && body === BODY_NONE
}

export function failed(engine: EngineContext): Refused {
  engine.counters.sidecarsFailed++
  return refusedBeforeHead(engine, sidecarFailed())
}

/** The gateway's own policy judges a request to no function, so that its log line says what was asked. */
export function toNoFunction(engine: EngineContext, refusal: Refusal): Refused {
  const decision = engine.sidecars.judge(engine.mesh.gatewayPolicy as Buffer, '', 0, 0, [])
  if (decision.kind === 'failed' || decision.kind === 'needs') return failed(engine)
  const { context, requestId, headLength, flags, body } =
    decision.kind === 'denied' ? decision.denial : decision
  const stages = [gatewayStage(engine, context)]
  const reusable = isReusable(flags, body)
  return { kind: 'refused', refusal, stages, records: [], requestId, headLength, reusable }
}

/** The head is readable, but names no function that could judge it: the connection may go on after the reply. */
export function withoutFunction(engine: EngineContext, refusal: Refusal): Refused {
  const { context, headLength, flags, body } = engine.sidecars.abandon()
  const result = refusedBeforeHead(engine, refusal)
  result.stages[0]!.context = context
  result.headLength = headLength
  result.reusable = isReusable(flags, body)
  return result
}

/** A refusal of which no function's policy knows: the gateway's own policy logs it. */
export function refusedBeforeHead(engine: EngineContext, refusal: Refusal): Refused {
  const stages = [gatewayStage(engine, EMPTY)]
  return { kind: 'refused', refusal, stages, records: [], requestId: '', headLength: 0, reusable: false }
}

export function gatewayStage(engine: EngineContext, context: Buffer): Stage {
  const { gatewayPolicy } = engine.mesh
  return { policy: gatewayPolicy as Buffer, context, entry: null }
}

const EMPTY = Buffer.alloc(0)
