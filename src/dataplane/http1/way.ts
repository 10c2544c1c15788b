import type { RetryPlan } from '../../policy/route-plan.ts'
import type { Circuit } from '../circuit.ts'
import type { FunctionEntry } from '../function-table.ts'
import type { TakenRoute } from '../taken-route.ts'
import type { Mirroring } from './mirroring.ts'

/** How an admitted request goes on, where a VirtualService or a DestinationRule says more than its function itself. */
export interface Way {
  circuit: Circuit
  /** By what its instance is found (consistent hash); null: by nothing. */
  hash: number | null
  /** null: the mesh's default, a few instances one after the other until one accepts a connection. */
  retry: RetryPlan | null
  /** Milliseconds from the request's last byte to the response's end; null: no such bound. */
  timeoutMs: number | null
  /** Milliseconds by which it is held back first. */
  delayMs: number
  /** Whom copies go to; null: nobody. */
  mirroring: Mirroring | null
}

/** The way to `callee` for a request of `caller` ("namespace/name", null: from outside); null: the plain one. */
export function wayTo(
  callee: FunctionEntry,
  caller: string | null,
  hash: number,
  taken: TakenRoute | null,
): Way | null {
  const { circuits } = callee
  if (circuits === null && taken === null) return null
  const circuit = (circuits ?? callee.plainCircuits).of(caller, taken?.destination?.subset ?? null)
  const retry = taken?.route.retry ?? null
  return {
    circuit,
    hash: hash === 0 ? null : hash,
    retry: retry === null ? null : taken!.plan.retries[retry]!,
    timeoutMs: taken?.route.timeoutMs || null,
    delayMs: taken?.delayMs ?? 0,
    mirroring: null,
  }
}
