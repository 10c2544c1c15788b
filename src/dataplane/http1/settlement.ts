import { RESPONSE_FLAG_DI } from '../../sidecar/layout/record.ts'
import type { EngineContext } from '../engine-context.ts'
import type { FunctionEntry } from '../function-table.ts'
import type { Client } from '../needs.ts'
import type { Decision } from '../sidecar.ts'
import type { TakenRoute } from '../taken-route.ts'
import { type Admission, type JudgedStage, type Stage, stageOf } from './admission.ts'
import { type Framing, failed, refused } from './refused-request.ts'
import { wayTo } from './way.ts'

/** `outer` is the framing that the first sidecar saw, null where this decision is the first. */
export function settle(
  engine: EngineContext,
  client: Client,
  callee: FunctionEntry,
  decision: Decision,
  outer: Framing | null,
  stages: Stage[],
  records: JudgedStage[],
  taken: TakenRoute | null,
): Admission {
  if (decision.kind === 'failed') return failed(engine)
  const judged = decision.kind === 'denied' ? decision.denial : decision
  const framing = outer ?? judged
  stages.push(stageOf(callee, judged.context))
  if (decision.kind === 'denied') {
    engine.counters.denied++
    const delayMs = taken?.delayMs ?? 0
    const flags = delayMs > 0 ? RESPONSE_FLAG_DI : 0
    return { ...refused(decision.denial, framing, stages, records, flags), delayMs }
  }
  return {
    kind: 'admitted',
    callee,
    stages,
    records,
    requestId: decision.requestId,
    headLength: framing.headLength,
    head: decision.head,
    flags: framing.flags,
    body: framing.body,
    bodyLength: framing.bodyLength,
    sendBody: decision.sendBody,
    route: decision.route,
    caller: client.caller,
    way: wayTo(callee, client.caller, decision.hash, taken),
    instance: null,
    plaintext: false,
    facts: null,
  }
}
