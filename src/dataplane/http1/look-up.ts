import type { EngineContext } from '../engine-context.ts'
import type { LookupOutcome } from '../function-lookup.ts'
import { open, type Sitting } from '../needs.ts'
import { notLookedUp } from '../refusal.ts'
import type { Admission } from './admission.ts'
import { failed, withoutFunction } from './refused-request.ts'

/** Goes on once it is known whom the request names: an engine is told of a function when it first asks for it. */
export function lookedUp(
  engine: EngineContext,
  sitting: Sitting,
  asked: readonly (Promise<LookupOutcome> | null)[],
  next: (known: Sitting) => Admission | Promise<Admission>,
): Admission | Promise<Admission> {
  return asked.every((one) => one === null) ? next(sitting) : afterLookup(engine, sitting, asked, next)
}

async function afterLookup(
  engine: EngineContext,
  sitting: Sitting,
  asked: readonly (Promise<LookupOutcome> | null)[],
  next: (known: Sitting) => Admission | Promise<Admission>,
): Promise<Admission> {
  const lasting = { ...sitting, random: Buffer.from(sitting.random) }
  engine.counters.requestsWaiting++
  const outcomes = await Promise.all(asked)
  engine.counters.requestsWaiting--
  if (open(engine, lasting).kind !== 'opened') return failed(engine)
  return outcomes.includes('silent') ? withoutFunction(engine, notLookedUp()) : next(lasting)
}

export function after<T, U>(value: T | Promise<T>, next: (value: T) => U | Promise<U>): U | Promise<U> {
  return value instanceof Promise ? value.then(next) : next(value)
}
