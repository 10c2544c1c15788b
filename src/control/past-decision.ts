import type { Again, ReviewedDecision } from '../dataplane/decision-review.ts'
import type { RedactedHead } from '../dataplane/redaction.ts'
import type { CompiledMesh } from './compile-mesh.ts'
import { type ExplainedVerdict, explainRecord } from './explain.ts'

/** How a request fared, as the engines that judged it remember it. */
export interface PastDecision {
  requestId: string
  /** Milliseconds since the epoch. */
  time: number
  durationMs: number
  status: number
  engine: string
  request: RedactedHead | null
  verdicts: ExplainedVerdict[]
  /** What each sidecar's decision gives when it is made once more. */
  again: { function: string; direction: number; again: Again }[]
}

/**
 * Null where no engine remembers it. Calls that functions make for a request may have its id, and a call between two nodes is
 * judged by an engine on each: all are told, the client's own first, which says how it ended.
 */
export function pastDecision(
  mesh: CompiledMesh,
  answers: readonly { engine: string; decision: ReviewedDecision }[],
): PastDecision | null {
  const inOrder = answers.toSorted(
    ({ decision: a }, { decision: b }) => a.time - b.time || b.durationMs - a.durationMs,
  )
  const first = inOrder[0]
  if (!first) return null
  const { requestId, time, durationMs, status, request } = first.decision
  const stages = inOrder.flatMap(({ decision }) => decision.stages)
  return {
    requestId,
    time,
    durationMs,
    status,
    engine: [...new Set(inOrder.map(({ engine }) => engine))].join(', '),
    request,
    verdicts: stages.flatMap((stage) => explainRecord(mesh, stage)),
    again: stages.map(({ function: key, direction, again }) => ({ function: key, direction, again })),
  }
}
