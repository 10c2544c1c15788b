import { IN_FLAG_ROUTE } from '../../sidecar/layout/record.ts'
import type { EngineContext } from '../engine-context.ts'
import type { FunctionEntry } from '../function-table.ts'
import { type Client, judge, type Sitting } from '../needs.ts'
import { noDestination } from '../refusal.ts'
import type { Decision } from '../sidecar.ts'
import type { TakenRoute } from '../taken-route.ts'
import { type Admission, type JudgedStage, judgedStage, type Stage, stageOf } from './admission.ts'
import { after } from './look-up.ts'
import { withMirrors } from './mirroring.ts'
import { openOther, takenRoute } from './other-function.ts'
import { type Framing, failed, isReusable } from './refused-request.ts'
import { settle } from './settlement.ts'

/** Ends the judging of a request by its callee's sidecar, or passes it on to the function that its route leads to. */
export function conclude(
  engine: EngineContext,
  sitting: Sitting,
  client: Client,
  callee: FunctionEntry,
  decision: Decision,
  outer: Framing | null,
  stages: Stage[],
  records: JudgedStage[],
): Admission | Promise<Admission> {
  const taken = takenRoute(callee, decision)
  if (taken === 'bad') return failed(engine)
  const conclusion = { engine, client, callee, decision, outer, stages, records, taken }
  const asked = taken?.destination ? engine.lookup.byKey(taken.destination.function) : null
  if (asked === null) return concludeKnown(sitting, conclusion)
  // Where control does not answer the function stays unknown.
  const lasting = { ...sitting, random: Buffer.from(sitting.random) }
  engine.counters.requestsWaiting++
  return asked.then(() => {
    engine.counters.requestsWaiting--
    return concludeKnown(lasting, conclusion)
  })
}

interface Conclusion {
  engine: EngineContext
  client: Client
  callee: FunctionEntry
  decision: Decision
  outer: Framing | null
  stages: Stage[]
  records: JudgedStage[]
  taken: TakenRoute | null
}

/** Concludes where it is known whom the route leads to, or that nobody says. */
function concludeKnown(
  sitting: Sitting,
  { engine, client, callee, decision, outer, stages, records, taken }: Conclusion,
): Admission | Promise<Admission> {
  const mirroring = { sitting, routed: callee, client, taken }
  const other =
    decision.kind === 'forward' ? openOther(engine, sitting, client, callee, decision.head, taken) : null
  if (decision.kind !== 'forward' || other === null)
    return withMirrors(settle(engine, client, callee, decision, outer, stages, records, taken), mirroring)
  stages.push(stageOf(callee, decision.context))
  // The callee's own side is not judged: the other function's is.
  records.at(-1)!.sides = IN_FLAG_ROUTE
  const framing = outer ?? decision
  if (other.kind === 'failed') return failed(engine)
  if (other.kind === 'unknown') {
    const { requestId } = decision
    const { headLength, flags, body } = framing
    const refusal = noDestination(other.key)
    return {
      kind: 'refused',
      refusal,
      stages,
      records,
      requestId,
      headLength,
      reusable: isReusable(flags, body),
    }
  }
  const { entry, duty } = other
  return after(judge(engine, other.sitting, duty), (served) => {
    records.push(judgedStage(entry, sitting.facts.direction, served, null, duty.sides))
    const admission = settle(engine, other.client, entry, served, framing, stages, records, taken)
    if (admission.kind !== 'admitted') return admission
    return withMirrors({ ...admission, facts: other.sitting.facts }, mirroring)
  })
}
